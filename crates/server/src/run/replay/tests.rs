use super::*;

fn record(seq: u64, size: usize) -> Record {
    Record { chunk: size as u32, text: format!("{seq}:{}", "x".repeat(size)).into() }
}

/// A replay with its file in memory.
struct Desk {
    replay: Replay,
    file: Vec<u8>,
    last: u64,
}

impl Desk {
    fn new(memory: usize, spool: u64) -> Self {
        Self { replay: Replay::new(ReplayLimits { memory, spool }), file: vec![], last: 0 }
    }

    /// Pushes while there is room, at most so often.
    fn fill(&mut self, most: u64, size: usize) -> u64 {
        let before = self.last;
        while self.last - before < most && self.replay.has_room() {
            self.last += 1;
            self.replay.push(record(self.last, size));
            self.work(None);
        }
        self.last - before
    }

    fn work(&mut self, wanted: Option<u64>) {
        match self.replay.next_job(wanted) {
            None => {}
            Some(Job::Write { block, bytes, anew }) => {
                assert_eq!(bytes.len() as u64, block.length);
                if anew {
                    self.file.clear();
                }
                let at = block.offset as usize;
                self.file.resize(self.file.len().max(at + bytes.len()), 0);
                self.file[at..at + bytes.len()].copy_from_slice(&bytes);
                self.replay.written(block, true);
            }
            Some(Job::Read(block)) => {
                let bytes = &self.file[block.offset as usize..(block.offset + block.length) as usize];
                self.replay.loaded(Page::decode(block, bytes).expect("it is what was written"));
            }
        }
    }

    fn read(&mut self, seq: u64, size: usize) {
        if self.replay.get(seq).is_none() {
            self.work(Some(seq));
        }
        assert_eq!(self.replay.get(seq), Some(&record(seq, size)), "{seq} of {}", self.last);
    }
}

#[test]
fn memory_first_then_the_file_then_no_room() {
    let mut desk = Desk::new(10_000, 1 << 20);
    assert_eq!(desk.fill(9, 1_000), 9);
    assert!(desk.file.is_empty());
    let more = desk.fill(u64::MAX, 1_000);
    assert!(!desk.replay.has_room() && (1_200..1_500).contains(&more), "{more}");
    assert!(desk.file.len() <= 1 << 20 && desk.replay.memory() < 10_000 + 2 * BLOCK);
    for seq in 1..=desk.last {
        desk.read(seq, 1_000);
    }
    // Again, and from the middle.
    for seq in (1..=desk.last).step_by(7) {
        desk.read(seq, 1_000);
    }
}

#[test]
fn acknowledgements_make_room_and_the_file_begins_anew() {
    let mut desk = Desk::new(10_000, 1 << 20);
    desk.fill(u64::MAX, 1_000);
    let (first, mut acked) = (desk.last, 0);
    while acked < first {
        acked = (acked + 100).min(first);
        desk.replay.acknowledge(acked);
        assert!(desk.replay.acked() <= acked);
        for seq in acked + 1..=desk.last {
            desk.read(seq, 1_000);
        }
    }
    assert_eq!((desk.replay.acked(), desk.replay.memory(), desk.replay.blocks.len()), (first, 0, 0));
    assert!(desk.replay.has_room());
    assert!(desk.fill(u64::MAX, 1_000) > 1_000);
    desk.read(desk.last, 1_000);
}

/// A client says what it has taken in steps, which end within blocks. Whatever is left of such a block, the file
/// has room again where whole ones were.
#[test]
fn a_full_file_goes_on_where_it_was_acknowledged() {
    let mut desk = Desk::new(10_000, 1 << 20);
    desk.fill(u64::MAX, 1_000);
    let mut acked = 0;
    while desk.last < 20_000 {
        assert!(desk.last - acked > 300, "no room, although all but {} is acknowledged", desk.last - acked);
        acked += 300;
        desk.replay.acknowledge(acked);
        desk.work(None);
        desk.fill(u64::MAX, 1_000);
        assert!(desk.file.len() <= 1 << 20, "{}", desk.file.len());
        for seq in (acked + 1..=desk.last).step_by(101) {
            desk.read(seq, 1_000);
        }
    }
    assert!(!desk.replay.blocks.is_empty(), "or it was no test of the file");
    while acked < desk.last {
        acked += 1;
        desk.read(acked, 1_000);
        desk.replay.acknowledge(acked);
    }
}

#[test]
fn acknowledged_while_it_is_written() {
    let mut desk = Desk::new(1_000, 1 << 20);
    let mut pending = None;
    while pending.is_none() {
        desk.last += 1;
        desk.replay.push(record(desk.last, 1_000));
        pending = desk.replay.next_job(None);
    }
    let Some(Job::Write { block, bytes, .. }) = pending else { panic!("{pending:?}") };
    desk.file = bytes;
    desk.replay.acknowledge(desk.last);
    desk.last += 1;
    desk.replay.push(record(desk.last, 1_000));
    assert!(desk.replay.get(desk.last).is_some());
    desk.replay.written(block, true);
    desk.read(desk.last, 1_000);
    desk.replay.acknowledge(desk.last);
    assert_eq!((desk.replay.acked(), desk.replay.memory()), (desk.last, 0));
}

#[test]
fn a_full_disk_holds_back_and_loses_nothing() {
    let mut desk = Desk::new(1_000, 1 << 20);
    while desk.replay.has_room() {
        desk.last += 1;
        desk.replay.push(record(desk.last, 1_000));
    }
    let Some(Job::Write { block, .. }) = desk.replay.next_job(None) else { panic!("nothing to write") };
    desk.replay.written(block, false);
    assert!(desk.replay.stuck && !desk.replay.has_room());
    assert_eq!(desk.replay.next_job(None), None, "not at once again");
    for seq in 1..=desk.last {
        desk.read(seq, 1_000);
    }
    desk.replay.retry();
    desk.work(None);
    assert!(desk.replay.has_room());
    for seq in 1..=desk.last {
        desk.read(seq, 1_000);
    }
}

#[test]
fn a_million_tiny_ones_are_bounded() {
    let mut desk = Desk::new(64 * 1024, 0);
    let count = desk.fill(1_000_000, 1);
    assert!(count < 10_000, "{count}");
    assert!(desk.file.is_empty());
}

#[test]
fn a_damaged_block_is_found_out() {
    let block = Block { first: 1, last: 1, offset: 0, length: 3 };
    for bytes in [&[1, 2, 3][..], &[0; 8][..4], &[0, 0, 0, 0, 9, 0, 0, 0, 1], &[0, 0, 0, 0, 1, 0, 0, 0, 0xff]] {
        assert!(Page::decode(block, bytes).is_none(), "{bytes:?}");
    }
}

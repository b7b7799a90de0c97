//! What a log keeps, shows, holds back and forgets.

use serde_json::Value;

use super::*;
use crate::budget::Budget;
use crate::run::event::{Finish, RunFailure, Stream};

fn out(text: &str) -> Event {
    Event::Chunk(Stream::Stdout.into(), text.to_owned())
}

fn err(text: &str) -> Event {
    Event::Chunk(Stream::Stderr.into(), text.to_owned())
}

/// A log of a client that asked for extensions.
fn new_log(limit: usize, window: Option<u64>) -> Log {
    Log::new(label(), limit, window, None)
}

fn kept(limit: usize, window: Option<u64>) -> Log {
    Log::new(label(), limit, window, Some(ReplayLimits { memory: 1 << 20, spool: 0 }))
}

fn label() -> Label {
    Label { id: "i".to_owned(), numbered: true, limit: 1 << 20, extensions: &[] }
}

/// The number and the chunk; of another event its name, of the end its phase.
fn text_of(shown: Option<Shown>) -> Option<(u64, String)> {
    shown.map(|shown| {
        let frame: Value = serde_json::from_str(&shown.text).expect("JSON");
        let data = &frame["data"];
        assert!(data["time"].as_u64().is_some_and(|time| time > 1_600_000_000_000), "{data}");
        let text = ["chunk", "eventType", "phase"].iter().find_map(|key| data[*key].as_str()).expect("a phase");
        (data["seq"].as_u64().expect("a number"), text.to_owned())
    })
}

fn rest_of(log: &mut Log) -> Vec<(u64, String)> {
    std::iter::from_fn(|| text_of(log.show())).collect()
}

#[test]
fn who_is_told_to_stop_while_nobody_looks_fills_no_memory() {
    let mut log = kept(1000, None);
    log.detach();
    log.close();
    for _ in 0..10_000 {
        assert!(log.has_room(), "the program must come to its end");
        log.push(out(&"x".repeat(1000)));
        assert!(log.memory() < 2 << 20, "{}", log.memory());
    }
    log.push(Event::Error(RunFailure { name: "E".to_owned(), ..Default::default() }));
    log.push(Event::End(Finish { execution_error: Some("stopped".to_owned()), ..Finish::default() }));
    log.attach(Cursor::default()).expect("it is kept");
    let frames: Vec<_> = std::iter::from_fn(|| log.show()).collect();
    let shown: usize = frames.iter().map(|frame| frame.text.matches('x').count()).sum();
    let end = &frames.last().expect("an end").text;
    let dropped = 10_000 * 1000 - shown / 1000 * 1000;
    assert!(shown > 1 << 20 && end.contains(&format!("stopped; {dropped} bytes that it said after that")), "{end}");
}

#[test]
fn joins_neighbours_of_one_stream_only_while_they_wait() {
    let mut log = new_log(1000, None);
    log.push(out("a"));
    assert_eq!(text_of(log.show()), Some((1, "a".into())));
    for event in [out("b"), out("c"), err("d"), out("e")] {
        log.push(event);
    }
    assert_eq!(text_of(log.show()), Some((2, "bc".into())));
    assert_eq!(text_of(log.show()), Some((3, "d".into())));
    assert_eq!(text_of(log.show()), Some((4, "e".into())));
    assert_eq!(text_of(log.show()), None);
}

#[test]
fn no_chunk_is_larger_than_the_limit_and_no_character_is_cut() {
    let mut log = new_log(1 << 20, None);
    let text = "€".repeat(MAX_CHUNK);
    log.push(out(&text));
    let mut all = String::new();
    while let Some((_, chunk)) = text_of(log.show()) {
        assert!(chunk.len() <= MAX_CHUNK);
        all.push_str(&chunk);
    }
    assert_eq!(all, text);
}

#[test]
fn holds_back_when_full_and_goes_on_when_shown() {
    let mut log = new_log(10, None);
    log.push(out("0123456789"));
    assert!(!log.has_room());
    log.show();
    assert!(log.has_room());
}

#[test]
fn small_events_of_alternating_streams_are_bounded() {
    let mut log = new_log(10_000, None);
    let mut pushed = 0;
    while log.has_room() {
        log.push(out("a"));
        log.push(err("b"));
        pushed += 2;
    }
    assert!((100..200).contains(&pushed) && log.excess().is_some_and(|excess| excess < 200), "{pushed}");
    assert!(log.memory() >= 10_000, "{}", log.memory());
    assert_eq!(rest_of(&mut log).len(), pushed);
    assert_eq!((log.memory(), log.excess()), (0, None));
}

#[test]
fn never_sends_more_than_the_window() {
    let mut log = new_log(1 << 20, Some(10));
    log.push(out("0123456789abcde"));
    assert!(!log.has_room(), "the window limits what is kept, too");
    assert_eq!(text_of(log.show()), Some((1, "0123456789".into())));
    assert!(!log.is_readable());
    assert_eq!(text_of(log.show()), None);
    log.acknowledge(1);
    assert_eq!(text_of(log.show()), Some((2, "abcde".into())));
}

#[test]
fn a_window_smaller_than_a_character_still_moves() {
    let mut log = new_log(1 << 20, Some(1));
    log.push(out("€a"));
    assert_eq!(text_of(log.show()), Some((1, "€".into())));
    assert_eq!(text_of(log.show()), None);
    log.acknowledge(1);
    assert_eq!(text_of(log.show()), Some((2, "a".into())));
}

#[test]
fn a_character_that_does_not_fit_waits_for_an_empty_window() {
    let mut log = new_log(1 << 20, Some(4));
    log.push(out("ab€"));
    assert_eq!(text_of(log.show()), Some((1, "ab".into())));
    assert_eq!(text_of(log.show()), None);
    assert_eq!(log.last, 1, "no empty event was made of it");
    log.acknowledge(1);
    assert_eq!(text_of(log.show()), Some((2, "€".into())));
}

#[test]
fn the_end_needs_no_window_and_is_last() {
    let mut log = new_log(1 << 20, Some(2));
    log.push(out("ab"));
    log.show();
    log.push(Event::End(Finish::default()));
    log.push(out("late"));
    assert!(log.is_readable());
    assert_eq!(text_of(log.show()), Some((2, "end".into())));
    assert!(log.show().is_none());
}

#[test]
fn an_acknowledgement_of_what_was_never_shown_frees_nothing_more() {
    let mut log = new_log(1 << 20, Some(4));
    log.push(out("abcdefgh"));
    log.show();
    log.acknowledge(u64::MAX);
    assert_eq!(text_of(log.show()), Some((2, "efgh".into())));
    assert!(!log.is_readable());
}

#[test]
fn an_abandoned_log_swallows_everything() {
    let mut log = new_log(2, None);
    log.push(out("abc"));
    log.abandon();
    assert!(log.has_room() && !log.is_readable());
    log.push(out("abc"));
    log.push(Event::End(Finish::default()));
    assert!(log.has_room() && !log.is_readable());
}

/// What a run of a client that asked for a window of a byte says while nobody looks: each byte is an event of its own, and
/// no more of them are in memory, or made at once, than of others.
#[test]
fn a_window_of_a_byte_makes_no_flood_of_events() {
    const BYTES: usize = 20_000;
    let mut log = Log::new(label(), BYTES, Some(1), Some(ReplayLimits { memory: 100_000, spool: 1 << 30 }));
    log.detach();
    let text: String = ('a'..='z').cycle().take(BYTES).collect();
    log.push(out(&text));
    assert_eq!(log.last, 1024, "so many at once");
    let (mut file, mut most, mut turns) = (Vec::new(), 0, 0);
    loop {
        let stored = log.store_more();
        turns += usize::from(stored);
        most = most.max(log.memory());
        match log.next_job() {
            Some(Job::Write { block, bytes, .. }) => {
                let at = usize::try_from(block.offset).expect("it is small");
                file.resize(file.len().max(at + bytes.len()), 0);
                file[at..at + bytes.len()].copy_from_slice(&bytes);
                log.written(block, true);
            }
            Some(Job::Read(_)) => panic!("nobody looks"),
            None if !stored => break,
            None => {}
        }
    }
    assert!(turns > 15 && most < 900_000, "{turns} turns, {most} bytes");
    log.attach(Cursor { window: Some(1), ..Cursor::default() }).expect("it is kept");
    let mut all = String::new();
    while all.len() < BYTES {
        if let Some(Job::Read(block)) = log.next_job() {
            let at = usize::try_from(block.offset).expect("it is small");
            let bytes = &file[at..at + usize::try_from(block.length).expect("it is small")];
            log.loaded(Page::decode(block, bytes).expect("it is what was written"));
        }
        let (seq, byte) = text_of(log.show()).expect("the next byte");
        assert_eq!(byte.len(), 1);
        all.push_str(&byte);
        log.acknowledge(seq);
    }
    assert!(all == text, "it is what was said");
}

/// Whatever is cut off of what waits, in whatever order it is looked at and added to.
#[test]
fn what_is_cut_off_piece_by_piece_is_what_was_said() {
    let mut log = new_log(1 << 20, Some(7));
    let (mut said, mut seen) = (String::new(), String::new());
    for n in 0..3000 {
        let text = ["€", "ab", "ö", "𝄞x"][n % 4].repeat(1 + n % 5);
        said.push_str(&text);
        log.push(out(&text));
        if n % 3 == 0 {
            while let Some((seq, text)) = text_of(log.show()) {
                assert!(!text.is_empty() && text.len() <= 7, "{text:?}");
                seen.push_str(&text);
                if n % 2 == 0 {
                    log.acknowledge(seq);
                }
            }
            log.acknowledge(u64::MAX);
        }
    }
    while let Some((seq, text)) = text_of(log.show()) {
        seen.push_str(&text);
        log.acknowledge(seq);
    }
    assert!(seen == said && log.memory() == 0, "{} of {} bytes", seen.len(), said.len());
}

fn after(seq: u64) -> Cursor {
    Cursor { after: seq, ..Cursor::default() }
}

#[test]
fn the_next_viewer_gets_what_is_not_acknowledged_again_and_the_very_same() {
    let mut log = kept(1000, None);
    let mut first = vec![];
    for text in ["a", "b", "c"] {
        log.push(out(text));
        first.extend(rest_of(&mut log));
    }
    log.detach();
    log.push(out("d"));
    log.push(out("e"));
    assert_eq!(log.attach(after(1)), Ok(()));
    assert_eq!(rest_of(&mut log), [(2, "b".into()), (3, "c".into()), (4, "de".into())]);
    log.acknowledge(2);
    assert_eq!(log.attach(after(1)), Err(NoReplay::Forgotten { acked: 2 }));
    assert_eq!(log.attach(after(0)), Ok(()));
    assert_eq!(log.show().and_then(|shown| text_of(Some(shown))).map(|(seq, _)| seq), Some(3));
    assert_eq!(log.attach(after(5)), Err(NoReplay::Ahead { last: 4 }));
    assert_eq!(log.attach(after(2)), Ok(()));
    assert_eq!(rest_of(&mut log), [(3, "c".into()), (4, "de".into())]);
    log.push(Event::End(Finish::default()));
    let shown = log.show().expect("the end");
    assert!(shown.is_end && log.is_over());
    assert_eq!(log.attach(after(4)), Ok(()));
    assert!(!log.is_over());
    assert_eq!(rest_of(&mut log), [(5, "end".into())]);
}

#[test]
fn an_unwatched_log_takes_what_the_replay_takes_and_a_watched_one_what_its_viewer_takes() {
    let mut log = kept(10, Some(8));
    log.push(out("0123456789"));
    assert!(!log.has_room(), "its subscriber is behind");
    assert_eq!(text_of(log.show()), Some((1, "01234567".into())));
    log.detach();
    let mut pushed = 0;
    while log.has_room() {
        log.push(out("0123456789abcdef"));
        pushed += 1;
    }
    assert!((100..20_000).contains(&pushed), "{pushed}"); // each character is an event of its own
    assert_eq!(log.attach(Cursor { after: 1, window: Some(8), ..Cursor::default() }), Ok(()));
    let (mut all, mut seq) = (String::new(), 1);
    while let Some((next, text)) = text_of(log.show()) {
        assert!(next == seq + 1 && text.len() <= 8, "a window of 8 was overstepped");
        seq = next;
        all.push_str(&text);
        log.acknowledge(seq);
    }
    assert_eq!(all, format!("89{}", "0123456789abcdef".repeat(pushed)));
    assert!(log.has_room() && log.memory() == 0);
}

#[test]
fn what_has_come_and_is_not_taken_fills_the_next_viewers_window() {
    let mut log = kept(1000, Some(8));
    for text in ["ab", "cd", "ef"] {
        log.push(out(text));
        log.show().expect("there is room");
    }
    log.acknowledge(1);
    log.detach();
    log.push(out("0123456789"));
    let place = Cursor { after: 3, taken: Some(1), window: Some(8) };
    assert_eq!(log.attach(place), Ok(()));
    assert_eq!(rest_of(&mut log), [(4, "0123".into())], "4 bytes of the 8 wait there still");
    log.acknowledge(3);
    assert_eq!(rest_of(&mut log), [(5, "4567".into())]);
    // Who says nothing of it has taken all, and who invents numbers harms nobody.
    assert_eq!(log.attach(Cursor { taken: None, ..place }), Ok(()));
    assert_eq!(rest_of(&mut log).len(), 2);
    for taken in [0, 3, 4, u64::MAX] {
        assert_eq!(log.attach(Cursor { taken: Some(taken), ..place }), Ok(()), "{taken}");
    }
}

#[test]
fn a_run_that_is_not_kept_is_not_shown_twice() {
    let mut log = new_log(10, None);
    assert_eq!(log.attach(after(0)), Ok(()));
    log.push(out("a"));
    log.show();
    assert_eq!(log.attach(after(0)), Err(NoReplay::NotKept));
}

/// Those whose session holds as much as it may go on an event at a time, as they are read; with a file, by that.
#[test]
fn what_is_kept_counts_and_the_others_hold_less() {
    let budget = Budget::new(100_000);
    let mut greedy = new_log(200_000, None);
    greedy.count(budget.nothing());
    for _ in 0..3 {
        greedy.push(out(&"x".repeat(50_000)));
    }
    assert!(!greedy.has_room(), "it is beyond what the session may hold");
    assert!(budget.charge(1).is_err());

    let mut other = new_log(200_000, None);
    other.count(budget.nothing());
    for _ in 0..10 {
        assert!(other.has_room(), "it is read");
        other.push(out("a line\n"));
        assert!(!other.has_room(), "but no second one waits");
        assert_eq!(rest_of(&mut other).len(), 1);
    }

    let mut detached = Log::new(label(), 200_000, None, Some(ReplayLimits { memory: 1 << 20, spool: 1 << 20 }));
    detached.count(budget.nothing());
    detached.detach();
    while detached.has_room() {
        detached.push(out(&"y".repeat(10_000)));
    }
    assert!(detached.wants_file(), "it does not wait for the others, but for its file");
    assert!(detached.memory() < 400_000, "{}", detached.memory());

    drop((greedy, other, detached));
    budget.charge(100_000).expect("all is given back");
}

//! Files that a process has in memory and that have no name any more.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{AtFlags, StatxFlags, makedev, statx};

/// Names a file on this machine: device and number.
pub(crate) type Id = (u64, u64);

/// A part of a file in memory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mapped {
    pub(crate) id: Id,
    /// Where in memory.
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// How far it reaches in the file.
    pub(crate) reach: u64,
    /// Its file is none but memory that processes share.
    pub(crate) is_shared_memory: bool,
}

/// What is read of a process's table of mappings at once. The kernel gives a page at a time, or a longer line.
const TABLE: usize = 8 << 10;

/// A process's table of mappings, a line at a time: a program can make tables of megabytes, in each of its processes.
#[derive(Debug)]
pub(crate) struct Table {
    maps: BufReader<fs::File>,
    line: Vec<u8>,
}

impl Table {
    /// That of a thread's process.
    pub(crate) fn of(thread: i32) -> io::Result<Self> {
        let maps = fs::File::open(format!("/proc/{thread}/maps"))?;
        Ok(Self { maps: BufReader::with_capacity(TABLE, maps), line: Vec::new() })
    }

    /// What the next line says of a file that has no name any more, if that is what it is about. `None`: there is none.
    pub(crate) fn next(&mut self) -> Option<Option<Mapped>> {
        self.line.clear();
        // What cannot be read any more is of a process that has ended.
        let is_read = self.maps.read_until(b'\n', &mut self.line).is_ok_and(|read| read > 0);
        is_read.then(|| Mapped::without_name(&self.line))
    }
}

impl Mapped {
    /// A line of `/proc/PID/maps`, if it is about a file that has no name any more.
    pub(crate) fn without_name(line: &[u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\n").unwrap_or(line).strip_suffix(b" (deleted)")?;
        // The path comes last, and may be of any bytes.
        let line = String::from_utf8_lossy(line);
        let mut fields = line.split_ascii_whitespace();
        let (begin, end) = fields.next()?.split_once('-')?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        let offset = number(fields.nth(1)?)?;
        let (major, minor) = fields.next()?.split_once(':')?;
        let device = makedev(u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
        let inode = fields.next()?.parse().ok()?;
        let (begin, end) = (number(begin)?, number(end)?);
        let reach = offset.saturating_add(end.saturating_sub(begin));
        // The kernel's name for it, in a file system of its own.
        let is_shared_memory = fields.next() == Some("/dev/zero") && fields.next().is_none() && major == "00";
        Some(Self { id: (device, inode), begin, end, reach, is_shared_memory })
    }

    /// What all of its file takes. Only root sees that, and who has `CAP_CHECKPOINT_RESTORE`.
    pub(crate) fn size_of_file(&self, thread: i32) -> Option<u64> {
        let Self { begin, end, .. } = self;
        let meta = fs::metadata(format!("/proc/{thread}/map_files/{begin:x}-{end:x}")).ok()?;
        Some(meta.blocks() * 512)
    }
}

/// The device that mappings of files below a folder name. On Btrfs and overlays it is another than what `stat` says.
pub(crate) fn device_of_mount(folder: BorrowedFd<'_>) -> Option<u64> {
    let found = statx(folder, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    let mounts = BufReader::new(fs::File::open("/proc/thread-self/mountinfo").ok()?);
    let has_its_number = |line: &String| line.split(' ').next() == Some(&found.stx_mnt_id.to_string());
    let line = mounts.lines().map_while(Result::ok).find(has_its_number)?;
    let (major, minor) = line.split(' ').nth(2)?.split_once(':')?;
    Some(makedev(major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn files_without_a_name_are_read_off_their_line() {
        let line = b"7f00-8f00 rw-s 00002000 fd:01 1234                 /tmp/\xffa b (deleted)\n";
        let id = (makedev(0xfd, 1), 1234);
        let mapped = Mapped { id, begin: 0x7f00, end: 0x8f00, reach: 0x3000, is_shared_memory: false };
        assert_eq!(Mapped::without_name(line), Some(mapped));
        assert_eq!(Mapped::without_name(b"7f00-8f00 rw-s 00002000 fd:01 1234 /tmp/a\n"), None);
        assert_eq!(Mapped::without_name(b""), None);
    }

    #[test]
    fn a_mount_has_the_device_of_its_files() {
        let folder = fs::File::open("/proc/self").expect("there is /proc");
        let device = folder.metadata().expect("it is open").dev();
        assert_eq!(device_of_mount(folder.as_fd()), Some(device));
    }
}

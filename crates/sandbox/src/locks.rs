//! Counts the locks of parts of files that processes hold: memory of the kernel's that it counts for nobody.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use crate::mapped::Id;
use crate::tree;

/// Nobody is looked at as long as the whole machine has fewer.
///
/// 1000: a machine that works has some dozens, and a list of these is read in less than a millisecond.
const FEW: usize = 1000;

/// How many locks of parts of files the processes hold together; counting stops behind `most`.
pub(crate) fn held_by<'a>(processes: impl IntoIterator<Item = &'a i32>, most: u64) -> u64 {
    if machine_has_few() {
        return 0;
    }
    let mut found = 0;
    for &pid in processes {
        // Of one that has ended, or has said that nobody may look at it, nothing is known.
        found += tree::looking_at(pid, || held_by_process(pid, most - found)).unwrap_or(0);
        if found >= most {
            break;
        }
    }
    found
}

fn held_by_process(pid: i32, most: u64) -> io::Result<u64> {
    let threads = tree::threads(pid);
    let mut found = 0;
    for (at, &thread) in threads.iter().enumerate() {
        // A thread may have descriptors of its own, and so locks.
        if at > 0 && share_descriptors(threads[0], thread) {
            continue;
        }
        found += held_by_thread(thread, most - found)?;
        if found >= most {
            break;
        }
    }
    Ok(found)
}

/// Whether the machine's list of locks is short. It is read no further than that.
fn machine_has_few() -> bool {
    let Ok(mut list) = fs::File::open("/proc/locks") else { return false };
    let mut lines = 0;
    let mut buffer = [0; 16 << 10];
    while lines < FEW {
        match list.read(&mut buffer) {
            Ok(0) => return true,
            Ok(read) => lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count(),
            Err(_) => return false,
        }
    }
    false
}

fn held_by_thread(thread: i32, most: u64) -> io::Result<u64> {
    let descriptors = match fs::read_dir(format!("/proc/{thread}/fd")) {
        // It has ended, unlike its process, perhaps.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        descriptors => descriptors?,
    };
    let mut found = 0;
    // The locks of a file are listed with each descriptor of it.
    let mut seen: HashSet<Id> = HashSet::new();
    for descriptor in descriptors.flatten() {
        let meta = match fs::metadata(descriptor.path()) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            Err(_) => continue, // closed again
            Ok(meta) => meta,
        };
        if !seen.insert((meta.dev(), meta.ino())) {
            continue;
        }
        let name = descriptor.file_name();
        let Ok(text) = tree::read_lossy(format!("/proc/{thread}/fdinfo/{}", name.to_string_lossy())) else { continue };
        found += text.lines().filter(|line| line.starts_with("lock:") && line.contains("POSIX")).count() as u64;
        if found >= most {
            break;
        }
    }
    Ok(found)
}

/// Whether two threads have one table of descriptors. A kernel that does not say so makes their locks count for each.
fn share_descriptors(one: i32, other: i32) -> bool {
    const KCMP_FILES: libc::c_int = 2;
    // SAFETY: a system call on integers, which only compares.
    unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, 0, 0) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    #[test]
    fn each_lock_counts_once() {
        let file = std::env::temp_dir().join(format!("agb-locks-{}", std::process::id()));
        // Two descriptors of the file, and two threads with one table.
        let code = "import fcntl, sys, threading\n\
            a = open(sys.argv[1], 'w'); b = open(sys.argv[1])\n\
            for i in range(3000): fcntl.lockf(a, fcntl.LOCK_EX, 1, 2 * i)\n\
            threading.Thread(target=sys.stdin.read).start()\n\
            print('ready', flush=True)";
        let mut python = Command::new("/usr/bin/python3")
            .args(["-I", "-S", "-c", code])
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is Python");
        let mut line = String::new();
        BufReader::new(python.stdout.as_mut().expect("it is piped")).read_line(&mut line).expect("it says something");
        let pid = i32::try_from(python.id()).expect("a process number is an int");
        let found = (held_by([&pid], 100_000), held_by([&pid, &pid], 4_000), held_by([&-1], 100_000));
        python.stdin.take().expect("it is piped").write_all(b"x").expect("it reads");
        python.wait().expect("it ends");
        fs::remove_file(&file).expect("it was made");
        assert_eq!((line.as_str(), found), ("ready\n", (3_000, 6_000, 0)));
    }
}

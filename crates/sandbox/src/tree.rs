//! The processes below a process.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::remove::as_user;

/// All descendants of a process as they are now, parents before their children. An error means that they cannot be
/// looked up, not that there are none.
///
/// Processes come and go while this looks; one whose parent ends meanwhile is missed if its new parent was looked at
/// before. Whoever must find all looks until there are none.
pub(crate) fn descendants(pid: i32) -> io::Result<Vec<i32>> {
    let mut found = vec![pid];
    let mut seen = HashSet::from([pid]);
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        next += 1;
        match children(parent)? {
            Some(children) => found.extend(children.into_iter().filter(|&child| seen.insert(child))),
            // The kernel was built without lists of children.
            None => return by_parents(pid),
        }
    }
    found.remove(0);
    Ok(found)
}

/// The children of a process; none also if it has ended. `None`: the kernel was built without these lists.
pub(crate) fn children(parent: i32) -> io::Result<Option<Vec<i32>>> {
    let mut children = Vec::new();
    let threads = match fs::read_dir(format!("/proc/{parent}/task")) {
        Err(error) if has_ended(&error) => return Ok(Some(children)),
        threads => threads?,
    };
    for thread in threads {
        let thread = match thread {
            Err(error) if has_ended(&error) => continue,
            thread => thread?.path(),
        };
        match fs::read_to_string(thread.join("children")) {
            Ok(text) => children.extend(text.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok())),
            Err(error) if error.kind() == io::ErrorKind::NotFound && thread.exists() => return Ok(None),
            Err(error) if has_ended(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(children))
}

/// The threads of a process, by their numbers; none if it has ended.
pub(crate) fn threads(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads.flatten().filter_map(|thread| thread.file_name().to_str()?.parse().ok()).collect()
}

/// The thread by whose number the memory, the maps and the root of a process can be looked at. That is its first one; but
/// if that has ended, and others go on, nothing is there to be seen under its number, and so of the process.
pub(crate) fn witness(pid: i32) -> i32 {
    if has_memory(pid) {
        return pid;
    }
    threads(pid).into_iter().find(|thread| has_memory(*thread)).unwrap_or(pid)
}

fn has_memory(thread: i32) -> bool {
    let status = read_lossy(format!("/proc/{thread}/status"));
    status.is_ok_and(|text| text.lines().any(|line| line.starts_with("VmRSS:")))
}

/// Looks into a process; if this process may not, in the name of the process's user: root in a container may look into its
/// own processes only.
pub(crate) fn looking_at<T: Send>(pid: i32, mut look: impl FnMut() -> io::Result<T> + Send) -> io::Result<T> {
    match look() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let owner = fs::metadata(format!("/proc/{pid}"))?.uid();
            as_user(owner, look)
        }
        looked => looked,
    }
}

/// The process that was asked about is not there any more.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// The same by asking every process for its parent.
fn by_parents(root: i32) -> io::Result<Vec<i32>> {
    let mut pairs: Vec<(i32, i32)> = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        pairs.extend(pid.and_then(|pid| Some((pid, parent(pid)?))));
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        next += 1;
        found.extend(pairs.iter().filter(|&&(pid, of)| of == parent && pid != root).map(|&(pid, _)| pid));
    }
    found.remove(0);
    Ok(found)
}

fn parent(pid: i32) -> Option<i32> {
    let stat = read_lossy(format!("/proc/{pid}/stat")).ok()?;
    // The name, which may contain anything, ends at the last parenthesis. Then: state, parent.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// One of the kernel's tables about a process. Names in it are the program's, and may be of any bytes: they must not hide the
/// rest.
pub(crate) fn read_lossy(path: impl AsRef<Path>) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_seen_by_a_thread_that_lives() {
        let own = i32::try_from(std::process::id()).expect("a process number is an int");
        assert_eq!(witness(own), own);
        assert!(threads(own).contains(&own));
        let code = "import ctypes, os, threading\nthread = threading.Thread(target=lambda: (print('ready', flush=True), \
                    os.read(0, 1)))\nthread.start()\nctypes.CDLL(None).syscall(60, 0)";
        let mut python = Command::new("/usr/bin/python3")
            .args(["-I", "-S", "-c", code])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is Python");
        let mut line = [0; 6];
        io::Read::read_exact(python.stdout.as_mut().expect("it is piped"), &mut line).expect("it says ready");
        let pid = i32::try_from(python.id()).expect("a process number is an int");
        let begin = std::time::Instant::now();
        while has_memory(pid) {
            assert!(begin.elapsed() < std::time::Duration::from_secs(60), "its first thread ends");
        }
        let other = witness(pid);
        assert!(other != pid && threads(pid) == [pid, other] && has_memory(other));
        python.kill().expect("it is our child");
        python.wait().expect("it was killed");
        assert_eq!((witness(pid), threads(pid)), (pid, Vec::new()));
    }

    #[test]
    fn both_ways_find_children_and_their_children() {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", "sleep 100 & sleep 100 & echo ready; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut line = [0; 6];
        io::Read::read_exact(shell.stdout.as_mut().expect("it is piped"), &mut line).expect("it says ready");
        let pid = i32::try_from(shell.id()).expect("a process number is an int");
        let mut found = descendants(pid).expect("/proc can be read");
        let mut other = by_parents(pid).expect("/proc can be read");
        found.sort_unstable();
        other.sort_unstable();
        assert_eq!(found.len(), 2);
        assert_eq!(found, other);
        shell.kill().expect("it is our child");
        for pid in found {
            crate::sys::process::kill(pid).expect("it is our child's child");
        }
        shell.wait().expect("it was killed");
    }
}

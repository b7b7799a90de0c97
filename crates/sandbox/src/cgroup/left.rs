//! How much memory the control groups of this process leave it: a container's limit is one of theirs.

use std::fs;
use std::path::Path;

use super::Controller;
use super::tree::{Version, own_group_one, own_group_two};

/// A limit that is none: version 1 writes a number near 2^63 then.
const NONE: u64 = 1 << 60;

/// The memory that this process and its like could still have before the kernel would have to end one of them, bytes: the
/// least that its control group or one around it leaves. `None`: none of them has a limit that can be seen from here.
#[must_use]
pub fn memory_left() -> Option<u64> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (mounts, own) = (read("/proc/self/mountinfo"), read("/proc/self/cgroup"));
    let one = own_group_one(&mounts, &own, Controller::Memory).and_then(|group| least(&group, Version::One));
    let two = own_group_two(&mounts, &own).and_then(|group| least(&group, Version::Two));
    one.into_iter().chain(two).min()
}

/// The least of a group and those around it, as far as they are mounted.
fn least(group: &Path, version: Version) -> Option<u64> {
    let groups = group.ancestors().take_while(|group| group.join("cgroup.procs").exists());
    groups.filter_map(|group| left(group, version)).min()
}

fn left(group: &Path, version: Version) -> Option<u64> {
    let (limit, usage, reclaimable) = match version {
        Version::One => ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "),
        Version::Two => ("memory.max", "memory.current", "inactive_file "),
    };
    let text = |file| fs::read_to_string(group.join(file)).ok();
    let number = |file| text(file)?.trim().parse::<u64>().ok();
    let limit = number(limit).filter(|limit| *limit < NONE)?;
    let usage = number(usage)?;
    // Files that were read once: the kernel lets go of those before it ends a process.
    let stat = text("memory.stat").unwrap_or_default();
    let reclaimable = stat.lines().find_map(|line| line.strip_prefix(reclaimable)?.trim().parse().ok()).unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(reclaimable)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's files are made by hand: a test may set no limit on most machines.
    #[test]
    fn the_narrowest_group_counts() {
        let base = std::env::temp_dir().join(format!("agb-cgroup-left-{}", std::process::id()));
        let inner = base.join("a/b");
        fs::create_dir_all(&inner).expect("the temporary directory is writable");
        let write = |group: &Path, file: &str, text: &str| {
            fs::write(group.join(file), text).expect("it was made above");
        };
        for group in [&base, &base.join("a"), &inner] {
            write(group, "cgroup.procs", "");
        }
        assert_eq!(least(&inner, Version::Two), None, "no limit at all");
        write(&inner, "memory.max", "max\n");
        write(&base.join("a"), "memory.max", "1000\n");
        write(&base.join("a"), "memory.current", "900\n");
        write(&base.join("a"), "memory.stat", "anon 600\ninactive_file 300\nactive_file 0\n");
        write(&base, "memory.max", "5000\n");
        write(&base, "memory.current", "4500\n");
        assert_eq!(least(&inner, Version::Two), Some(400));
        write(&base, "memory.current", "6000\n");
        assert_eq!(least(&inner, Version::Two), Some(0), "already above it");
        write(&inner, "memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(least(&inner, Version::One), None);
        write(&inner, "memory.limit_in_bytes", "100\n");
        write(&inner, "memory.usage_in_bytes", "70\n");
        write(&inner, "memory.stat", "inactive_file 5\ntotal_inactive_file 20\n");
        assert_eq!(least(&inner, Version::One), Some(50));
        fs::remove_dir_all(&base).expect("it was made above");
        let _ = memory_left(); // whatever this machine has
    }
}

//! What memory there is, and what a warm interpreter takes of it.

use std::path::Path;
use std::time::Duration;

use agb_protocol::Language;
use tokio::time::Instant;

/// The part of what is free that may go into what nobody has asked for yet: an eighth.
const PART: u64 = 8;

/// What an idle interpreter takes, about, bytes (`cargo xtask bench kernels`, PSS), with its sandbox.
pub(super) fn size_of(language: Language) -> u64 {
    const MIB: u64 = 1 << 20;
    match language {
        Language::Python => 8 * MIB,
        Language::JavaScript => 16 * MIB,
        Language::R => 56 * MIB,
        Language::Java => 72 * MIB,
    }
}

/// How long it is not looked again at what is free.
///
/// 200 ms: in that time a pool makes some ten interpreters, which is less than the part of what is free that it leaves.
const LOOK: Duration = Duration::from_millis(200);

/// What is free, as of a short while ago.
#[derive(Debug, Default)]
pub(super) struct Free {
    seen: Option<(Instant, Option<u64>)>,
}

impl Free {
    /// What the pool may take now, at most `most`. What it has already is its own: what is free is without it.
    pub(super) fn budget(&mut self, now: Instant, meminfo: &Path, own: u64, most: u64) -> u64 {
        let free = match self.seen {
            Some((at, free)) if now.saturating_duration_since(at) < LOOK => free,
            _ => {
                let free = free_memory(meminfo);
                self.seen = Some((now, free));
                free
            }
        };
        part(free, own, most)
    }
}

fn part(free: Option<u64>, own: u64, most: u64) -> u64 {
    match free {
        Some(free) => free.saturating_add(own).min(most.saturating_mul(PART)) / PART,
        None => most,
    }
}

/// What programs could still have of the machine's memory and of the server's own limit, bytes.
pub(crate) fn free_memory(meminfo: &Path) -> Option<u64> {
    available(meminfo).into_iter().chain(agb_sandbox::memory_left()).min()
}

/// The memory of the machine that programs could have without another's being taken away, bytes.
fn available(meminfo: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(meminfo).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_memory_makes_a_small_pool() {
        let file = std::env::temp_dir().join(format!("agb-meminfo-{}", std::process::id()));
        let of = |text: &str| {
            std::fs::write(&file, text).expect("the temporary directory is writable");
            part(available(&file), 8 << 20, 1 << 30)
        };
        assert_eq!(of("MemTotal: 100 kB\nMemAvailable:   1040384 kB\n"), 128 << 20);
        assert_eq!(of("MemAvailable: 0 kB\n"), 1 << 20, "what it has itself could be given back");
        assert_eq!(of("MemAvailable: 1000000000 kB\n"), 1 << 30);
        assert_eq!(of("MemAvailable: much\n"), 1 << 30, "nobody knows");
        let (mut free, now) = (Free::default(), Instant::now());
        std::fs::write(&file, "MemAvailable: 0 kB\n").expect("the temporary directory is writable");
        assert_eq!(free.budget(now, &file, 8 << 20, 1 << 30), 1 << 20);
        std::fs::write(&file, "MemAvailable: 64 kB\n").expect("the temporary directory is writable");
        assert_eq!(free.budget(now, &file, 16 << 20, 1 << 30), 2 << 20, "it has just looked");
        assert_eq!(free.budget(now + LOOK, &file, 0, 1 << 30), 8 << 10);
        std::fs::remove_file(&file).expect("it was made above");
        assert!(available(Path::new("/proc/meminfo")).is_some_and(|bytes| bytes > 1 << 20));
    }
}

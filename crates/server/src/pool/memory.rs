//! What memory there is, and what a warm interpreter takes of it.

use std::path::Path;

use agb_core::language::Language;

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

/// What the pool may take now, at most `most`. What it has already is its own: `MemAvailable` is without it.
pub(super) fn budget(meminfo: &Path, own: u64, most: u64) -> u64 {
    match available(meminfo) {
        Some(available) => available.saturating_add(own).min(most.saturating_mul(PART)) / PART,
        None => most,
    }
}

/// The memory that programs could have without another's being taken away, bytes.
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
            budget(&file, 8 << 20, 1 << 30)
        };
        assert_eq!(of("MemTotal: 100 kB\nMemAvailable:   1040384 kB\n"), 128 << 20);
        assert_eq!(of("MemAvailable: 0 kB\n"), 1 << 20, "what it has itself could be given back");
        assert_eq!(of("MemAvailable: 1000000000 kB\n"), 1 << 30);
        assert_eq!(of("MemAvailable: much\n"), 1 << 30, "nobody knows");
        std::fs::remove_file(&file).expect("it was made above");
        assert!(available(Path::new("/proc/meminfo")).is_some_and(|bytes| bytes > 1 << 20));
    }
}

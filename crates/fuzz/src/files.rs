//! Files that people write, and archives.

use std::path::{Component, Path};

/// Reads a `.env` file.
pub(crate) fn dotenv(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for (name, value) in agb_core::config::parse_dotenv(text) {
        assert!(!name.is_empty() && !name.contains(['=', '\n']), "{name:?} is no name");
        assert!(value.len() <= text.len(), "a value is longer than the file");
    }
}

/// Reads the definition of an image.
pub(crate) fn image(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = agb_server::fuzzing::image("name", text);
}

/// Reads a file of API keys.
pub(crate) fn keys(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(error) = agb_server::fuzzing::keys(text) {
        let longest = text.split_whitespace().max_by_key(|word| word.len()).unwrap_or_default();
        assert!(longest.len() < 24 || !error.contains(longest), "{error} shows what is in the file");
    }
}

/// Bytes of one block of an archive, and where a header has its sum.
const BLOCK: usize = 512;
const SUM: std::ops::Range<usize> = 148..156;

/// Reads the list of a tar archive. A change of a header mostly shows in its sum, so that each archive is also read with
/// every block's sum put right: then the change itself is read.
pub(crate) fn tar(bytes: &[u8]) {
    list(bytes);
    let mut right = bytes.to_vec();
    for block in right.chunks_exact_mut(BLOCK).filter(|block| block.iter().any(|byte| *byte != 0)) {
        block[SUM].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[SUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    list(&right);
}

fn list(bytes: &[u8]) {
    let Ok(entries) = agb_server::fuzzing::archive(bytes) else { return };
    assert!(entries.len() <= bytes.len() / BLOCK, "more entries than blocks");
    for (path, target, place) in entries {
        assert!(is_below(&path), "{path:?} leads out");
        if let Some(target) = target {
            // A link's target begins at the link's own folder.
            let depth = path.components().count() - 1;
            let mut parts = target.components().filter(|part| *part != Component::CurDir).peekable();
            let ups = std::iter::from_fn(|| parts.next_if_eq(&Component::ParentDir)).count();
            assert!(ups <= depth && parts.all(is_name), "{path:?} leads out, to {target:?}");
        }
        if let Some((at, size)) = place {
            let end = at.checked_add(size).expect("an end");
            assert!(end <= bytes.len() as u64, "{path:?} has bytes that the archive does not have");
        }
    }
}

fn is_below(path: &Path) -> bool {
    path.components().all(is_name)
}

fn is_name(part: Component<'_>) -> bool {
    matches!(part, Component::Normal(_))
}

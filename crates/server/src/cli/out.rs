//! Standard output of commands that report something.

use std::io::{self, Write};

/// Writes text and flushes it: whoever waits for a line must not wait for a buffer. Whoever does not read it, such as `head`,
/// is no reason to fail.
pub(super) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The same with a line end.
pub(super) fn line(text: &str) {
    print(&format!("{text}\n"));
}

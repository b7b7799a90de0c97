//! Messages are put together without `format!` where a page may have to show them: the standard library's formatter is
//! 3 KB of WebAssembly. Each error has its words, and its `Display` shows them.

/// A number's digits.
pub(crate) fn number(number: impl Into<u64>) -> String {
    number.into().to_string()
}

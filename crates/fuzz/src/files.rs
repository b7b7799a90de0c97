//! Files that people write.

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

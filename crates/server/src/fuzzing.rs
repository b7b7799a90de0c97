//! What parses files that people write, for the crate that tries it with any text.

use std::path::Path;

use crate::auth::keys;
use crate::images::Definition;

/// Reads the definition of an image; the error is for a person.
pub fn image(name: &str, text: &str) -> Result<(), String> {
    Definition::parse(name, text).map(|_| ())
}

/// Reads a file of API keys; the error is for a person.
pub fn keys(text: &str) -> Result<(), String> {
    keys::parse(Path::new("keys"), text).map(|_| ()).map_err(|error| error.to_string())
}

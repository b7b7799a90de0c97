//! What parses files that people write, and frames that clients send, for the crate that tries it with any bytes.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::auth::keys;
pub use crate::folders::ArchiveEntry;
use crate::folders::entries;
use crate::images::Definition;
use crate::listen::websocket::passed_on;

/// Reads the definition of an image; the error is for a person.
pub fn image(name: &str, text: &str) -> Result<(), String> {
    Definition::parse(name, text).map(|_| ())
}

/// Reads a file of API keys; the error is for a person.
pub fn keys(text: &str) -> Result<(), String> {
    keys::parse(Path::new("keys"), text).map(|_| ()).map_err(|error| error.to_string())
}

/// Reads the list of a tar archive; the error is for a person.
pub fn archive(bytes: &[u8]) -> Result<Vec<ArchiveEntry>, String> {
    let memory = rustix::fs::memfd_create("archive", rustix::fs::MemfdFlags::CLOEXEC);
    let mut file = File::from(memory.map_err(|error| error.to_string())?);
    file.write_all(bytes).map_err(|error| error.to_string())?;
    entries(&file).map_err(|error| error.to_string())
}

/// Passes on a WebSocket client's bytes, which come so many at a time, as the library behind gets them.
pub fn frames(bytes: &[u8], at_a_time: usize, largest: usize) -> Result<Vec<u8>, String> {
    passed_on(bytes, at_a_time, largest).map_err(|error| error.to_string())
}

//! Whole folders and files: emptied, removed, measured.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::Error;

/// Removes a file, or a folder with what is in it; one that is not there is as good.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) } {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file(path)(error)),
        _ => Ok(()),
    }
}

/// Makes sure of a folder with nothing in it.
pub(crate) fn empty(folder: &Path) -> Result<(), Error> {
    remove(folder)?;
    fs::create_dir_all(folder).map_err(Error::file(folder))
}

/// Bytes of all files below a folder.
pub(crate) fn tree_size(folder: &Path) -> Result<u64, Error> {
    let mut total = 0;
    for entry in fs::read_dir(folder).map_err(Error::file(folder))? {
        let path = entry.map_err(Error::file(folder))?.path();
        let metadata = path.symlink_metadata().map_err(Error::file(&path))?;
        total += if metadata.is_dir() { tree_size(&path)? } else { metadata.len() };
    }
    Ok(total)
}

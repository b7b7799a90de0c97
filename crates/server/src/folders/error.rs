//! Why an archive is not taken, or a folder not packed.

use std::io;

use thiserror::Error;

use super::{MAX_DEPTH, MAX_PATH};
use crate::shorten::shown;
use crate::workspace::disk_meter::DiskFull;

/// Why an archive is not taken, or a folder not packed.
#[derive(Debug, Error)]
pub(crate) enum ArchiveError {
    #[error("the body is not a tar archive (at byte {at}): send an uncompressed one, as `tar -cf -` makes it")]
    NotTar { at: u64 },
    #[error("the archive ends within its entries (at byte {at}): send it again as a whole")]
    Cut { at: u64 },
    #[error("{name:?} in the archive leads out of its folder: use relative names without `..`")]
    LeadsOut { name: String },
    #[error(
        "the link {name:?} in the archive leads out of its folder, to {target:?}: leave it out, or give it a relative target with `..` at its beginning only"
    )]
    LinkLeadsOut { name: String, target: String },
    #[error("{name:?} in the archive is {is}, which a session does not take: leave it out")]
    Unsupported { name: String, is: &'static str },
    #[error("{name:?} in the archive is below a link of the same archive: put it where the link leads")]
    BelowLink { name: String },
    #[error(
        "{name:?} in the archive has a name or target that is longer than {MAX_PATH} bytes or deeper than {MAX_DEPTH} folders"
    )]
    TooLong { name: String },
    #[error("{path:?} nests more than {MAX_DEPTH} folders: pack a folder further down")]
    TooDeep { path: String },
    #[error("{path:?} became shorter while it was packed: try again when nothing writes to it")]
    Changed { path: String },
    #[error(
        "the archive was changed while it was unpacked: send it again, when no program of the session writes to it"
    )]
    Exchanged,
    #[error("{path:?}: {error}")]
    File { path: String, error: io::Error },
    #[error(transparent)]
    Limit(#[from] DiskFull),
}

impl ArchiveError {
    pub(super) fn file(path: &std::path::Path, error: io::Error) -> Self {
        Self::File { path: shown(&path.to_string_lossy()), error }
    }
}

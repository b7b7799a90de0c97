//! A folder that the service has packed into a tar archive, to be read like a file.

use std::time::Duration;

use super::transfer::FileLink;
use crate::error::ApiError;
use crate::http::{Answered, Method};
use crate::json;
use crate::procedure::{Reply, Single};

/// How long a service may take to pack or unpack an archive before its call counts as lost: ten gigabytes at 17 MB/s.
pub(super) const PACKING: Duration = Duration::from_secs(600);

/// A tar archive of a folder, as a file of the session. Whoever has read it
/// [discards](super::Files::discard_archive) it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedFolder {
    /// Where the archive is.
    pub path: String,
    /// Bytes of the archive.
    pub size: u64,
    /// Files, folders and links in it.
    pub entries: u64,
    /// Sockets, pipes and devices, which an archive cannot have.
    pub left_out: u64,
}

impl PackedFolder {
    /// The name in a session's `extensions` under which a service says that it packs and unpacks folders.
    pub const EXTENSION: &str = FileLink::FOLDERS;

    /// Packs a folder under a name of the caller's: letters, digits and `-`, at most 64.
    pub(super) fn pack(link: &FileLink, path: &str, upload: &str) -> Single<Self> {
        let mut request = link.request(Method::Post, "/archive").query("path", path).query("upload", upload);
        request.expected = PACKING;
        Single::new(request, Self::read)
    }

    fn read(answered: Answered<Reply>) -> Result<Answered<Self>, ApiError> {
        Ok(answered.map(|reply| {
            let (data, _) = reply.into_service();
            let data = json::unquote_object(data).unwrap_or_default();
            let count = |name| json::count(&data, &[name]).unwrap_or_default();
            Self {
                path: json::string(&data, &["path"]).unwrap_or_default(),
                size: count("size"),
                entries: count("entries"),
                left_out: count("leftOut"),
            }
        }))
    }
}

json_object!(PackedFolder as packed {
    "path": packed.path, "size": packed.size, "entries": packed.entries, "leftOut": packed.left_out,
});

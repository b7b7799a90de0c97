//! The text of `get_file_info`: a `key: value` a line.

/// What there is to know of a file or directory. What the service does not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileInfo {
    /// The last part of its path.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Bytes; absent where the service does not say.
    pub size: Option<u64>,
    /// It is a directory.
    pub is_directory: bool,
    /// `file`, `directory`, or another kind that the service names.
    pub kind: String,
    /// When it was last changed, as the service writes it.
    pub modified: String,
    /// Its permissions, as the service writes them.
    pub mode: String,
    /// Who owns it.
    pub owner: Option<String>,
    /// The group that owns it.
    pub group: Option<String>,
}

impl FileInfo {
    pub(super) fn read(text: &str, asked: &str) -> Self {
        let field = |names: &[&str]| {
            let named = |name: &&str| {
                let lines = text.lines().filter_map(|line| line.split_once(':'));
                lines
                    .map(|(key, value)| (key.trim(), value.trim()))
                    .find(|(key, value)| key == name && !value.is_empty())
            };
            names.iter().find_map(named).map(|(_, value)| value.to_owned())
        };
        let path = field(&["path"]).unwrap_or_else(|| asked.to_owned());
        let last = || path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let is_directory = field(&["isDirectory"]).is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
        let kind = || String::from(if is_directory { "directory" } else { "file" });
        Self {
            name: field(&["name"]).unwrap_or_else(last),
            size: field(&["size"]).and_then(|size| size.parse().ok()),
            is_directory,
            kind: field(&["type"]).unwrap_or_else(kind),
            modified: field(&["modTime", "modified"]).unwrap_or_default(),
            mode: field(&["mode", "permissions"]).unwrap_or_default(),
            owner: field(&["owner"]),
            group: field(&["group"]),
            path,
        }
    }
}

json_object!(FileInfo as info {
    "name": info.name, "path": info.path, "size": info.size.unwrap_or_default(), "isDirectory": info.is_directory,
    "type": info.kind, "modTime": info.modified, "mode": info.mode, "owner": info.owner, "group": info.group,
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_services_are_known_to_write() {
        let text = "size: 12\nisDirectory: false\npermissions: 644\nmodified: 2026-11-29T10:11:12Z\nodd\n: x\n";
        let info = FileInfo::read(text, "/tmp/a:b/c.txt");
        assert_eq!((info.name.as_str(), info.path.as_str()), ("c.txt", "/tmp/a:b/c.txt"));
        assert_eq!((info.size, info.is_directory, info.kind.as_str()), (Some(12), false, "file"));
        assert_eq!((info.mode.as_str(), info.modified.as_str()), ("644", "2026-11-29T10:11:12Z"));
        assert_eq!(info.owner, None);
        let text = "name: d\npath: /x/d\nisDirectory: True\ntype: folder\nmodTime: now\nmode: 755\nowner: u\ngroup: g";
        let info = FileInfo::read(text, "d/");
        assert_eq!(
            (info.path.as_str(), info.kind.as_str(), info.is_directory, info.size),
            ("/x/d", "folder", true, None)
        );
        assert_eq!((info.owner.as_deref(), info.group.as_deref()), (Some("u"), Some("g")));
        assert_eq!(FileInfo::read("", "a/b/").name, "b");
        assert_eq!(FileInfo::read("size: many", "/").name, "");
    }
}

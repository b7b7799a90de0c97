//! What is synchronised between a context and a session, when, and how: the `policy` of a mount.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ContextError;
use super::json_object::JsonObject;
use super::path::ContextPath;

/// The policy of a mount, as documented; what a client leaves out has its documented default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyncPolicy {
    /// Uploads when the session is released.
    pub(crate) auto_upload: bool,
    /// Downloads when the session is created.
    pub(crate) auto_download: bool,
    /// Uploads one archive instead of files.
    pub(crate) archive: bool,
    /// What the session has deleted is deleted in the context, too.
    pub(crate) deletes: bool,
    /// What becomes of archives that are downloaded; `None`: they stay archives.
    pub(crate) extract: Option<Extract>,
    /// Where the context has the files, if that is elsewhere than at the mount's path.
    pub(crate) mapping: Option<ContextPath>,
    /// Empty: everything.
    white_list: Vec<WhiteEntry>,
    recycle: Option<(u32, Vec<String>)>,
}

/// What is recycled below one mount, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecycleRule {
    /// The mount's folder in the context.
    pub(crate) root: String,
    /// Below the mount; an empty text means all of it.
    pub(crate) paths: Vec<String>,
    pub(crate) days: u32,
}

impl RecycleRule {
    /// About how much memory it takes.
    pub(crate) fn memory_size(&self) -> usize {
        /// A place in a list, and texts.
        const PART: usize = 64;
        self.root.len() + PART + self.paths.iter().map(|path| path.len() + PART).sum::<usize>()
    }

    /// Whether a path of the context is among what is recycled.
    pub(super) fn matches(&self, path: &ContextPath) -> bool {
        let Ok(root) = ContextPath::parse(&self.root) else { return false };
        self.paths.iter().any(|below| {
            let Ok(below) = ContextPath::parse(below) else { return false };
            path.as_path().starts_with(root.as_path().join(below.as_path()))
        })
    }
}

/// How archives are extracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extract {
    pub(crate) delete_source: bool,
    /// Into the folder that the archive is in, not into one of its name.
    pub(crate) into_current: bool,
}

/// A part of a mount that is synchronised. Paths are relative to the mount.
#[derive(Clone, Debug, PartialEq, Eq)]
struct WhiteEntry {
    path: PathBuf,
    exclude: Vec<PathBuf>,
}

/// More parts and paths are a program's mistake: each is compared with each file.
const MAX_LIST: usize = 200;
/// Bytes of a policy, which is not even read beyond: what its JSON becomes takes many times its text.
///
/// 64 KiB: three lists of 200 paths with 100 bytes each; a usual policy has one.
pub(crate) const MAX_POLICY: usize = 64 * 1024;
/// Ten years; `Lifecycle_Forever` is longer.
const MAX_DAYS: u32 = 3650;

impl SyncPolicy {
    /// Reads the JSON text of a policy; an empty one is the default.
    pub(crate) fn parse(text: &str, mount: &ContextPath) -> Result<Self, ContextError> {
        let raw: Raw = match text.trim() {
            "" => Raw::default(),
            text if text.len() > MAX_POLICY => {
                return Err(ContextError::Policy(format!("it has more than {MAX_POLICY} bytes")));
            }
            text => {
                serde_json::from_str::<JsonObject<_>>(text).map_err(|error| ContextError::Policy(error.to_string()))?.0
            }
        };
        raw.read(mount)
    }

    /// Everything as it is, for files that pass through.
    pub(crate) fn plain() -> Self {
        let default = Raw::default().read(&ContextPath::default()).expect("what is left out has a default");
        Self { extract: None, ..default }
    }

    /// Whether a path, relative to the mount, is synchronised.
    pub(crate) fn includes(&self, path: &Path) -> bool {
        self.white_list.is_empty() || self.white_list.iter().any(|entry| entry.includes(path))
    }

    /// Whether something below a folder may be synchronised.
    pub(crate) fn may_include_below(&self, folder: &Path) -> bool {
        self.includes(folder) || self.white_list.iter().any(|entry| entry.path.starts_with(folder))
    }

    /// What is recycled in the context's folder of this mount.
    pub(crate) fn recycle_rule(&self, folder: &ContextPath) -> Option<RecycleRule> {
        let (days, paths) = self.recycle.clone()?;
        Some(RecycleRule { root: folder.shown(), paths, days })
    }
}

impl WhiteEntry {
    fn includes(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.path) else { return false };
        // The documentation's examples name excluded paths from the mount, and from the entry.
        !self.exclude.iter().any(|excluded| path.starts_with(excluded) || below.starts_with(excluded))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Raw {
    upload_policy: Option<JsonObject<RawUpload>>,
    download_policy: Option<JsonObject<RawDownload>>,
    delete_policy: Option<JsonObject<RawDelete>>,
    extract_policy: Option<JsonObject<RawExtract>>,
    recycle_policy: Option<JsonObject<RawRecycle>>,
    bw_list: Option<JsonObject<RawList>>,
    mapping_policy: Option<JsonObject<RawMapping>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawUpload {
    auto_upload: Option<bool>,
    upload_strategy: Option<String>,
    upload_mode: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawDownload {
    auto_download: Option<bool>,
    download_strategy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawDelete {
    sync_local_file: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawExtract {
    extract: Option<bool>,
    delete_src_file: Option<bool>,
    #[serde(alias = "extractCurrentFolder")]
    extract_to_current_folder: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawRecycle {
    lifecycle: Option<String>,
    paths: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawList {
    white_lists: Vec<JsonObject<RawWhite>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawWhite {
    path: String,
    exclude_paths: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct RawMapping {
    path: String,
}

impl Raw {
    fn read(self, mount: &ContextPath) -> Result<SyncPolicy, ContextError> {
        let upload = self.upload_policy.unwrap_or_default().0;
        let download = self.download_policy.unwrap_or_default().0;
        let extract = self.extract_policy.unwrap_or_default().0;
        one_of("uploadStrategy", upload.upload_strategy.as_deref(), &["UploadBeforeResourceRelease"])?;
        one_of("downloadStrategy", download.download_strategy.as_deref(), &["DownloadAsync"])?;
        one_of("uploadMode", upload.upload_mode.as_deref(), &["File", "Archive"])?;
        let white = self.bw_list.unwrap_or_default().0.white_lists;
        if white.len() > MAX_LIST || white.iter().any(|JsonObject(entry)| entry.exclude_paths.len() > MAX_LIST) {
            return Err(ContextError::Policy(format!("bwList: more than {MAX_LIST} paths in a list")));
        }
        let white_list = white.iter().map(|JsonObject(entry)| {
            let exclude = entry.exclude_paths.iter().map(|path| relative(path, mount));
            Ok(WhiteEntry {
                path: relative(&entry.path, mount)?,
                exclude: exclude.collect::<Result<_, ContextError>>()?,
            })
        });
        let recycle = match self.recycle_policy {
            None => None,
            Some(JsonObject(raw)) => {
                let paths = raw.paths.unwrap_or_else(|| vec![String::new()]);
                if paths.len() > MAX_LIST {
                    return Err(ContextError::Policy(format!("recyclePolicy: more than {MAX_LIST} paths")));
                }
                let paths = paths.iter().map(|path| Ok(relative(path, mount)?.to_string_lossy().into_owned()));
                let paths = paths.collect::<Result<Vec<_>, ContextError>>()?;
                lifecycle(raw.lifecycle.as_deref())?.map(|days| (days, paths))
            }
        };
        Ok(SyncPolicy {
            auto_upload: upload.auto_upload.unwrap_or(true),
            auto_download: download.auto_download.unwrap_or(true),
            archive: upload.upload_mode.as_deref() == Some("Archive"),
            deletes: self.delete_policy.and_then(|JsonObject(delete)| delete.sync_local_file).unwrap_or(true),
            extract: extract.extract.unwrap_or(true).then_some(Extract {
                delete_source: extract.delete_src_file.unwrap_or(true),
                into_current: extract.extract_to_current_folder.unwrap_or(false),
            }),
            mapping: self.mapping_policy.map(|JsonObject(mapping)| ContextPath::parse(&mapping.path)).transpose()?,
            white_list: white_list.collect::<Result<_, ContextError>>()?,
            recycle,
        })
    }
}

fn one_of(name: &str, value: Option<&str>, known: &[&str]) -> Result<(), ContextError> {
    match value {
        Some(value) if !known.contains(&value) => {
            let value: String = value.chars().take(80).collect();
            Err(ContextError::Policy(format!("{name} is {value:?}; use {}", known.join(" or "))))
        }
        _ => Ok(()),
    }
}

/// A path of a list, relative to the mount; one that is absolute and below the mount is taken as well.
fn relative(path: &str, mount: &ContextPath) -> Result<PathBuf, ContextError> {
    if path.contains(['*', '?', '[', ']']) {
        let path: String = path.chars().take(80).collect();
        return Err(ContextError::Policy(format!("the path {path:?} has wildcards; name files and folders")));
    }
    let path = ContextPath::parse(path)?;
    let below = path.as_path().strip_prefix(mount.as_path());
    Ok(below.unwrap_or(path.as_path()).to_path_buf())
}

fn lifecycle(text: Option<&str>) -> Result<Option<u32>, ContextError> {
    let Some(text) = text else { return Ok(None) };
    if text == "Lifecycle_Forever" {
        return Ok(None);
    }
    let days = text.strip_prefix("Lifecycle_").and_then(|rest| rest.strip_suffix("Days").or(rest.strip_suffix("Day")));
    match days.and_then(|days| days.parse().ok()) {
        Some(days @ 1..=MAX_DAYS) => Ok(Some(days)),
        _ => {
            let text: String = text.chars().take(80).collect();
            Err(ContextError::Policy(format!(
                "lifecycle is {text:?}; use Lifecycle_Forever or one like Lifecycle_30Days"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SyncPolicy, ContextError> {
        SyncPolicy::parse(text, &ContextPath::parse("/home/data").expect("a path"))
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        for text in ["", "{}", r#"{"uploadPolicy":{},"bwList":{"whiteLists":[]},"unknown":1}"#] {
            let policy = parse(text).expect("a policy");
            assert!(policy.auto_upload && policy.auto_download && policy.deletes && !policy.archive, "{text}");
            assert_eq!(policy.extract, Some(Extract { delete_source: true, into_current: false }));
            assert!(policy.includes(Path::new("any/thing")) && policy.mapping.is_none());
            assert_eq!(policy.recycle_rule(&ContextPath::default()), None);
        }
    }

    #[test]
    fn white_lists_name_parts_of_the_mount() {
        let policy = parse(
            r#"{"bwList":{"whiteLists":[{"path":"src","excludePaths":["node_modules","src/tmp"]},{"path":"/home/data/docs/a"}]}}"#,
        )
        .expect("a policy");
        for (path, included) in [
            ("src/x", true),
            ("src", true),
            ("srcs/x", false),
            ("src/node_modules/y", false),
            ("src/tmp/z", false),
            ("docs/a/1", true),
            ("docs/b", false),
            ("x", false),
        ] {
            assert_eq!(policy.includes(Path::new(path)), included, "{path}");
        }
        assert!(policy.may_include_below(Path::new("docs")) && !policy.may_include_below(Path::new("other")));
        assert!(policy.may_include_below(Path::new("")));
    }

    #[test]
    fn lifecycles_become_rules() {
        let rule = |text: &str| {
            let policy = parse(&format!(r#"{{"recyclePolicy":{{"lifecycle":"{text}","paths":["","a/b"]}}}}"#));
            policy.map(|policy| policy.recycle_rule(&ContextPath::parse("/home/data").expect("a path")))
        };
        let paths = vec![String::new(), "a/b".to_owned()];
        let days = |days| Some(RecycleRule { root: "/home/data".into(), paths: paths.clone(), days });
        assert_eq!(rule("Lifecycle_1Day"), Ok(days(1)));
        assert_eq!(rule("Lifecycle_360Days"), Ok(days(360)));
        assert_eq!(rule("Lifecycle_Forever"), Ok(None));
        for bad in ["Lifecycle_0Days", "Lifecycle_Days", "forever", "Lifecycle_99999Days"] {
            assert!(rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_a_policy_is_refused() {
        for bad in [
            "[]",
            "{",
            "null",
            r#"[{"autoUpload":false}]"#,
            r#"{"uploadPolicy":1}"#,
            r#"{"uploadPolicy":[false]}"#,
            r#"{"bwList":[[]]}"#,
            r#"{"bwList":{"whiteLists":[["src",[]]]}}"#,
            r#"{"mappingPolicy":["/a"]}"#,
            r#"{"uploadPolicy":{"autoUpload":"yes"}}"#,
            r#"{"uploadPolicy":{"uploadMode":"Zip"}}"#,
            r#"{"uploadPolicy":{"uploadStrategy":"Now"}}"#,
            r#"{"downloadPolicy":{"downloadStrategy":"Now"}}"#,
            r#"{"bwList":{"whiteLists":[{"path":"*.py"}]}}"#,
            r#"{"bwList":{"whiteLists":[{"path":"../x"}]}}"#,
            r#"{"recyclePolicy":{"lifecycle":"Lifecycle_1Day","paths":["a?"]}}"#,
            r#"{"mappingPolicy":{"path":"/a/../b"}}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        let white =
            |entries: usize| format!(r#"{{"bwList":{{"whiteLists":[{{"path":"a"}}{}]}}}}"#, ",{}".repeat(entries));
        assert!(parse(&white(100)).is_ok());
        for (text, word) in [
            (white(1000), "more than 200 paths"),
            (white(5 << 20), "more than 65536 bytes"),
            // A policy all the same, so only its length is wrong.
            (format!(r#"{{"unknown":"{}"}}"#, "x".repeat(MAX_POLICY)), "more than 65536 bytes"),
        ] {
            let error = parse(&text).expect_err(word).to_string();
            assert!(error.contains(word) && error.len() < 1000, "{error}");
        }
    }
}

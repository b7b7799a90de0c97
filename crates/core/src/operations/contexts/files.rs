//! The files of a context.

use serde_json::Value;

use super::{objects, read, request};
use crate::http::{Answered, HttpRequest, Method, Repeat};
use crate::json::{self, Object};
use crate::procedure::{Reply, Single};

/// Where a file can be put or fetched without a key, for a while.
#[derive(Clone, PartialEq, Eq)]
pub struct FileUrl {
    /// Whoever has it may use it: it is a secret of the caller's.
    pub url: String,
    /// When it ends, as the service writes it.
    pub expire_time: Option<String>,
}

impl std::fmt::Debug for FileUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileUrl").field("expire_time", &self.expire_time).finish_non_exhaustive()
    }
}

json_object!(FileUrl as url { "url": url.url, "expireTime": url.expire_time });

/// A URL to `PUT` a file to.
#[must_use]
pub fn upload_url(context_id: &str, path: &str) -> Single<FileUrl> {
    url("/sdk/GetContextFileUploadUrl", context_id, path)
}

/// A URL to `GET` a file from.
#[must_use]
pub fn download_url(context_id: &str, path: &str) -> Single<FileUrl> {
    url("/sdk/GetContextFileDownloadUrl", context_id, path)
}

fn url(call: &str, context_id: &str, path: &str) -> Single<FileUrl> {
    let request = of_file(call, context_id, path);
    let parse = |data: Value, _: &Object| {
        let data = data.as_object()?;
        let expire_time = json::field(data, &["expireTime"]).and_then(|time| json::plain(time, ","));
        Some(FileUrl { url: json::string(data, &["url"])?, expire_time })
    };
    read(request, parse, "its data has no url")
}

/// Deletes a file of a context.
#[must_use]
pub fn delete_file(context_id: &str, path: &str) -> Single<()> {
    Single::done(of_file("/sdk/DeleteContextFile", context_id, path), || ())
}

fn of_file(call: &str, context_id: &str, path: &str) -> HttpRequest {
    request(Method::Post, call, Repeat::Safe, &[("contextId", context_id), ("filePath", path)])
}

/// The files below a folder of a context, a page at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListFiles {
    /// The context.
    pub context_id: String,
    /// The folder, as in the session that wrote it.
    pub folder: String,
    /// From 1.
    pub page: u64,
    /// Files a page.
    pub page_size: u64,
}

/// One file of a context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContextFile {
    /// Its id.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its path, as in the session that wrote it.
    pub path: String,
    /// What it is, in the service's word.
    pub kind: String,
    /// When it was made, as the service writes it.
    pub created: Option<String>,
    /// When it was last changed, as the service writes it.
    pub modified: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// The service's word for how it is.
    pub status: Option<String>,
}

/// One page of files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContextFiles {
    /// In the service's order.
    pub files: Vec<ContextFile>,
    /// How many there are on all pages, where the service says so.
    pub count: Option<u64>,
}

impl Default for ListFiles {
    /// The first page of the whole of a context, which is yet to be named.
    fn default() -> Self {
        Self { context_id: String::new(), folder: String::new(), page: 1, page_size: Self::PAGE_SIZE }
    }
}

impl ListFiles {
    /// The documented size of a page.
    pub(crate) const PAGE_SIZE: u64 = 50;

    /// Asks for the page.
    #[must_use]
    pub fn call(self) -> Single<ContextFiles> {
        let request = HttpRequest::new(Method::Post, "/sdk/DescribeContextFiles", Repeat::Safe)
            .query("contextId", self.context_id)
            .query("parentFolderPath", self.folder)
            .query("pageNumber", self.page.to_string())
            .query("pageSize", self.page_size.to_string());
        Single::new(request, |answered: Answered<Reply>| {
            Ok(answered.map(|reply| {
                let (data, fields) = reply.into_service();
                let files = objects(data).iter().map(ContextFile::read).collect();
                ContextFiles { files, count: json::count(&fields, &["count"]) }
            }))
        })
    }
}

impl ContextFile {
    fn read(item: &Object) -> Self {
        let text = |name: &str| json::field(item, &[name]).and_then(|value| json::plain(value, ","));
        Self {
            id: text("fileId"),
            name: text("fileName").unwrap_or_default(),
            path: text("filePath").unwrap_or_default(),
            kind: text("fileType").unwrap_or_default(),
            created: text("gmtCreate"),
            modified: text("gmtModified"),
            size: json::count(item, &["size"]),
            status: text("status"),
        }
    }
}

json_object!(ContextFile as file {
    "fileId": file.id, "name": file.name.as_str(), "path": file.path.as_str(), "type": file.kind.as_str(),
    "createdTime": file.created.as_deref(), "modifiedTime": file.modified.as_deref(), "size": file.size,
    "status": file.status, "fileName": file.name, "filePath": file.path, "fileType": file.kind,
    "gmtCreate": file.created, "gmtModified": file.modified,
});

json_object!(ContextFiles as page { "files": page.files, "count": page.count });

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::fixtures::line;
    use crate::operations::played::{Played, data, data_with};

    #[test]
    fn urls_are_for_one_file_and_do_not_print() {
        let mut played = Played::new(upload_url("c", "/a b"));
        assert_eq!(line(&played.call()), "POST https://h/sdk/GetContextFileUploadUrl?contextId=c&filePath=%2Fa%20b");
        let url = played.end(data(json!({"url": "https://u?k=SECRET", "expireTime": 12}))).unwrap();
        assert_eq!((url.url.as_str(), url.expire_time.as_deref()), ("https://u?k=SECRET", Some("12")));
        assert!(!format!("{url:?}").contains("SECRET"));
        let mut played = Played::new(download_url("c", "/a"));
        assert_eq!(line(&played.call()), "POST https://h/sdk/GetContextFileDownloadUrl?contextId=c&filePath=%2Fa");
        assert_eq!(played.end(data(json!({}))).unwrap_err().code(), "MALFORMED");
    }

    #[test]
    fn files_are_listed_a_page_at_a_time() {
        let list = ListFiles { context_id: "c".into(), folder: "/d".into(), page: 2, page_size: 1 };
        let mut played = Played::new(list.call());
        assert_eq!(
            line(&played.call()),
            "POST https://h/sdk/DescribeContextFiles?contextId=c&parentFolderPath=%2Fd&pageNumber=2&pageSize=1"
        );
        let first = ListFiles { context_id: "c".into(), ..ListFiles::default() };
        assert_eq!(
            line(&Played::new(first.call()).call()),
            "POST https://h/sdk/DescribeContextFiles?contextId=c&parentFolderPath=&pageNumber=1&pageSize=50"
        );
        let files = json!([{"fileId": 7, "fileName": "a", "filePath": "/d/a", "fileType": "FILE", "size": 3}, 1]);
        let page = played.end(data_with(files, json!({"count": 2}))).unwrap();
        assert_eq!((page.files.len(), page.count), (1, Some(2)));
        let value = Value::from(page.files[0].clone());
        assert_eq!(
            (&value["path"], &value["filePath"], &value["fileId"]),
            (&json!("/d/a"), &json!("/d/a"), &json!("7"))
        );
        let mut played = Played::new(delete_file("c", "/d/a"));
        assert_eq!(line(&played.call()), "POST https://h/sdk/DeleteContextFile?contextId=c&filePath=%2Fd%2Fa");
    }
}

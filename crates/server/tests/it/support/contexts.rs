//! Calls about contexts and what sessions mount of them.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{KEY, PATIENCE, Reply, TestServer};

impl TestServer {
    /// A call with all parameters in its query, as the published clients make it.
    pub(crate) async fn sdk(&self, name: &str, query: &[(&str, &str)]) -> Reply {
        self.sdk_with(KEY, name, query).await
    }

    /// The same with this key.
    pub(crate) async fn sdk_with(&self, key: &str, name: &str, query: &[(&str, &str)]) -> Reply {
        let url = self.url(&format!("/sdk/{name}"));
        let is_get = matches!(name, "ListContexts" | "GetContext" | "GetContextInfo");
        let request = if is_get { self.http.get(url) } else { self.http.post(url) };
        Reply::of(request.bearer_auth(key).query(query).send().await.expect("an answer")).await
    }

    /// The id of a context of this name, which is created if it is not there.
    pub(crate) async fn context(&self, name: &str) -> String {
        let query = [("name", name), ("allowCreate", "true"), ("loginRegionId", "cn-hangzhou")];
        self.sdk("GetContext", &query).await.ok()["id"].as_str().expect("an id").to_owned()
    }

    /// A signed URL of a context's file.
    pub(crate) async fn signed_url(&self, call: &str, context: &str, path: &str) -> String {
        let data = self.sdk(call, &[("contextId", context), ("filePath", path)]).await.ok();
        assert!(data["expireTime"].is_u64(), "{data}");
        data["url"].as_str().expect("a URL").to_owned()
    }

    /// The copies between a session and its contexts, as the published clients read them.
    pub(crate) async fn sync_tasks(&self, session: &str, filter: &[(&str, &str)]) -> Vec<Value> {
        let query = [&[("sessionId", session)][..], filter].concat();
        let data = self.sdk("GetContextInfo", &query).await.ok();
        let status: Value = serde_json::from_str(data["contextStatus"].as_str().expect("a text")).expect("JSON");
        assert_eq!(status[0]["type"], "data");
        serde_json::from_str(status[0]["data"].as_str().expect("a text")).expect("JSON")
    }

    /// The same when none of them goes on.
    pub(crate) async fn synced(&self, session: &str) -> Vec<Value> {
        let begin = Instant::now();
        loop {
            let tasks = self.sync_tasks(session, &[]).await;
            if tasks.iter().all(|task| task["status"] == "Success" || task["status"] == "Failed") {
                return tasks;
            }
            assert!(begin.elapsed() < PATIENCE, "{tasks:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

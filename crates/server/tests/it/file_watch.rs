//! The extension `fileWatch`: what happens to files is told when it happens.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{PATIENCE, Reply, TestServer, TestSession};

/// A session, and short calls of its watches.
struct Stage {
    server: TestServer,
    session: TestSession,
}

impl Stage {
    async fn start(server: TestServer) -> Self {
        let session = server.create().await;
        Self { server, session }
    }

    async fn ask(&self, method: &str, query: &[(&str, &str)]) -> Reply {
        let method = method.parse().expect("a method");
        let url = format!("{}/files/watch", self.session.link_url);
        let request = self.server.http.request(method, url).header("X-Access-Token", &self.session.token).query(query);
        Reply::of(request.send().await.expect("an answer")).await
    }

    async fn begin(&self, id: &str, path: &str, recursive: bool) -> Reply {
        let recursive = recursive.to_string();
        self.ask("POST", &[("watch", id), ("path", path), ("recursive", &recursive)]).await
    }

    async fn news(&self, id: &str, after: u64, wait: u64) -> Reply {
        self.ask("GET", &[("watch", id), ("after", &after.to_string()), ("waitS", &wait.to_string())]).await
    }

    /// News until one of them is this.
    async fn until(&self, id: &str, after: &mut u64, kind: &str, path: &str) -> Vec<(String, String)> {
        let (begin, mut all) = (Instant::now(), Vec::new());
        loop {
            let data = self.news(id, *after, 20).await.ok();
            *after = data["after"].as_u64().expect("a number");
            for event in data["events"].as_array().expect("a list") {
                let text = |name: &str| event[name].as_str().expect("a text").to_owned();
                all.push((text("eventType"), text("path")));
            }
            if all.iter().any(|(is, at)| is == kind && at == path) {
                return all;
            }
            assert!(data["ended"].is_null(), "{all:?} ended without {kind} of {path}");
            assert!(begin.elapsed() < PATIENCE, "{all:?} has no {kind} of {path}");
        }
    }

    async fn shell(&self, command: &str) {
        let args = json!({ "command": command, "timeout_ms": 60_000 });
        let text = self.server.call(&self.session, "shell", args).await.unwrap_or_else(|error| panic!("{error}"));
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(answer["exit_code"], 0, "{answer}");
    }
}

#[tokio::test]
async fn changes_are_told_as_they_happen_and_until_they_have_arrived() {
    let stage = Stage::start(TestServer::start().await).await;
    stage.shell("mkdir -p /tmp/w/old; echo 1 > /tmp/w/f").await;
    stage.begin("w1", "/tmp/w", false).await.ok();
    stage.begin("w1", "/tmp/w", false).await.ok();
    assert_eq!(stage.news("w1", 0, 0).await.ok(), json!({ "after": 0, "events": [], "ended": null }));
    // Whoever waits hears at once.
    let (told, ()) = tokio::join!(stage.news("w1", 0, 60), stage.shell("echo 2 > /tmp/w/f"));
    let told = told.ok();
    assert_eq!(told["after"], 1);
    assert_eq!(told["events"][0], json!({ "eventType": "modify", "path": "/tmp/w/f", "pathType": "file" }));
    assert_eq!(stage.news("w1", 0, 0).await.ok()["events"][0], told["events"][0], "its answer was lost");
    stage.news("w1", 7, 0).await.is_error(409, "InvalidWatch.Position", "7");
    let mut after = 1;
    stage.shell("cd /tmp/w; mkdir dir; mv f g; echo 1 > old/unseen; rm g; rmdir dir").await;
    let all = stage.until("w1", &mut after, "delete", "/tmp/w/dir").await;
    for expected in [("create", "dir"), ("delete", "f"), ("create", "g"), ("delete", "g")] {
        let expected = (expected.0.to_owned(), format!("/tmp/w/{}", expected.1));
        assert!(all.contains(&expected), "{all:?} has no {expected:?}");
    }
    assert!(all.iter().all(|(_, path)| !path.contains("unseen")), "{all:?}");
    stage.shell("rm -r /tmp/w").await;
    stage.until("w1", &mut after, "delete", "/tmp/w").await;
    assert!(stage.news("w1", after - 1, 0).await.ok()["ended"].is_string());
    stage.ask("DELETE", &[("watch", "w1")]).await.ok();
    stage.news("w1", after, 0).await.is_error(404, "InvalidWatch.NotFound", "begin it again");
    stage.server.stop().await;
}

#[tokio::test]
async fn folders_that_come_and_go_are_followed_and_links_are_not() {
    let stage = Stage::start(TestServer::start().await).await;
    stage.shell("mkdir -p /tmp/w/a/b /tmp/elsewhere; ln -s /tmp/elsewhere /tmp/w/link").await;
    stage.begin("w", "/tmp/w", true).await.ok();
    let mut after = 0;
    stage
        .shell("echo 1 > /tmp/w/a/b/f; echo 1 > /tmp/elsewhere/f; mkdir -p /tmp/w/new/deep; echo 1 > /tmp/w/new/deep/f")
        .await;
    let mut all = stage.until("w", &mut after, "create", "/tmp/w/new/deep/f").await;
    stage.shell("mv /tmp/w/new /tmp/w/moved; echo 1 > /tmp/w/moved/deep/g").await;
    all.extend(stage.until("w", &mut after, "create", "/tmp/w/moved/deep/g").await);
    assert!(all.contains(&("create".to_owned(), "/tmp/w/a/b/f".to_owned())), "{all:?}");
    stage.shell("mv /tmp/w/moved /tmp/gone; echo 1 > /tmp/gone/deep/h; echo 1 > /tmp/w/last").await;
    all.extend(stage.until("w", &mut after, "create", "/tmp/w/last").await);
    assert!(all.iter().all(|(_, path)| !path.contains("elsewhere") && !path.contains("/link/")), "{all:?}");
    assert!(all.iter().all(|(_, path)| !path.ends_with("/h")), "{all:?}");
    stage.server.stop().await;
}

#[tokio::test]
async fn a_flood_is_one_overflow_and_limits_say_their_names() {
    // In memory where that can be: a disk that is busy takes a minute for so many files.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let server = TestServer::with_data_in(&parent, |config| {
        config.limits.max_watches = 2;
        config.limits.max_watched_folders = 10;
    })
    .await;
    let stage = Stage::start(server).await;
    stage.shell("mkdir /tmp/many /tmp/deep; cd /tmp/deep; for i in $(seq 20); do mkdir $i; done").await;
    stage.begin("deep", "/tmp/deep", true).await.is_error(429, "LimitExceeded.Watches", "--max-watched-folders");
    stage.begin("many", "/tmp/many", true).await.ok();
    let code = "for i in range(30_000): open(f'/tmp/many/{i}', 'w').close()";
    let run = stage.server.run_code(&stage.session, "python", code).await;
    assert!(run["executionError"].is_null(), "{run}");
    let mut after = 0;
    let all = stage.until("many", &mut after, "overflow", "/tmp/many").await;
    assert_eq!(all, [("overflow".to_owned(), "/tmp/many".to_owned())]);
    // A folder of many files is begun to be watched as fast as an empty one.
    stage.begin("full", "/tmp/many", false).await.ok();
    stage.begin("third", "/tmp", false).await.is_error(429, "LimitExceeded.Watches", "--max-watches");
    stage.shell("echo 1 > /tmp/many/last").await;
    stage.until("full", &mut 0, "create", "/tmp/many/last").await;
    stage.server.stop().await;
}

#[tokio::test]
async fn what_is_not_the_sessions_is_not_watched() {
    let stage = Stage::start(TestServer::start().await).await;
    stage.shell("ln -s /etc /tmp/out; mkfifo /tmp/pipe; echo 1 > /tmp/file").await;
    for (path, status, code) in [
        ("/etc/shadow", 404, "InvalidFile.NotFound"),
        ("/tmp/out", 404, "InvalidFile.NotFound"),
        ("/tmp/none", 404, "InvalidFile.NotFound"),
        ("/usr", 403, "InvalidFile.ReadOnly"),
        ("/tmp/pipe", 409, "InvalidFile.Kind"),
        ("", 400, "InvalidParameter.Value"),
    ] {
        stage.begin("w", path, false).await.is_error(status, code, "");
    }
    stage.begin("../w", "/tmp", false).await.is_error(400, "InvalidParameter.Value", "letters");
    stage.begin("file", "/tmp/file", false).await.ok();
    stage.shell("echo 2 >> /tmp/file").await;
    let mut after = 0;
    stage.until("file", &mut after, "modify", "/tmp/file").await;
    stage.shell("rm /tmp/file").await;
    stage.until("file", &mut after, "delete", "/tmp/file").await;
    let told = stage.news("file", after - 1, 0).await.ok();
    assert!(told["ended"].is_string() && told["events"][0]["pathType"] == "file", "{told}");
    stage.server.stop().await;
}

#[tokio::test]
async fn whoever_waits_hears_of_the_sessions_end() {
    let stage = Stage::start(TestServer::start().await).await;
    stage.begin("w", "/tmp", false).await.ok();
    let release = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        stage.server.post("/mcp/releaseSession", json!({ "sessionId": stage.session.id })).await.ok();
    };
    let begin = Instant::now();
    let (told, ()) = tokio::join!(stage.news("w", 0, 60), release);
    // Which of the two comes first is not ours to say.
    assert!(told.status != 200 || told.ok()["ended"].is_string());
    assert!(begin.elapsed() < PATIENCE);
    stage.server.stop().await;
}

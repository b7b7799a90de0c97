//! The endpoint `local`, with a shell script for the server.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use agb_client::{Agb, Options};
use tempfile::TempDir;

use crate::service::{Service, fine};

/// A program with this body; `$DIR` is its folder.
fn program(folder: &TempDir, body: &str) -> PathBuf {
    let (text, path) = (folder.path().join("text"), folder.path().join("agb-server"));
    fs::write(&text, format!("#!/bin/sh\nDIR='{}'\n{body}\n", folder.path().display())).expect("there is room");
    // Written by another process: a child that some other test starts at this moment would hold our file open for
    // writing, and the system runs no such file.
    let copied = std::process::Command::new("cp").args([&text, &path]).status().expect("there is a cp");
    assert!(copied.success());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    path
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is room")
}

fn agb(program: &Path) -> Agb {
    let options = Options::new().endpoint("local").local_server(program).environment([("", ""); 0]);
    Agb::new(&options).expect("no key is needed")
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn starts_once_with_a_key_that_only_its_environment_has() {
    let service = Service::start(|_| fine("\"[]\"")).await;
    let folder = folder();
    let program = program(
        &folder,
        &format!(
            "echo \"$@\" >> $DIR/arguments\nenv | grep ^AGB_ >> $DIR/environment\n\
             echo some other line\necho 'agb-server listening on {}'\ncat > /dev/null\necho over >> $DIR/ended",
            service.url
        ),
    );
    let agb = agb(&program);
    assert_eq!(agb.endpoint(), None);
    let clones = [agb.clone(), agb.clone(), agb.clone()];
    for call in clones.map(|agb| tokio::spawn(async move { agb.tools("i").await })) {
        call.await.expect("it does not panic").expect("the server answers");
    }
    assert_eq!(agb.endpoint().map(|url| url.to_string()).as_deref(), Some(&*service.url));
    assert_eq!(lines(&folder.path().join("arguments")), ["serve --listen 127.0.0.1:0 --exit-with-stdin"]);
    let environment = lines(&folder.path().join("environment"));
    let [line] = &*environment else { panic!("{environment:?}") };
    let key = line.strip_prefix("AGB_API_KEY=").expect("the key and nothing else");
    assert_eq!(key.len(), 64);
    assert!(service.seen().iter().all(|seen| seen.head.contains(&format!("authorization: bearer {key}"))));
    assert!(!folder.path().join("ended").exists(), "it ends only with this process");
}

#[tokio::test]
async fn is_started_again_when_it_has_died() {
    let service = Service::start(|_| fine("\"[]\"")).await;
    let folder = folder();
    let program = program(
        &folder,
        &format!("echo $$ >> $DIR/pids\necho 'agb-server listening on {}'\nexec cat > /dev/null", service.url),
    );
    let agb = agb(&program);
    agb.tools("i").await.expect("the server answers");
    let pids = lines(&folder.path().join("pids"));
    let killed = std::process::Command::new("kill").args(["-9", &pids[0]]).status().expect("there is a kill");
    assert!(killed.success());
    while fs::read_to_string(format!("/proc/{}/stat", pids[0])).is_ok_and(|stat| !stat.contains(") Z ")) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    agb.tools("i").await.expect("another one answers");
    assert_eq!(lines(&folder.path().join("pids")).len(), 2);
}

#[tokio::test]
async fn says_why_it_did_not_start() {
    let folder = folder();
    let path = program(&folder, "echo first >&2\necho \"bad image, key $AGB_API_KEY\" >&2\nexit 3");
    let error = agb(&path).tools("i").await.expect_err("it ends at once");
    assert_eq!(error.code(), "LOCAL_SERVER_FAILED");
    let text = error.to_string();
    assert!(text.contains("ended before it listened") && text.contains("first\nbad image, key [hidden]"), "{text}");

    let path = program(&folder, "echo 'agb-server listening on nonsense://x'\ncat > /dev/null");
    let error = agb(&path).tools("i").await.expect_err("its address is none");
    assert!(error.to_string().contains("scheme"), "{error}");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let error = agb(&path).tools("i").await.expect_err("it is no program");
    assert_eq!(error.code(), "LOCAL_SERVER_FAILED");

    let options = Options::new().endpoint("local").local_server("/nonexistent/agb-server");
    assert_eq!(Agb::new(&options).expect_err("there is none").code(), "NO_LOCAL_SERVER");
}

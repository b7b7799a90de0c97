//! What a session's own programs and a full disk do to its files and links.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{PATIENCE, Reply, TestServer, TestSession, eventually};

fn put(server: &TestServer, session: &TestSession, query: &[(&str, &str)], body: Vec<u8>) -> reqwest::RequestBuilder {
    let url = format!("{}/files", session.link_url);
    server.http.put(url).header("X-Access-Token", &session.token).query(query).body(body)
}

/// Sends as fast as it can, and writes down how much has gone.
const FLOOD: &str = "
import socket, sys, threading
sent = [0]
def write_down():
    while True:
        with open('sent.new', 'w') as f: f.write(str(sent[0]))
        import os, time
        os.rename('sent.new', 'sent')
        time.sleep(0.02)
threading.Thread(target=write_down, daemon=True).start()
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
print('ready', flush=True)
piece = b'x' * (1 << 20)
while True:
    connection, _ = listener.accept()
    connection.recv(65536)
    try:
        connection.sendall(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n')
        while True: sent[0] += connection.send(piece)
    except OSError as error:
        open('ended', 'w').write(type(error).__name__)
";

#[tokio::test]
async fn a_port_that_floods_its_link_is_held_back_by_the_reader() {
    let server = TestServer::start().await;
    let session = server.create().await;
    server.call(&session, "write_file", json!({ "path": "flood.py", "content": FLOOD })).await.expect("written");
    server
        .shell(&session, "nohup python3 flood.py 30100 > log 2>&1 & until grep -q ready log; do sleep 0.05; done")
        .await;
    let query = [("sessionId", session.id.as_str()), ("port", "30100")];
    let link = server.get("/internet/getLink", &query).await.ok()["url"].as_str().expect("a URL").to_owned();
    let mut answer = server.http.get(link).send().await.expect("a head");
    let mut read = 0;
    while read < 4 << 20 {
        read += answer.chunk().await.expect("it floods").expect("it does not end").len() as u64;
    }
    // Nobody reads any more: what is on its way fits into the buffers of sockets, and then the program waits.
    let sent = async || server.shell(&session, "cat sent").await["stdout"].as_str().expect("a number").parse::<u64>();
    let begin = std::time::Instant::now();
    let mut last = sent().await.expect("a number");
    let mut still = 0;
    while still < 10 {
        assert!(begin.elapsed() < PATIENCE, "it goes on sending, {last} bytes by now");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let now = sent().await.expect("a number");
        still = if now == last { still + 1 } else { 0 };
        last = now;
    }
    assert!(last < read + (64 << 20), "{last} bytes were taken of {read} that were read");
    // The session is as quick for everything else, and whoever comes back to reading gets more.
    assert_eq!(server.run_code(&session, "python", "print(1)").await["stdout"], json!(["1\n"]));
    let mut more = 0;
    while more < 64 << 20 {
        more += answer.chunk().await.expect("it floods").expect("it does not end").len();
    }
    drop(answer);
    let ended = async || server.call(&session, "read_file", json!({ "path": "ended" })).await;
    let begin = std::time::Instant::now();
    while ended().await.is_err() {
        assert!(begin.elapsed() < PATIENCE, "the program is not told that its reader has gone");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.stop().await;
}

/// A file system of a few MiB.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` for who may not mount one.
    fn mount(megabytes: u32) -> Option<Self> {
        let at = std::env::temp_dir().join(format!("agb-small-disk-{}", std::process::id()));
        std::fs::create_dir_all(&at).expect("a folder");
        let size = format!("size={megabytes}m,mode=755");
        let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(&at).output();
        let this = Self(at);
        mounted.is_ok_and(|output| output.status.success()).then_some(this)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).output();
        let _ = std::fs::remove_dir(&self.0); // of who could not mount anything it is empty, too
    }
}

fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let mut waiting = vec![folder.to_path_buf()];
    let mut found = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(".agb-") || name.starts_with("transfer-") {
                found.push(entry.path());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(entry.path());
            }
        }
    }
    found
}

/// The limits of sessions have tests of their own; this is a machine whose disk is full.
#[tokio::test]
async fn on_a_full_disk_nothing_is_half_written() {
    let Some(disk) = SmallDisk::mount(24) else {
        println!("not run: a file system of its own needs root");
        return;
    };
    let server = TestServer::with_data_in(&disk.0, |_| {}).await;
    let session = server.create().await;
    let old = "old ".repeat(1000);
    server.call(&session, "write_file", json!({ "path": "f", "content": old })).await.expect("written");
    server.shell(&session, "mkdir d; echo kept > d/kept").await;
    let much = vec![b'x'; 40 << 20];
    let header = |size: usize| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..3].copy_from_slice(b"big");
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(size as u64);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    // One that arrives, but has no room beside itself.
    let archive = [header(14 << 20), much[..14 << 20].to_vec(), vec![0; 1024]].concat();
    for (query, body) in [
        (vec![("path", "f")], &much),
        (vec![("path", "f"), ("mode", "append")], &much),
        (vec![("path", "new"), ("mode", "create_new")], &much),
        (vec![("path", "d"), ("archive", "tar")], &much),
        (vec![("path", "d"), ("archive", "tar")], &archive),
    ] {
        let answer = put(&server, &session, &query, body.clone()).send().await.expect("an answer");
        Reply::of(answer).await.is_error(507, "InsufficientStorage", "no space");
    }
    // Not even the tools' own small files fit now.
    server.shell(&session, "head -c 100000000 /dev/zero > filler; true").await;
    let write = json!({ "path": "f", "content": "y".repeat(100_000) });
    let edit = json!({ "path": "f", "edits": [{ "oldText": "old", "newText": "a much longer text" }] });
    let append = json!({ "path": "f", "content": "z".repeat(100_000), "mode": "append" });
    let begin = json!({ "path": "begun", "content": "z".repeat(100_000), "mode": "append" });
    for (tool, args) in [("write_file", write), ("edit_file", edit), ("write_file", append), ("write_file", begin)] {
        let error = server.call(&session, tool, args).await.expect_err("there is no room");
        assert!(error.contains("space") || error.contains("full"), "{tool}: {error}");
    }
    server.shell(&session, "rm filler").await;
    let seen = server.shell(&session, "cat f; ls; ls d; cat d/kept").await;
    assert_eq!(seen["stdout"], format!("{old}d\nf\nkept\nkept\n"), "{seen}");
    eventually("nothing half written stays", || unfinished(&server.data_dir).is_empty()).await;
    let put = put(&server, &session, &[("path", "f")], vec![b'n'; 1 << 20]).send().await.expect("an answer");
    assert_eq!(Reply::of(put).await.ok()["size"], 1 << 20, "there is room again");
    server.stop().await;
}

/// Folders that their owner may not read hide from an ordinary user's server, and from whoever acts as the session's user,
/// how much there is: the file calls write nothing more until they can be looked into.
#[tokio::test]
async fn what_cannot_be_counted_leaves_no_room_for_file_calls() {
    let server = TestServer::with(|config| config.sandbox.disk = 20_000_000).await;
    let session = server.create().await;
    // The command has ended before anybody looks at what it leaves.
    let closed = "import os\nos.mkdir('b')\nfor chain in range(20):\n    os.chdir(os.path.expanduser('~'))\n    os.mkdir(f'c{chain}')\n    \
                  os.chdir(f'c{chain}')\n    for _ in range(40):\n        os.mkdir('d', 0o300)\n        os.chdir('d')\n";
    let (Ok(_) | Err(_)) = server.call(&session, "run_code", json!({ "language": "python", "code": closed })).await;
    let mut written = 0;
    let mut refused = Vec::new();
    for at in 0..30 {
        let write = json!({ "path": format!("b/w{at}"), "content": "x".repeat(1 << 20) });
        match server.call(&session, "write_file", write).await {
            Ok(_) => written += 1,
            Err(error) => refused.push(error),
        }
        let put = put(&server, &session, &[("path", &format!("b/p{at}"))], vec![b'x'; 1 << 20]);
        let answer = put.send().await.expect("an answer");
        if answer.status().is_success() {
            written += 1;
        } else {
            Reply::of(answer).await.is_error(507, "InsufficientStorage", "on disk");
        }
    }
    assert!(written <= 19, "{written} MiB were written, of 20 MB that are allowed");
    assert!(!refused.is_empty());
    server.stop().await;
}

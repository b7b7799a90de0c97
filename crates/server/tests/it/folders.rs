//! Folders as tar archives: packed while they are read, unpacked as a whole or not at all.

use std::io::{Read, Write};

use serde_json::json;

use crate::support::{Reply, TestServer, TestSession};

fn request(
    server: &TestServer,
    session: &TestSession,
    method: &str,
    below: &str,
    query: &[(&str, &str)],
) -> reqwest::RequestBuilder {
    let method = method.parse().expect("a method");
    let url = format!("{}/files{below}", session.link_url);
    server.http.request(method, url).header("X-Access-Token", &session.token).query(query)
}

async fn put(server: &TestServer, session: &TestSession, path: &str, archive: Vec<u8>) -> Reply {
    let put = request(server, session, "PUT", "", &[("path", path)]).header("content-type", "application/x-tar");
    Reply::of(put.body(archive).send().await.expect("an answer")).await
}

/// One entry as a stranger would write it.
fn entry(kind: tar::EntryType, name: &str, target: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_mtime(1_000_000_000);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    let mut block = header.as_bytes().to_vec();
    block.extend_from_slice(bytes);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut archive = entries.concat();
    archive.resize(archive.len() + 1024, 0);
    archive
}

#[tokio::test]
async fn a_folder_is_read_and_written_as_a_tar_stream() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let long = "x".repeat(150);
    let command = format!(
        "mkdir -p src/deep/{long} src/empty && cd src && head -c 3000000 /dev/urandom > large && printf 'hi' > deep/{long}/a \
         && ln -s deep/{long}/a link && printf '#!' > run && chmod 755 run && touch -d @1000000000 run && mkfifo pipe \
         && sha256sum large | cut -d' ' -f1"
    );
    let made = server.shell(&session, &command).await;
    let sum = made["stdout"].as_str().expect("a sum").trim().to_owned();

    let get = request(&server, &session, "GET", "", &[("path", "src")]).send().await.expect("an answer");
    assert_eq!((get.status().as_u16(), get.headers()["content-type"].as_bytes()), (200, &b"application/x-tar"[..]));
    let packed = get.bytes().await.expect("a body").to_vec();
    let mut names: Vec<String> = tar::Archive::new(&packed[..])
        .entries()
        .expect("an archive")
        .map(|entry| entry.expect("an entry").path().expect("a path").to_string_lossy().into_owned())
        .collect();
    names.sort();
    let deep = format!("deep/{long}/");
    assert_eq!(names, ["deep/", &deep, &format!("{deep}a"), "empty/", "large", "link", "run"], "without the pipe");

    // And back, into a folder that is made for it, by the session's own user.
    let data = put(&server, &session, "/tmp/new/copy", packed.clone()).await.ok();
    assert_eq!(data["entries"], 7);
    let command = format!(
        "cd /tmp/new/copy && sha256sum large | cut -d' ' -f1; cat {deep}a; readlink link; stat -c '%a %Y' run; test -O run && ls empty | wc -l; test -w . && echo writable"
    );
    let seen = server.shell(&session, &command).await;
    assert_eq!(seen["stdout"], format!("{sum}\nhi{deep}a\n755 1000000000\n0\nwritable\n"), "{seen}");
    let left = server.shell(&session, "ls -A /tmp /tmp/new /tmp/new/copy | grep agb").await;
    assert_eq!(left["stdout"], "", "nothing is left of its way");

    // A folder that is there keeps what it has beside the archive's files.
    server.shell(&session, "echo mine > /tmp/new/copy/other; echo old > /tmp/new/copy/run").await;
    put(&server, &session, "/tmp/new/copy", packed).await.ok();
    let seen = server.shell(&session, "cd /tmp/new/copy; cat other run").await;
    assert_eq!(seen["stdout"], "mine\n#!");

    // Folders have their permissions, whether they were there or not; the session can use them in any case.
    server.shell(&session, "mkdir modes; cd modes; mkdir -m 711 a; mkdir -m 500 b; mkdir -m 750 -p a/c").await;
    let get = request(&server, &session, "GET", "", &[("path", "modes")]).send().await.expect("an answer");
    let packed = get.bytes().await.expect("a body").to_vec();
    server.shell(&session, "mkdir -p /tmp/modes/a; chmod 755 /tmp/modes; chmod 700 /tmp/modes/a").await;
    put(&server, &session, "/tmp/modes", packed).await.ok();
    let seen = server.shell(&session, "cd /tmp/modes; stat -c '%a %n' . a a/c b").await;
    assert_eq!(seen["stdout"], "755 .\n711 a\n750 a/c\n700 b\n");

    // A range is one of a file: who asks for it is told that this is none.
    let range = request(&server, &session, "GET", "", &[("path", "src")]).header("range", "bytes=0-9");
    Reply::of(range.send().await.expect("an answer")).await.is_error(409, "InvalidFile.Kind", "a directory");
    let missing = request(&server, &session, "GET", "", &[("path", "none")]).send().await.expect("an answer");
    Reply::of(missing).await.is_error(404, "InvalidFile.NotFound", "none");
    server.stop().await;
}

#[tokio::test]
async fn a_folder_is_packed_to_be_read_with_ranges_and_an_archive_is_sent_in_parts() {
    let server = TestServer::start().await;
    let session = server.create().await;
    server.shell(&session, "mkdir a; seq 100000 > a/numbers; echo x > a/x; mkfifo a/pipe").await;
    let query = [("path", "a"), ("upload", "one"), ("archive", "tar")];
    let packed = request(&server, &session, "POST", "/archive", &query).send().await.expect("an answer");
    let packed = Reply::of(packed).await.ok();
    assert_eq!((&packed["entries"], &packed["leftOut"]), (&json!(2), &json!(1)));
    let path = packed["path"].as_str().expect("a path");
    let read = request(&server, &session, "GET", "", &[("path", path)]).send().await.expect("an answer");
    let bytes = read.bytes().await.expect("a body").to_vec();
    assert_eq!(packed["size"], bytes.len());

    let query = [("path", "/home/user/b"), ("upload", "two"), ("archive", "tar")];
    let part = |from: usize, to: usize, complete: &str| {
        let put = request(&server, &session, "PUT", "", &query).header("Upload-Offset", from);
        put.header("Upload-Complete", complete).body(bytes[from..to].to_vec()).send()
    };
    let half = bytes.len() / 2;
    Reply::of(part(0, half, "?0").await.expect("an answer")).await.ok();
    let progress = request(&server, &session, "GET", "/progress", &query).send().await.expect("an answer");
    assert_eq!(Reply::of(progress).await.ok(), json!({ "offset": half }));
    assert_eq!(server.shell(&session, "ls").await["stdout"], "a\n", "nothing is in its place yet");
    let done = Reply::of(part(half, bytes.len(), "?1").await.expect("an answer")).await.ok();
    assert_eq!(done["entries"], 2);
    let again = Reply::of(part(half, bytes.len(), "?1").await.expect("an answer")).await.ok();
    assert_eq!(again["size"], done["size"], "an answer that was lost is given again");
    let seen = server.shell(&session, "cmp a/numbers b/numbers && cat b/x").await;
    assert_eq!(seen["stdout"], "x\n", "{seen}");

    let query = [("path", "a"), ("upload", "one"), ("archive", "tar")];
    let discard = request(&server, &session, "DELETE", "", &query).send().await.expect("an answer");
    Reply::of(discard).await.ok();
    assert_eq!(server.shell(&session, "ls -A /tmp").await["stdout"], "");
    server.stop().await;
}

#[tokio::test]
async fn a_hostile_archive_is_refused_and_nothing_of_it_is_written() {
    use tar::EntryType as Kind;
    let server = TestServer::with(|config| {
        config.sandbox.disk = 8 << 20;
        config.sandbox.files = 500;
    })
    .await;
    let session = server.create().await;
    let file = |name: &str| entry(Kind::Regular, name, "", b"x");
    let first = file("first");
    let many: Vec<Vec<u8>> = (0..1000).map(|at| file(&format!("f{at}"))).collect();
    let implied: Vec<Vec<u8>> = (0..20).map(|at| file(&format!("{at:03}/{}f", "a/".repeat(47)))).collect();
    let mut torn = archive(&[first.clone(), entry(Kind::Regular, "long", "", &[1; 5000])]);
    torn.truncate(3000);
    let mut wrong = archive(&[first.clone(), file("second")]);
    wrong[1030] ^= 1;
    let mut claims = tar::Header::new_gnu();
    claims.set_entry_type(Kind::GNULongName);
    claims.set_size(1 << 40);
    claims.set_cksum();
    let extension = [entry(Kind::GNULongName, "././@LongLink", "", &vec![b'n'; 1 << 20]), first.clone()].concat();
    let path = format!("path={}f\n", "d/".repeat(150));
    let record = format!("{} {path}", path.len() + 4);
    let deep = entry(Kind::XHeader, "pax", "", record.as_bytes());
    for (what, body, status, code, words) in [
        ("up", archive(&[first.clone(), file("../out")]), 400, "InvalidFile.Archive", "../out"),
        ("within", archive(&[first.clone(), file("a/../../out")]), 400, "InvalidFile.Archive", "leads out"),
        ("absolute", archive(&[first.clone(), file("/tmp/out")]), 400, "InvalidFile.Archive", "/tmp/out"),
        (
            "a link",
            archive(&[first.clone(), entry(Kind::Symlink, "l", "/etc", b"")]),
            400,
            "InvalidFile.Archive",
            "/etc",
        ),
        (
            "a link up",
            archive(&[first.clone(), entry(Kind::Symlink, "a/l", "../../x", b"")]),
            400,
            "InvalidFile.Archive",
            "../../x",
        ),
        (
            "a hidden way up",
            archive(&[first.clone(), entry(Kind::Symlink, "l", "a/../..", b"")]),
            400,
            "InvalidFile.Archive",
            "a/../..",
        ),
        (
            "below a link",
            archive(&[entry(Kind::Symlink, "l", "d", b""), file("d/x"), file("l/y")]),
            400,
            "InvalidFile.Archive",
            "below a link",
        ),
        (
            "a hard link",
            archive(&[first.clone(), entry(Kind::Link, "h", "../../etc/passwd", b"")]),
            400,
            "InvalidFile.Archive",
            "passwd",
        ),
        (
            "a hard link to nothing",
            archive(&[first.clone(), entry(Kind::Link, "h", "none", b"")]),
            404,
            "InvalidFile.NotFound",
            "h",
        ),
        ("a pipe", archive(&[first.clone(), entry(Kind::Fifo, "p", "", b"")]), 400, "InvalidFile.Archive", "a pipe"),
        (
            "a device",
            archive(&[first.clone(), entry(Kind::Char, "c", "", b"")]),
            400,
            "InvalidFile.Archive",
            "a device",
        ),
        ("torn", torn, 400, "InvalidFile.Archive", "ends within"),
        (
            "cut between two entries",
            [first.clone(), file("second")].concat(),
            400,
            "InvalidFile.Archive",
            "ends within",
        ),
        ("a wrong sum", wrong, 400, "InvalidFile.Archive", "not a tar"),
        ("text", b"no archive at all, only words".repeat(40), 400, "InvalidFile.Archive", "not a tar"),
        ("nothing", Vec::new(), 400, "InvalidFile.Archive", "not a tar"),
        ("a claim", [claims.as_bytes().to_vec(), first.clone()].concat(), 400, "InvalidFile.Archive", "ends within"),
        ("a long name", archive(&[extension]), 400, "InvalidFile.Archive", "longer than"),
        ("deep", archive(&[deep, first.clone()]), 400, "InvalidFile.Archive", "deeper"),
        ("many", archive(&many), 507, "InsufficientStorage", "--files"),
        (
            "much",
            archive(&[first.clone(), entry(Kind::Regular, "big", "", &vec![1; 6 << 20])]),
            507,
            "InsufficientStorage",
            "--disk",
        ),
        ("folders that are only implied", archive(&implied), 507, "InsufficientStorage", "--files"),
    ] {
        let reply = put(&server, &session, "/tmp/to", body).await;
        println!("{what}");
        reply.is_error(status, code, words);
        let seen = server.shell(&session, "ls -AR /tmp").await;
        assert_eq!(seen["stdout"], "/tmp:\n", "{what}: {seen}");
    }
    // In the way of a file is a folder, and the other way round: neither is changed, nor is anything else.
    server.shell(&session, "mkdir -p to/first; echo old > to/second").await;
    put(&server, &session, "to", archive(&[file("third"), first.clone()])).await.is_error(
        409,
        "InvalidFile.Kind",
        "first",
    );
    put(&server, &session, "to", archive(&[file("third"), file("second/x")])).await.is_error(
        409,
        "InvalidFile.Kind",
        "second",
    );
    let seen = server.shell(&session, "ls to; cat to/second").await;
    assert_eq!(seen["stdout"], "first\nsecond\nold\n", "{seen}");
    put(&server, &session, "/usr/x", archive(std::slice::from_ref(&first))).await.is_error(
        403,
        "InvalidFile.ReadOnly",
        "/usr/x",
    );
    put(&server, &session, "/home/user/../../etc", archive(std::slice::from_ref(&first))).await.is_error(
        404,
        "InvalidFile.NotFound",
        "etc",
    );

    // A link of the session's own that leads out is no way out, either.
    server.shell(&session, "ln -s /etc out; ln -s /tmp/elsewhere to/away").await;
    let out = put(&server, &session, "out/x", archive(std::slice::from_ref(&first))).await;
    assert!(out.status >= 400, "{out:?}");
    let away = put(&server, &session, "to", archive(&[file("away/x")])).await;
    assert!(away.status >= 400, "{away:?}");
    assert_eq!(server.shell(&session, "ls -A /tmp").await["stdout"], "");
    // Links within, and hard links to what came before, are what they were.
    let good = archive(&[
        file("d/x"),
        entry(Kind::Symlink, "d/l", "x", b""),
        entry(Kind::Symlink, "m", "d", b""),
        entry(Kind::Link, "h", "d/x", b""),
    ]);
    put(&server, &session, "/tmp/good", good).await.ok();
    let seen = server.shell(&session, "cd /tmp/good; readlink d/l m; cat h m/l; stat -c %h h").await;
    assert_eq!(seen["stdout"], "x\nd\nxx2\n", "{seen}");
    server.stop().await;
}

/// What other programs write and read is the same.
#[tokio::test]
async fn gnu_tar_and_python_understand_it() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let command = "mkdir -p from/$(printf 'd%.0s' $(seq 120)) && cd from && echo a > a && ln a b && ln -s a c && cd d* && echo z > z && cd ..  \
                   && tar -cf /tmp/gnu.tar . && python3 -c \"import tarfile; file = tarfile.open('/tmp/py.tar', 'w'); file.add('.'); file.close()\"";
    let made = server.shell(&session, command).await;
    assert_eq!(made["exit_code"], 0, "{made}");
    for name in ["gnu", "py"] {
        let query = [("path", format!("/tmp/{name}.tar"))];
        let get = server.http.get(format!("{}/files", session.link_url)).header("X-Access-Token", &session.token);
        let bytes = get.query(&query).send().await.expect("an answer").bytes().await.expect("a body").to_vec();
        put(&server, &session, &format!("/tmp/{name}"), bytes).await.ok();
        let same = server.shell(&session, &format!("diff -r --no-dereference from /tmp/{name} && echo same")).await;
        assert_eq!(same["stdout"], "same\n", "{name}: {same}");
    }
    let get = request(&server, &session, "GET", "", &[("path", "from")]).send().await.expect("an answer");
    let bytes = get.bytes().await.expect("a body").to_vec();
    let mut tar = std::process::Command::new("tar")
        .args(["-tf", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("tar is installed");
    tar.stdin.take().expect("it is piped").write_all(&bytes).expect("it reads");
    let mut listed = String::new();
    tar.stdout.take().expect("it is piped").read_to_string(&mut listed).expect("text");
    assert!(tar.wait().expect("an end").success());
    assert_eq!(listed.lines().count(), 5, "{listed}");
    server.stop().await;
}

//! What programs reach over the network: nothing, or named domains by the proxy, in a world where `*.test` is this machine.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use agb_egress::Outside;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{TestServer, text_of, work};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A web server that says hello, or what it has under the path that is asked for, and hangs up. Gives its port.
async fn web() -> u16 {
    web_with(Arc::default()).await
}

type Pages = Arc<Mutex<HashMap<String, Vec<u8>>>>;

async fn web_with(pages: Pages) -> u16 {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let pages = Arc::clone(&pages);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                    if !socket.read_buf(&mut head).await.is_ok_and(|length| length > 0) {
                        return;
                    }
                }
                let head = String::from_utf8_lossy(&head);
                let path = head.split(' ').nth(1).unwrap_or_default();
                let page = pages.lock().expect("nobody panics").get(path).cloned();
                let kind = if path.contains("simple") { "text/html" } else { "application/octet-stream" };
                let body = page.unwrap_or_else(|| b"hello".to_vec());
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
                );
                let _ = socket.write_all(&[head.as_bytes(), &body].concat()).await;
            });
        }
    });
    port
}

async fn server(network: &str) -> TestServer {
    let network = network.parse().expect("a network");
    TestServer::with(|config| {
        config.network = network;
        let resolve = |name: agb_egress::Name| match name.as_str() {
            name if name.ends_with(".test") => Ok(vec![LOCALHOST]),
            _ => Err(std::io::Error::other("no such name in this world")),
        };
        config.outside = Outside::simulated(resolve, |address| address == LOCALHOST);
    })
    .await
}

fn python(url: &str) -> String {
    format!("import urllib.request\nprint(urllib.request.urlopen('{url}', timeout=20).read())")
}

#[tokio::test]
async fn named_domains_are_reached_and_nothing_else() {
    let port = web().await;
    let server = server(&format!("allow=a.test:{port}")).await;
    let session = server.create().await;
    let url = format!("http://a.test:{port}/");
    let ran = server.run_code(&session, "python", &python(&url)).await;
    assert_eq!(ran["stdout"], json!(["b'hello'\n"]), "{ran}");
    // Node's own clients too, and what a program starts.
    let ran = server.run_code(&session, "javascript", &format!("await (await fetch('{url}')).text()")).await;
    assert_eq!(ran["result"][0]["text/plain"], "'hello'", "{ran}");
    let get = format!("await new Promise((y, n) => require('http').get('{url}', r => y(r.statusCode)).on('error', n))");
    let ran = server.run_code(&session, "javascript", &get).await;
    assert_eq!(ran["result"][0]["text/plain"], "200", "{ran}");
    let command = format!("python3 -c \"{}\"", python(&url).replace('\n', "; "));
    let shell =
        server.call(&session, "shell", json!({ "command": command, "timeout_ms": 20_000 })).await.expect("it runs");
    assert!(shell.contains("b'hello'"), "{shell}");

    // What is not named is refused, and the result says what would allow it.
    let hint = format!("--network allow=a.test:{port},b.test:{port}");
    let ran = server.run_code(&session, "python", &python(&format!("http://b.test:{port}/"))).await;
    for text in [&ran["executionError"], &ran["error"]["value"]] {
        assert!(text.as_str().is_some_and(|text| text.contains(&hint)), "{ran}");
    }
    let mut socket = session.connect().await;
    socket.start("n", "node", &format!("await fetch('http://b.test:{port}/')")).await;
    let events = socket.until_end().await;
    let end = events.last().expect("an end");
    assert!(end["executionError"].as_str().is_some_and(|text| text.contains(&hint)), "{events:?}");
    // A later failure is not blamed on it.
    socket.start("z", "python", "1/0").await;
    let events = socket.until_end().await;
    assert_eq!(events.last().expect("an end")["executionError"], "ZeroDivisionError: division by zero");

    // Past the proxy there is no network: this machine's services are not there, nor are addresses through it.
    let direct = format!(
        "import socket\nfor host in ['127.0.0.1', '10.0.0.1', '1.1.1.1']:\n    try:\n        \
         socket.create_connection((host, {port}), timeout=5)\n        print('through', host)\n    except OSError:\n        pass\n\
         s = socket.create_connection(('127.0.0.1', 3128))\ns.sendall(b'CONNECT 127.0.0.1:{port} HTTP/1.1\\r\\n\\r\\n')\nprint(s.recv(12))"
    );
    socket.start("d", "python", &direct).await;
    assert_eq!(text_of(&socket.until_end().await, "stdout"), "b'HTTP/1.1 400'\n");
    // A program's own servers are its own business.
    let own = "import http.server, threading, urllib.request\n\
               s = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n\
               threading.Thread(target=s.serve_forever, daemon=True).start()\n\
               print(urllib.request.urlopen(f'http://127.0.0.1:{s.server_port}/').status)";
    socket.start("o", "python", own).await;
    assert_eq!(text_of(&socket.until_end().await, "stdout"), "200\n");
    drop(socket);
    server.stop().await;
}

#[tokio::test]
async fn without_network_the_result_says_how_to_have_one() {
    let server = server("none").await;
    let session = server.create().await;
    let ran = server.run_code(&session, "python", &python("http://a.test/")).await;
    let told = |text: &Value| text.as_str().is_some_and(|text| text.contains("--network allow=DOMAIN"));
    assert!(told(&ran["executionError"]), "{ran}");
    let ran = server.run_code(&session, "javascript", "await fetch('http://a.test/')").await;
    assert!(told(&ran["executionError"]), "{ran}");
    server.stop().await;
}

#[tokio::test]
async fn r_and_java_reach_named_domains_and_nothing_else() {
    let port = web().await;
    let server = server(&format!("allow=a.test:{port}")).await;
    let session = server.create().await;
    let hint = format!("--network allow=a.test:{port},b.test:{port}");
    let url = |name: &str| format!("http://{name}.test:{port}/");
    let r = |url: &str| format!("download.file('{url}', 'got', quiet = TRUE)\nreadLines('got', warn = FALSE)");
    let ran = server.run_code(&session, "r", &r(&url("a"))).await;
    assert!(ran["result"][0]["text/plain"].as_str().is_some_and(|text| text.contains("hello")), "{ran}");
    let ran = server.run_code(&session, "r", &r(&url("b"))).await;
    assert!(ran["executionError"].as_str().is_some_and(|text| text.contains(&hint)), "{ran}");

    let plain = |url: &str| format!("new String(new java.net.URL(\"{url}\").openStream().readAllBytes())");
    let client = |url: &str| {
        format!(
            "java.net.http.HttpClient.newHttpClient().send(java.net.http.HttpRequest.newBuilder(\
             java.net.URI.create(\"{url}\")).build(), java.net.http.HttpResponse.BodyHandlers.ofString()).body()"
        )
    };
    for get in [&plain as &dyn Fn(&str) -> String, &client] {
        let ran = server.run_code(&session, "java", &get(&url("a"))).await;
        assert!(ran["result"][0]["text/plain"].as_str().is_some_and(|text| text.contains("hello")), "{ran}");
    }
    // By this one it is an error, by the other an answer of the proxy's with the reason.
    let ran = server.run_code(&session, "java", &plain(&url("b"))).await;
    assert!(ran["executionError"].as_str().is_some_and(|text| text.contains(&hint)), "{ran}");
    let ran = server.run_code(&session, "java", &client(&url("b"))).await;
    assert!(ran["result"][0]["text/plain"].as_str().is_some_and(|text| text.contains("b.test")), "{ran}");
    server.stop().await;
}

/// Packages that this test makes, from registries that are this test.
#[tokio::test]
async fn pip_and_npm_install_from_named_domains_and_nothing_else() {
    let pages = Pages::default();
    let port = web_with(Arc::clone(&pages)).await;
    let server = server(&format!("allow=a.test:{port}")).await;
    let session = server.create().await;
    let make = "import zipfile, tarfile, io
with zipfile.ZipFile('tiny-1.0-py3-none-any.whl', 'w') as wheel:
    wheel.writestr('tiny.py', 'word = \"installed\"')
    wheel.writestr('tiny-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n')
    wheel.writestr('tiny-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr('tiny-1.0.dist-info/RECORD', '')
with tarfile.open('tiny-1.0.0.tgz', 'w:gz') as package:
    for name, text in [('package.json', '{\"name\":\"tiny\",\"version\":\"1.0.0\"}'), ('index.js', 'module.exports = \"installed\"')]:
        info = tarfile.TarInfo('package/' + name)
        info.size = len(text)
        package.addfile(info, io.BytesIO(text.encode()))";
    let ran = server.run_code(&session, "python", make).await;
    assert!(ran["executionError"].is_null(), "{ran}");
    let file = |name: &str| std::fs::read(work(&server.data_dir).join(name)).expect("the program has made it");
    let npm = json!({ "name": "tiny", "dist-tags": { "latest": "1.0.0" }, "versions": { "1.0.0": {
        "name": "tiny", "version": "1.0.0", "dist": { "tarball": format!("http://a.test:{port}/tiny-1.0.0.tgz") } } } });
    {
        let mut pages = pages.lock().expect("nobody panics");
        let link = "<!DOCTYPE html><html><body><a href='/tiny-1.0-py3-none-any.whl'>tiny-1.0-py3-none-any.whl</a></body></html>";
        pages.insert("/simple/tiny/".to_owned(), link.as_bytes().to_vec());
        for name in ["tiny-1.0-py3-none-any.whl", "tiny-1.0.0.tgz"] {
            pages.insert(format!("/{name}"), file(name));
        }
        pages.insert("/tiny".to_owned(), npm.to_string().into_bytes());
    }
    let venv = json!({ "command": "/usr/bin/python3 -m venv v", "timeout_ms": 29_000 });
    let made = server.call(&session, "shell", venv).await.expect("python3-venv is installed");
    assert!(made.contains("\"exit_code\":0"), "{made}");
    let pip = |name: &str| {
        format!(
            "v/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check --retries 0 \
             --force-reinstall --index-url http://{name}.test:{port}/simple/ --trusted-host {name}.test tiny && \
             v/bin/python -c 'import tiny; print(tiny.word)'"
        )
    };
    let npm = |name: &str| {
        format!(
            "mkdir {name} && cd {name} && npm install --no-audit --no-fund --fetch-retries 0 --registry http://{name}.test:{port}/ tiny && \
             node -p 'require(\"tiny\")'"
        )
    };
    for command in [&pip as &dyn Fn(&str) -> String, &npm] {
        let shell = |name: &str| json!({ "command": command(name), "timeout_ms": 29_000 });
        let said = server.call(&session, "shell", shell("a")).await.expect("it runs");
        assert!(said.contains("installed\\n"), "{said}");
        let said = server.call(&session, "shell", shell("b")).await.expect("it runs");
        assert!(!said.contains("installed\\n") && !said.contains("\"exit_code\":0"), "{said}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_session_may_reach_less_than_the_server_and_never_more() {
    let port = web().await;
    for network in [format!("allow=a.test:{port},*.b.test:{port}"), "host".to_owned()] {
        let server = server(&network).await;
        let rule = format!("x.b.test:{port}");
        let session = server.create_with(json!({ "network": { "allow": [rule] } })).await;
        let info = server.post("/mcp/getMcpResource", json!({ "sessionId": session.id })).await.ok();
        assert_eq!(info["network"], json!({ "allow": [rule] }));
        let ran = server.run_code(&session, "python", &python(&format!("http://{rule}/"))).await;
        assert_eq!(ran["stdout"], json!(["b'hello'\n"]), "{network}: {ran}");
        let ran = server.run_code(&session, "python", &python(&format!("http://a.test:{port}/"))).await;
        assert!(ran.to_string().contains(&format!("created with the network allow={rule}")), "{network}: {ran}");
        if network != "host" {
            let others = server.create().await;
            let ran = server.run_code(&others, "python", &python(&format!("http://a.test:{port}/"))).await;
            assert_eq!(ran["stdout"], json!(["b'hello'\n"]), "{ran}");
            for wider in
                [json!({ "allow": [format!("c.test:{port}")] }), json!("host"), json!({ "allow": ["*.b.test"] })]
            {
                let body = json!({ "network": wider });
                let reply = server.post("/mcp/createSession?imageId=agb-code-space-1", body).await;
                reply.is_error(400, "InvalidParameter.Value", "more than this server's programs reach");
            }
        }
        for wrong in [
            json!({ "allow": [] }),
            json!({ "allow": ["10.0.0.1"] }),
            json!({ "deny": ["a"] }),
            json!("all"),
            json!({ "allow": ["x.b.test,y.b.test"] }),
            json!(format!("allow={rule}{}", format!(",{rule}").repeat(200))),
        ] {
            let reply = server.post("/mcp/createSession?imageId=agb-code-space-1", json!({ "network": wrong })).await;
            reply.is_error(400, "InvalidParameter.Value", "network");
        }
        server.stop().await;
    }
}

//! What programs reach over the network: nothing, or named domains by the gate, in a world where `*.test` is this machine.

use std::net::{IpAddr, Ipv4Addr};

use agb_egress::Outside;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{TestServer, text_of};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A web server that says hello and hangs up. Gives its port.
async fn web() -> u16 {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                    if !socket.read_buf(&mut head).await.is_ok_and(|length| length > 0) {
                        return;
                    }
                }
                let _ =
                    socket.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello").await;
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

    // Past the gate there is no network: this machine's services are not there, nor are addresses through it.
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

//! The extension `stdin`: programs that ask.

use serde_json::{Value, json};

use crate::support::{Socket, TestServer, text_of};

async fn start(socket: &mut Socket, code: &str, language: &str) {
    socket.start_with("a", json!({ "language": language, "timeoutS": 30, "code": code, "stdin": true })).await;
}

async fn write(socket: &mut Socket, params: Value) {
    socket.request("a", json!({ "method": "stdin", "params": params })).await;
}

/// Events up to the program's next question, which is the last.
async fn until_asked(socket: &mut Socket) -> Vec<Value> {
    let mut events = vec![];
    while events.last().is_none_or(|event: &Value| event["eventType"] != "inputRequest") {
        let (_, data) = socket.event().await;
        assert_ne!(data["phase"], "end", "{data}");
        events.push(data);
    }
    events
}

#[tokio::test]
async fn a_program_asks_and_is_answered() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    start(&mut socket, "a = input('name? ')\nb = input()\nprint(a, b)\ninput()", "python").await;
    let asked = until_asked(&mut socket).await;
    assert_eq!(asked.last().expect("a question")["prompt"], "name? ");
    write(&mut socket, json!({ "data": "Ada\n" })).await;
    until_asked(&mut socket).await;
    write(&mut socket, json!({ "data": "Lovelace\n" })).await;
    let events = until_asked(&mut socket).await;
    assert!(text_of(&events, "stdout").contains("Ada Lovelace\n"), "{events:?}");
    write(&mut socket, json!({ "eof": true })).await;
    let events = socket.until_end().await;
    assert!(events.iter().any(|event| event["error"]["name"] == "EOFError"), "{events:?}");
    // What is written to a run that is over is nobody's.
    write(&mut socket, json!({ "data": "late" })).await;
    start(&mut socket, "1", "python").await;
    assert_eq!(socket.until_end().await.last().expect("an end")["status"], "finished");
    server.stop().await;
}

#[tokio::test]
async fn with_nobody_to_answer_input_is_at_its_end() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    for params in [json!({}), json!({ "resume": true }), json!({ "window": 100_000 })] {
        let mut with = json!({ "language": "python", "timeoutS": 30, "code": "input()" });
        with.as_object_mut().expect("an object").extend(params.as_object().cloned().expect("an object"));
        socket.start_with(&format!("{params}"), with).await;
        let events = socket.until_end().await;
        assert!(events.iter().any(|event| event["error"]["name"] == "EOFError"), "{events:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn input_that_nobody_reads_is_bounded() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    start(&mut socket, "import time\nwhile True: time.sleep(0.1)", "python").await;
    let mut refused = None;
    for _ in 0..100 {
        write(&mut socket, json!({ "data": "x".repeat(1_000_000) })).await;
        while let Ok((_, data)) = tokio::time::timeout(std::time::Duration::from_millis(50), socket.event()).await {
            if data["eventType"] == "inputRefused" {
                refused = Some(data);
            }
        }
        if refused.is_some() {
            break;
        }
    }
    let message = refused.expect("a refusal")["message"].as_str().expect("words").to_owned();
    assert!(message.contains("has not read"), "{message}");
    socket.request("a", json!({ "method": "cancel" })).await;
    socket.until_end().await;
    server.stop().await;
}

#[tokio::test]
async fn input_with_numbers_is_taken_once_and_in_order() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    let code = "for i in range(3): print(input())\ninput()";
    let params = json!({ "language": "python", "timeoutS": 30, "code": code, "stdin": true, "resume": true });
    socket.start_with("a", params).await;
    let numbered = async |socket: &mut Socket, seq: u64, data: &str| {
        write(socket, json!({ "data": data, "inputSeq": seq })).await;
    };
    numbered(&mut socket, 1, "one\n").await;
    numbered(&mut socket, 3, "too early\n").await;
    numbered(&mut socket, 1, "again\n").await;
    let mut taken = 0;
    let mut events = vec![];
    while taken < 1 {
        let (_, data) = socket.event().await;
        taken = data["inputSeq"].as_u64().unwrap_or(taken);
        events.push(data);
    }
    assert_eq!(taken, 1);
    // Another connection is told how far it is, and says again what it has not heard of.
    let after = events.iter().filter_map(|data| data["seq"].as_u64()).max().unwrap_or(0);
    let mut socket = session.connect().await;
    socket.request("a", json!({ "method": "run_code", "mode": "resume", "params": { "afterSeq": after } })).await;
    let (_, greeting) = socket.event().await;
    assert_eq!((&greeting["inputSeq"], &greeting["seq"]), (&json!(1), &Value::Null), "{greeting}");
    for (seq, text) in [(1, "again\n"), (2, "two\n"), (3, "three\n")] {
        numbered(&mut socket, seq, text).await;
    }
    write(&mut socket, json!({ "eof": true, "inputSeq": 4 })).await;
    let rest = socket.until_end().await;
    assert!(rest.iter().filter_map(|data| data["inputSeq"].as_u64()).is_sorted(), "{rest:?}");
    events.extend(rest);
    assert_eq!(text_of(&events, "stdout"), "one\ntwo\nthree\n");
    assert!(events.iter().any(|event| event["error"]["name"] == "EOFError"), "{events:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_question_says_that_it_asks_for_a_password() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    start(&mut socket, "import getpass\nprint(len(getpass.getpass('Key: ') + input()))", "python").await;
    let asked = until_asked(&mut socket).await.pop().expect("a question");
    assert_eq!((&asked["prompt"], &asked["password"]), (&json!("Key: "), &json!(true)), "{asked}");
    write(&mut socket, json!({ "data": "abc\n" })).await;
    let asked = until_asked(&mut socket).await.pop().expect("a question");
    assert_eq!(asked.get("password"), None, "{asked}");
    write(&mut socket, json!({ "data": "d\n" })).await;
    assert!(text_of(&socket.until_end().await, "stdout").contains("4\n"));
    server.stop().await;
}

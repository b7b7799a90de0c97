//! Commands, files and contexts.

use std::time::Duration;

use agb_client::agb_core::operations::SessionAccess;
use agb_client::agb_core::operations::contexts::{FindContext, TaskFilter};
use agb_client::agb_core::operations::files::WriteMode;
use agb_client::{Agb, CreateSession, Error, Options, RunCommand, Session};
use serde_json::{Value, json};

use crate::service::{Answer, Seen, Service, fine, refused};

async fn session(service: &Service) -> (Agb, Session) {
    let options = Options::new().api_key("key").environment([("", ""); 0]).endpoint(&service.url);
    let agb = Agb::new(&options).expect("the settings are fine");
    let session = agb.create(CreateSession { image_id: "i".into(), ..Default::default() }).await.expect("created");
    (agb, session)
}

/// What a tool answers with this text.
fn tool(text: &str, is_error: bool) -> Answer {
    fine(&json!({"content": [{"type": "text", "text": text}], "isError": is_error}).to_string())
}

/// A service with a session, whose tools answer as told: by name and arguments.
async fn with_tools(answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> Service {
    Service::start(move |seen: &Seen| match seen.path.split('?').next().unwrap_or_default() {
        "/mcp/createsession" => fine(r#"{"sessionId":"s-1","success":true}"#),
        "/mcp" => {
            let body: Value = serde_json::from_str(&seen.body).expect("bodies are JSON");
            let arguments = serde_json::from_str(body["args"].as_str().expect("text")).expect("arguments are JSON");
            answer(body["name"].as_str().expect("text"), &arguments)
        }
        _ => refused(404, "InvalidPath.NotFound", "no such call"),
    })
    .await
}

#[tokio::test]
async fn a_command_that_fails_is_an_answer() {
    let service = with_tools(|name, arguments| {
        assert_eq!(name, "shell");
        match arguments["command"].as_str() {
            Some("true") => tool(r#"{"stdout":"a","stderr":"","exit_code":0}"#, false),
            _ => tool(r#"{"stdout":"","stderr":"why","exit_code":3}"#, false),
        }
    })
    .await;
    let (_agb, session) = session(&service).await;
    let fine = session.execute(RunCommand::new("true")).await.expect("it ran");
    assert_eq!((fine.success, fine.stdout.as_str()), (true, "a"));
    let failed = session.execute(RunCommand::new("false")).await.expect("it ran");
    assert_eq!((failed.success, failed.exit_code, failed.error_message.as_str()), (false, 3, "why"));
}

#[tokio::test]
async fn files_are_read_and_written_part_by_part() {
    let service = with_tools(|name, arguments| match name {
        "get_file_info" => tool("size: 60000\nisDirectory: false", false),
        "read_file" => tool(&"QUJD".repeat(arguments["length"].as_u64().expect("a number") as usize / 3 + 1), false),
        "write_file" => tool("done", false),
        _ => tool("/x: not found", true),
    })
    .await;
    let (_agb, session) = session(&service).await;
    let content = session.files().read("/a").await.expect("it is there");
    assert!(content.len() >= 60_000 && content.starts_with(b"ABCABC"));
    session.files().write("/a", "x".repeat(120_000), WriteMode::Overwrite).await.expect("it is written");
    let modes = |mode: &str| service.seen().iter().filter(|seen| seen.body.contains(mode)).count();
    assert_eq!((modes(r#"\"overwrite\""#), modes(r#"\"append\""#)), (1, 2));
    let error = session.files().list("/x").await.expect_err("there is none");
    assert_eq!((error.code(), error.to_string().as_str()), ("TOOL_FAILED", "/x: not found"));
}

#[tokio::test]
async fn a_context_is_found_and_waited_for() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let service = Service::start(move |seen: &Seen| match seen.path.split('?').next().unwrap_or_default() {
        "/mcp/createsession" => fine(r#"{"sessionId":"s-1","success":true}"#),
        "/sdk/getcontext" => fine(r#"{"id":"c-1","name":"n","state":"available"}"#),
        "/sdk/getcontextinfo" => {
            let is_first = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            let status = if is_first { "InProgress" } else { "Success" };
            let task = json!([{"contextId": "c-1", "path": "/p", "taskType": "upload", "status": status}]);
            fine(&json!({"contextStatus": [{"type": "data", "data": task.to_string()}]}).to_string())
        }
        _ => fine("null"),
    })
    .await;
    let (agb, session) = session(&service).await;
    assert_eq!(agb.contexts().create("n").await.expect("it is there").id, "c-1");
    let filter = TaskFilter { context_id: Some("c-1".into()), path: Some("/p".into()), kind: None };
    session.contexts().sync(filter, None).await.expect("it is carried");
    let looks = service.seen().iter().filter(|seen| seen.path.starts_with("/sdk/getcontextinfo")).count();
    assert_eq!(looks, 2);
    let error = agb.contexts().find(FindContext::default()).await.expect_err("nothing was named");
    assert!(matches!(error, Error::Arguments(_)), "{error}");
    assert_eq!(
        agb.contexts().clear("c-1", Duration::from_secs(1), Duration::from_millis(1)).await.expect("cleared").state,
        "available"
    );
}

#[tokio::test]
async fn bindings_reach_them_by_name_and_guests_over_the_sessions_own_link_only() {
    let service = Service::start(|seen: &Seen| {
        assert!(seen.path.starts_with("/link/calltool"), "{}", seen.path);
        tool("[FILE] a", false)
    })
    .await;
    let access = json!({
        "sessionId": "s-1", "wsUrl": "ws://127.0.0.1:1/", "linkUrl": format!("{}/link", service.url), "token": "t",
        "expiresAt": "2099-01-01T00:00:00Z", "scope": "run",
    });
    let session = Agb::attach(SessionAccess::parse(&access.to_string()).expect("it is whole"));
    let listed = session.invoke("file.list", r#"{"path":"/"}"#).await.expect("it is answered").value;
    assert_eq!(listed, json!([{"type": "file", "name": "a"}]));
    assert_eq!(session.invoke("context.info", "{}").await.expect_err("it needs the key"), Error::NoKey);
    let error = session.invoke("file.list", "{}").await.expect_err("no path");
    assert_eq!(error.code(), "BAD_ARGUMENTS");
    assert_eq!(service.seen().len(), 1);
}

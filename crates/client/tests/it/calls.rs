//! The HTTP side.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agb_client::agb_core::error::ApiError;
use agb_client::{Agb, CreateSession, Options, RunStatus};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::service::{Seen, Service, fine, refused};

fn agb(service: &Service) -> Agb {
    Agb::new(&options().endpoint(&service.url)).expect("the settings are fine")
}

fn options() -> Options {
    Options::new().api_key("key-SECRET").environment([("", ""); 0])
}

#[tokio::test]
async fn a_session_is_created_used_and_deleted_without_waiting() {
    let asked = AtomicUsize::new(0);
    let service = Service::start(move |seen: &Seen| match seen.path.split('?').next().unwrap_or_default() {
        "/mcp/createsession" => fine(r#"{"sessionId":"s-1","success":true}"#),
        "/mcp/getsessioninfo" if asked.fetch_add(1, Ordering::SeqCst) < 2 => fine(r#"{"status":"DELETING"}"#),
        "/mcp/getsessioninfo" => refused(400, "InvalidMcpSession.NotFound", "session not found"),
        "/mcp" => {
            fine(r#"{"content":[{"type":"text","text":"{\"stdout\":[\"hi\\n\"],\"result\":[]}"}],"isError":false}"#)
        }
        "/sdk/getlabel" => fine(r#"{"labels":"{\"a\":\"b\"}"}"#),
        _ => fine("null"),
    })
    .await;
    let agb = agb(&service);
    let session = agb.create(CreateSession { image_id: "i".into(), ..Default::default() }).await.expect("created");
    assert_eq!(session.id(), "s-1");
    let result = session.code().run("print('hi')", "python").await.expect("it ran");
    assert_eq!((result.success, result.logs.stdout), (true, vec![String::from("hi\n")]));
    assert_eq!(session.labels().await.expect("they are there"), [("a".into(), "b".into())]);
    session.set_labels([("x", "y")]).await.expect("they are set");
    session.keep_alive().await.expect("it lives");
    let begun = Instant::now();
    assert_eq!(session.delete().await.expect("it is gone").request_id, "r-1");
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}: it looked twice without a second in between",
        begun.elapsed()
    );
    let seen = service.seen();
    assert!(seen.iter().all(|seen| seen.head.contains("authorization: bearer key-secret")), "{seen:?}");
    assert!(seen.iter().any(|seen| seen.body.contains("print('hi')")));
}

#[tokio::test]
async fn what_is_safe_to_repeat_is_repeated_and_nothing_else() {
    let service = Service::start(|_| (503, "busy".into())).await;
    let agb = agb(&service);
    assert!(agb.tools("i").await.is_err());
    assert_eq!(service.seen().len(), 3);
    assert!(agb.create(CreateSession::default()).await.is_err());
    assert_eq!(service.seen().len(), 4);
}

#[tokio::test]
async fn a_busy_service_says_when_to_come_again_and_is_not_waited_for_without_end() {
    for (status, path) in [(429, "/mcp/createsession"), (503, "/mcp/listtools")] {
        let asked = AtomicUsize::new(0);
        let service = Service::start(move |_: &Seen| match asked.fetch_add(1, Ordering::SeqCst) {
            0 => (status, "retry-after: 1\r\n\r\nbusy".into()),
            _ if status == 429 => fine(r#"{"sessionId":"s-1","success":true}"#),
            _ => (400, "no".into()),
        })
        .await;
        let begun = Instant::now();
        if status == 429 {
            agb(&service).create(CreateSession::default()).await.expect("the second time");
        } else {
            assert_eq!(agb(&service).tools("i").await.expect_err("it says no").status(), Some(400));
        }
        assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
        let seen = service.seen();
        assert!(seen.len() == 2 && seen[0].path.starts_with(path), "{seen:?}");
    }
    let service = Service::start(|_| (429, "retry-after: 3600\r\n\r\nbusy".into())).await;
    let begun = Instant::now();
    assert_eq!(agb(&service).tools("i").await.expect_err("it is busy").status(), Some(429));
    assert_eq!(service.seen().len(), 1);
    let patient =
        Agb::new(&options().endpoint(&service.url).retry_wait(Duration::ZERO)).expect("the settings are fine");
    assert!(patient.tools("i").await.is_err());
    assert_eq!(service.seen().len(), 2);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_time_limit_is_for_all_tries() {
    let service = Service::start(|_| {
        std::thread::sleep(Duration::from_millis(1)); // the answer is a connection that stays silent
        (0, String::new())
    })
    .await;
    // Nobody listens here, and nothing answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    let url = format!("http://{}", silent.local_addr().expect("it is bound"));
    let agb = Agb::new(&options().endpoint(url).timeout(Duration::from_millis(200))).expect("the settings are fine");
    let begun = Instant::now();
    let error = agb.tools("i").await.expect_err("nobody answers");
    assert_eq!(error.code(), "TIMED_OUT");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop(service);
}

#[tokio::test]
async fn failures_say_who_is_to_blame() {
    let service = Service::start(|seen| match seen.path.as_str() {
        path if path.starts_with("/mcp/listtools") => (0, String::new()),
        path if path.starts_with("/sdk/listsession") => (502, "<html>".into()),
        path if path.starts_with("/mcp/createsession") => refused(401, "Unauthorized", "the key key-SECRET is bad"),
        _ => refused(400, "InvalidMcpSession.NotFound", "session not found"),
    })
    .await;
    let agb = agb(&service);
    assert_eq!(agb.tools("i").await.expect_err("it hangs up").code(), "INTERRUPTED");
    assert_eq!(agb.list(&Default::default()).await.expect_err("a proxy answers").status(), Some(502));
    let error = agb.get("nobody").await.expect_err("there is none");
    assert!(matches!(error, agb_client::Error::Api(ApiError::NotFound(_))));
    assert_eq!(error.code(), "InvalidMcpSession.NotFound");
    let error = agb.create(CreateSession::default()).await.expect_err("the key is bad");
    assert!(!format!("{error} {error:?}").contains("SECRET"), "{error}");
    assert!(agb.delete("nobody").await.is_ok(), "one that is gone already is no error");
    let nowhere = Agb::new(&options().endpoint("http://127.0.0.1:1")).expect("the settings are fine");
    let error = nowhere.tools("i").await.expect_err("nobody listens");
    assert_eq!(error.code(), "UNREACHABLE");
    assert!(error.to_string().contains("127.0.0.1:1: "), "{error}");
}

#[test]
fn settings_come_from_code_then_environment_then_file() {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("agb.env");
    std::fs::write(&file, "AGB_API_KEY=file\nAGB_ENDPOINT=http://file:1\nAGB_TIMEOUT_MS=7\n").expect("there is room");
    let environment = [("AGB_ENDPOINT", "http://environment:2"), ("AGB_TIMEOUT_MS", "8")];
    let agb = Agb::new(&Options::new().env_file(&file).environment(environment).timeout(Duration::from_millis(9)));
    let agb = agb.expect("the settings are fine");
    assert_eq!(agb.endpoint().expect("it is remote").as_str(), "http://environment:2");
    assert_eq!(agb.timeout(), Duration::from_millis(9));
    let missing = Agb::new(&Options::new().env_file(folder.path().join("none"))).expect_err("there is no such file");
    assert_eq!(missing.code(), "BAD_ENV_FILE");
}

#[tokio::test]
async fn a_call_that_is_dropped_ends_on_the_wire() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let agb = Agb::new(&options().endpoint(&url)).expect("the settings are fine");
    let call = tokio::spawn(async move { agb.get("s-1").await });
    let (mut tcp, _) = listener.accept().await.expect("it calls");
    let mut head = [0; 1024];
    assert!(tcp.read(&mut head).await.expect("it speaks") > 0);
    call.abort();
    let closed = async { while tcp.read(&mut head).await.is_ok_and(|length| length > 0) {} };
    tokio::time::timeout(Duration::from_secs(30), closed).await.expect("the connection is closed");
}

/// One call, and nobody to ask again: what may have been done must not look like what is safe to repeat.
#[tokio::test]
async fn a_run_whose_answer_was_cut_off_is_interrupted_and_not_unreachable() {
    let service = Service::start(|seen| match seen.path.split('?').next().unwrap_or_default() {
        "/mcp/createsession" => fine(r#"{"sessionId":"s-1","success":true}"#),
        _ => (0, String::new()),
    })
    .await;
    let session = agb(&service).create(CreateSession::default()).await.expect("created");
    let error = session.code().run("print('hi')", "python").await.expect_err("it hangs up");
    let result = error.to_execution();
    assert_eq!((result.status, error.code()), (RunStatus::Interrupted, "INTERRUPTED"));
    assert_eq!(result.error.map(|error| error.name).as_deref(), Some("Interrupted"));
    assert!(result.error_message.contains("the outcome is unknown"), "{}", result.error_message);
    assert_eq!(service.seen().iter().filter(|seen| seen.body.contains("print('hi')")).count(), 1);
}

//! The last transport: where no stream gets through and nothing was sent, a plain call; and nothing is ever run twice.

use std::time::{Duration, Instant};

use agb_client::agb_core::{DisconnectReason, RunEnd, RunError};
use agb_client::{Agb, Options, RunEvent, RunStatus, Secret, Session, SessionData, Tool};
use futures_util::StreamExt;

use crate::peer::{self, Peer, TOKEN};
use crate::service::{Answer, Seen, Service, fine, refused};

const ANSWER: &str = r#"{"content":[{"type":"text","text":"{\"stdout\":[\"one\\n\",\"grün\\n\"],\"stderr\":[\"e\"],\"result\":[{\"text/plain\":\"2\",\"isMainResult\":true}],\"execution_count\":7}"}],"isError":false}"#;

/// A service that refuses WebSockets and answers calls of tools.
fn without_sockets(seen: &Seen) -> Answer {
    match seen.path.split('?').next().unwrap_or_default() {
        "/ws" => (403, String::new()),
        "/mcp" | "/link/calltool" => fine(ANSWER),
        other => panic!("nobody asks for {other}"),
    }
}

/// What a service with part 1 of the wire says of a session.
fn data(service: &Service) -> SessionData {
    let mut data = SessionData::default();
    data.session_id = "s-1".into();
    data.ws_url = Some(format!("{}/ws", service.url.replace("http", "ws")));
    data.token = Secret::from(TOKEN);
    data
}

fn session(service: &Service, data: SessionData) -> Session {
    let options = Options::new().api_key("key").endpoint(&service.url).environment([("", ""); 0]);
    Agb::new(&options).expect("the settings are fine").session(data)
}

/// How often the code was run.
fn calls(service: &Service) -> usize {
    service.seen().iter().filter(|seen| seen.body.contains("print(1)")).count()
}

fn start(session: &Session) -> agb_client::Run {
    session.code().run("print(1)", "python").stream().expect("it is taken")
}

async fn end_of(mut run: agb_client::Run) -> RunEnd {
    while run.next_batch().await.is_some() {}
    run.end().cloned().expect("it has ended")
}

#[tokio::test]
async fn where_no_websocket_gets_through_the_run_is_made_by_a_plain_call() {
    let service = Service::start(without_sockets).await;
    let mut run = start(&session(&service, data(&service)));
    let mut events = vec![];
    let mut stamps = vec![];
    while let Some(event) = run.next().await {
        events.push(event);
        stamps.push(run.stamp().seq);
    }
    let (stdout, result) = (|text: &str| RunEvent::Stdout(text.into()), events.remove(4));
    assert!(matches!(result, RunEvent::Result(result) if result.is_main && result.text.as_deref() == Some("2")));
    let unstreamed = RunEvent::Unstreamed(DisconnectReason::refused(403, ""));
    assert_eq!(events, [unstreamed, stdout("one\n"), stdout("grün\n"), RunEvent::Stderr("e".into())]);
    assert_eq!((stamps, run.stamp().seq), (vec![0, 1, 2, 3, 4], 5));
    let result = run.finish().await;
    assert!(result.success && !result.truncated, "{result:?}");
    assert_eq!((result.request_id.as_str(), result.execution_count), ("r-1", Some(7)));
    assert_eq!((result.logs.stdout, result.logs.stderr), (vec!["one\n".into(), "grün\n".into()], vec!["e".into()]));
    assert_eq!(result.results.len(), 1);
    let paths: Vec<_> = service.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/ws", "/mcp?autogensession=false"]);
    assert_eq!(calls(&service), 1);
}

#[tokio::test]
async fn the_call_goes_by_the_sessions_link_where_it_has_one() {
    let service = Service::start(without_sockets).await;
    let mut data = data(&service);
    data.link_url = Some(format!("{}/link", service.url));
    let mut tool = Tool::default();
    (tool.name, tool.server) = ("run_code".into(), "codespace".into());
    data.tools = vec![tool];
    let result = start(&session(&service, data)).finish().await;
    assert_eq!((result.success, result.logs.stdout.concat().as_str()), (true, "one\ngrün\n"));
    assert_eq!(service.seen()[1].path, "/link/calltool");
    assert_eq!(calls(&service), 1);
}

#[tokio::test]
async fn a_session_without_a_websocket_makes_it_at_once() {
    let service = Service::start(without_sockets).await;
    let mut data = data(&service);
    data.ws_url = None;
    let session = session(&service, data);
    let mut run = session.code().run("print(1)", "python").log_limit(3).stream().expect("it is taken");
    assert!(
        matches!(run.next().await, Some(RunEvent::Unstreamed(DisconnectReason::Unreached(words))) if words.contains("no wsUrl"))
    );
    let result = run.finish().await;
    assert_eq!((result.success, result.truncated, result.logs.stdout), (true, true, vec!["one".into()]));
    assert_eq!(session.code().attach("x", 0).stream().expect_err("it follows nothing").code(), "NO_STREAMING");
    assert_eq!(service.seen().len(), 1);
}

/// A handshake's and an event stream's refusals have bodies too; neither is left for a plain call.
#[tokio::test]
async fn a_command_hears_the_services_own_words() {
    let gone = || refused(400, "InvalidMcpSession.NotFound", "session s-1 not found");
    for (socket, words) in [(gone(), 1), ((403, "<html>".into()), 2)] {
        let service = Service::start(move |seen| match seen.path.split('?').next().unwrap_or_default() {
            "/ws" => socket.clone(),
            path if path.starts_with("/link/runs/") => gone(),
            other => panic!("nobody asks for {other}"),
        })
        .await;
        let mut data = data(&service);
        data.link_url = Some(format!("{}/link", service.url));
        data.extensions = ["resume", "http", "command"].map(Into::into).to_vec();
        let session = session(&service, data);
        let end = end_of(session.commands().run("true").stream().expect("it is taken")).await;
        let Err(error) = &end else { panic!("{end:?}") };
        assert_eq!((error.name(), error.code()), ("NotFoundError", "NOT_FOUND"), "{error} ({words})");
        assert!(
            error.to_string().starts_with("session s-1 not found (InvalidMcpSession.NotFound, HTTP 400"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn what_was_sent_is_not_called_again() {
    let service = Service::start(without_sockets).await;
    let peer = Peer::start(|_, mut socket| async move {
        peer::start(&mut socket).await.expect("it is sent");
    })
    .await;
    let mut data = data(&service);
    data.ws_url = Some(format!("ws://{}/ws", peer.address));
    let end = end_of(start(&session(&service, data))).await;
    assert!(matches!(end, Err(RunError::Interrupted(_))), "{end:?}");
    assert_eq!((calls(&service), peer.connections()), (0, 1));
}

/// A proxy may let calls through and no stream.
#[tokio::test]
async fn a_run_that_was_posted_and_cannot_be_followed_is_not_called_again() {
    let service = Service::start(|seen| match seen.path.split('?').next().unwrap_or_default() {
        path if path.starts_with("/link/runs/") && path.ends_with("/events") => (403, String::new()),
        path if path.starts_with("/link/runs/") => (200, String::new()),
        _ => without_sockets(seen),
    })
    .await;
    let mut data = data(&service);
    data.link_url = Some(format!("{}/link", service.url));
    data.extensions = vec!["resume".into(), "http".into()];
    let end = end_of(start(&session(&service, data))).await;
    assert_eq!(end, Err(RunError::Interrupted(DisconnectReason::refused(403, ""))));
    assert_eq!(calls(&service), 1, "the POST");
}

#[tokio::test]
async fn an_answer_that_does_not_come_leaves_the_outcome_unknown() {
    for (answer, is_known) in
        [((0, String::new()), false), ((502, "<html>".into()), false), (refused(400, "X", "no"), true)]
    {
        let service = Service::start(move |seen| match seen.path.as_str() {
            "/ws" => (404, String::new()),
            _ => answer.clone(),
        })
        .await;
        let run = start(&session(&service, data(&service)));
        let result = run.finish().await;
        let status = if is_known { RunStatus::Failed } else { RunStatus::Interrupted };
        assert_eq!((result.success, result.status), (false, status), "{result:?}");
        assert_eq!(result.error_message.contains("unknown"), !is_known, "{}", result.error_message);
        assert_eq!(calls(&service), 1);
    }
}

#[tokio::test]
async fn where_nothing_gets_through_the_code_was_not_run() {
    let peer = Peer::answering("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
    let end = end_of(start(&peer.session(&[]))).await; // its endpoint is nowhere
    let Err(error @ RunError::Unreachable(_)) = &end else { panic!("{end:?}") };
    let words = error.to_string();
    assert!(["403", "a plain call", "was not run"].iter().all(|part| words.contains(part)), "{words}");
}

#[tokio::test]
async fn cancelling_ends_the_call_or_keeps_it_from_being_made() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    let url = format!("http://{}", silent.local_addr().expect("it is bound"));
    let mut data = SessionData::default();
    data.session_id = "s-1".into();
    let options = Options::new().api_key("key").endpoint(url).environment([("", ""); 0]);
    let session = Agb::new(&options).expect("the settings are fine").session(data);
    let mut run = start(&session);
    assert!(matches!(run.next().await, Some(RunEvent::Unstreamed(_))));
    let control = run.control();
    let begun = Instant::now();
    let (end, ()) = tokio::join!(end_of(run), async {
        silent.accept().await.expect("it calls");
        control.cancel();
    });
    assert_eq!(end, Err(RunError::Cancelled { state_lost: false }));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let mut run = start(&session);
    run.cancel();
    assert_eq!(run.next().await, None, "nobody is told of a call that is not made");
    assert_eq!(run.end(), Some(&Err(RunError::Cancelled { state_lost: false })));
    assert!(tokio::time::timeout(Duration::from_millis(50), silent.accept()).await.is_err());
}

#[tokio::test]
async fn a_run_that_takes_input_is_not_made_without_it() {
    let service = Service::start(without_sockets).await;
    let mut data = data(&service);
    data.extensions = vec!["stdin".into()];
    let session = session(&service, data);
    let run = session.code().run("print(1)", "python").stdin(true).stream().expect("it is taken");
    run.write("a\n");
    assert_eq!(end_of(run).await, Err(RunError::Unreachable(DisconnectReason::refused(403, ""))));
    assert_eq!(calls(&service), 0);
}

#[tokio::test]
async fn a_session_that_was_closed_calls_nobody() {
    let service = Service::start(without_sockets).await;
    let session = session(&service, data(&service));
    let run = start(&session);
    while service.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    session.close();
    assert!(matches!(end_of(run).await, Err(RunError::Closed | RunError::Unreachable(_))));
    assert_eq!(calls(&service), 0);
}

#[tokio::test]
async fn the_next_run_tries_to_stream_again() {
    let service = Service::start(without_sockets).await;
    let session = session(&service, data(&service));
    for number in 1..=2 {
        assert!(start(&session).finish().await.success);
        assert_eq!(calls(&service), number);
        assert_eq!(service.seen().iter().filter(|seen| seen.path == "/ws").count(), number);
    }
}

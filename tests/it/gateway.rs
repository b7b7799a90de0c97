//! A gateway in front of a service that misbehaves, and with many runs at once. `AGB_GATEWAY_RUNS` says how many.

use std::time::Duration;

use agb_client::{Agb, CreateSession, Error, Execution, Options, RunEvent, RunStatus, Session};
use agb_server::Config;
use agb_testkit::upstream::{Answers, Handshakes, TOKEN, Upstream};
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::server::{KEY, TestServer};

/// Longer than anything takes that ends.
const PATIENCE: Duration = Duration::from_secs(90);

/// A gateway to a scripted service.
struct Pair {
    upstream: Upstream,
    gateway: TestServer,
}

impl Pair {
    async fn start() -> Self {
        let upstream = Upstream::start().await.expect("a free port");
        let mut config = Config::new(KEY.into());
        config.api_keys.clear();
        config.upstream.url = Some(upstream.url());
        Self { gateway: TestServer::with(config).await, upstream }
    }

    fn account(&self) -> Agb {
        Agb::new(&Options::new().endpoint(self.gateway.endpoint()).api_key(KEY)).expect("an account")
    }

    async fn session(&self) -> Session {
        let create = CreateSession { image_id: "agb-code-space-1".to_owned(), ..CreateSession::default() };
        self.account().create(create).await.expect("a session")
    }
}

async fn play(session: &Session, script: &str) -> Execution {
    let run = session.code().run(script, "python").timeout(Duration::from_secs(5)).stream().expect("it is taken");
    timeout(PATIENCE, run.finish()).await.unwrap_or_else(|_| panic!("{script}: no end"))
}

fn lines(count: usize) -> String {
    (0..count).map(|n| format!("{n}\n")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_service_does_a_run_has_one_honest_end() {
    let pair = Pair::start().await;
    let session = pair.session().await;
    use RunStatus::{Failed, Finished, Interrupted};
    // What the service does; how the run ends; how many lines are kept; a word of the error.
    let cases = [
        ("lines:3 end", Finished, 3, ""),
        ("lines:3 fail", Failed, 3, "it was to fail"),
        ("lines:3 refuse:7", Failed, 3, "code 7"),
        ("lines:3 cut", Interrupted, 3, "unknown"),
        ("cut", Interrupted, 0, "unknown"),
        ("lines:3 close:1011", Interrupted, 3, "unknown"),
        ("lines:3 close:1000", Interrupted, 3, "unknown"),
        ("lines:3 close:4404", Interrupted, 3, "unknown"),
        ("lines:3 tear:100000", Interrupted, 3, "unknown"),
        ("lines:3 text:0 end", Finished, 3, ""),
        ("lines:3 text:1 text:2 text:3 end", Finished, 3, ""),
        ("lines:3 binary strange end", Finished, 3, ""),
        ("lines:2 pause:300 lines:1 end", Finished, 3, ""),
        ("lines:2000 end", Finished, 2000, ""),
    ];
    for (script, status, kept, word) in cases {
        let execution = play(&session, script).await;
        let message = &execution.error_message;
        assert_eq!(execution.status, status, "{script}: {message}");
        assert_eq!(execution.logs.stdout.concat(), lines(kept), "{script}");
        assert!(message.contains(word), "{script}: {message}");
        assert_eq!(execution.interruptions, 0, "{script}: the client's own connection was never lost");
    }
    // Each program was sent to the service once, whatever became of its connection.
    assert_eq!(pair.upstream.seen().starts.len(), cases.len());
    pair.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_breaks_the_protocol_is_told_as_the_services() {
    let pair = Pair::start().await;
    let session = pair.session().await;
    for script in ["lines:1 text:4 end", "lines:1 text:5 end"] {
        let execution = play(&session, script).await;
        assert!(matches!(execution.status, RunStatus::Finished | RunStatus::Interrupted), "{script}: {execution:?}");
        assert_eq!(execution.logs.stdout.concat(), "0\n", "{script}");
    }
    let next = play(&session, "lines:1 end").await;
    assert_eq!(next.status, RunStatus::Finished, "the session goes on: {}", next.error_message);
    pair.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_frames_come_through_and_too_large_ones_end_the_run() {
    let pair = Pair::start().await;
    let session = pair.session().await;
    let execution = play(&session, "chunk:4000000 end").await;
    assert_eq!((execution.status, execution.logs.stdout.concat().len()), (RunStatus::Finished, 4_000_000));
    let execution = play(&session, "lines:1 chunk:100000000 end").await;
    assert_eq!(execution.status, RunStatus::Interrupted, "{}", execution.error_message);
    assert_eq!(execution.logs.stdout.concat(), "0\n");
    pair.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_never_ends_ends_at_its_limit() {
    let pair = Pair::start().await;
    let session = pair.session().await;
    let run = session.code().run("lines:1 never", "python").timeout(Duration::from_secs(1)).stream().expect("taken");
    let execution = timeout(PATIENCE, run.finish()).await.expect("an end");
    assert_eq!((execution.status, execution.logs.stdout.concat().as_str()), (RunStatus::Timeout, "0\n"));
    // One that its client cancels ends at once, although the service cannot stop it; and that is told.
    let mut run = session.code().run("lines:1 never", "python").stream().expect("taken");
    while !matches!(timeout(PATIENCE, run.next()).await.expect("in time"), Some(RunEvent::Stdout(_))) {}
    run.cancel();
    let execution = timeout(PATIENCE, run.finish()).await.expect("an end");
    assert_eq!(execution.status, RunStatus::Cancelled);
    assert!(execution.error_message.contains("may still run"), "{}", execution.error_message);
    pair.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_not_answered_rightly_are_told_as_the_upstreams() {
    let pair = Pair::start().await;
    let session = pair.session().await;
    let create = || async {
        let create = CreateSession { image_id: "agb-code-space-1".to_owned(), ..CreateSession::default() };
        timeout(PATIENCE, pair.account().create(create)).await.expect("an answer in time")
    };
    let refusal =
        r#"{"success":false,"httpStatusCode":429,"code":"Quota.Sessions","message":"ten are enough","data":null}"#;
    let json = "application/json";
    let cases = [
        (Answers::Text(429, json, refusal.to_owned()), "Quota.Sessions", "ten are enough"),
        (Answers::Text(502, "text/html", "<html>bad gateway</html>".to_owned()), "", "bad gateway"),
        (Answers::Text(200, "text/html", "<html>log in</html>".to_owned()), "", ""),
        (Answers::Text(200, json, r#"{"success":true,"data":{"sessionId":7}}"#.to_owned()), "", ""),
        (Answers::Text(200, json, "[".repeat(100_000)), "", ""),
        (Answers::Text(200, json, String::new()), "", ""),
        (Answers::Cut { after: 0 }, "UpstreamUnavailable", "upstream"),
        (Answers::Cut { after: 120 }, "UpstreamUnavailable", "upstream"),
        (Answers::Endless, "UpstreamUnavailable", "upstream"),
    ];
    for (answers, code, words) in cases {
        let what = format!("{answers:.200?}").chars().take(200).collect::<String>();
        pair.upstream.set_answers(answers);
        let error = create().await.expect_err("nothing was created");
        assert!(code.is_empty() || error.code() == code, "{what}: {error}");
        assert!(error.to_string().contains(words), "{what}: {error}");
        assert!(matches!(error, Error::Api(_)) && !error.to_string().contains(TOKEN), "{what}: {error:?}");
    }
    pair.upstream.set_answers(Answers::Late(Duration::from_millis(500)));
    create().await.expect("late is not never");
    // What goes on is not touched by it.
    pair.upstream.set_answers(Answers::Never);
    assert_eq!(play(&session, "lines:2 end").await.status, RunStatus::Finished);
    pair.gateway.stop().await;
}

/// The gateway's client falls back to a plain call then, which this service does not have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_fails_is_told_and_nothing_was_run() {
    for handshakes in [Handshakes::Refused(403), Handshakes::Refused(500), Handshakes::Cut] {
        let pair = Pair::start().await;
        let session = pair.session().await;
        pair.upstream.set_handshakes(handshakes);
        let execution = play(&session, "lines:1 end").await;
        let message = &execution.error_message;
        assert_eq!(execution.status, RunStatus::Failed, "{handshakes:?}: {message}");
        assert!(message.contains("the script has no such call"), "{handshakes:?}: {message}");
        assert_eq!(pair.upstream.seen().starts, [""; 0]);
        pair.gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_reach_whom_they_are_for_and_the_token_nobody() {
    let pair = Pair::start().await;
    let session = pair.session().await;
    assert_eq!(play(&session, "lines:1 end").await.status, RunStatus::Finished);
    let seen = pair.upstream.seen();
    assert!(seen.keys.iter().all(|key| *key == format!("Bearer {KEY}")), "{:?}", seen.keys);
    assert_eq!(seen.tokens, [TOKEN]);
    let told = format!("{:?} {}", session.data(), session.data().to_json());
    assert!(
        !told.contains(TOKEN) && !told.contains("in-a-query") && !told.contains(&pair.upstream.url()[7..]),
        "{told}"
    );
    session.delete().await.expect("released");
    assert_eq!(pair.upstream.seen().released, [session.id()]);
    pair.gateway.stop().await;
}

fn runs() -> usize {
    std::env::var("AGB_GATEWAY_RUNS").map_or(100, |runs| runs.parse().expect("AGB_GATEWAY_RUNS is a number"))
}

/// Ten sessions, their runs all at once; some read slowly, some leave and come back, some go away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runs_at_once_lose_nothing() {
    const LINES: usize = 300;
    const SESSIONS: usize = 10;
    let upstream = Upstream::start().await.expect("a free port");
    let mut config = Config::new(KEY.into());
    config.api_keys.clear();
    config.upstream.url = Some(upstream.url());
    config.limits.max_runs = runs().max(100);
    let pair = Pair { gateway: TestServer::with(config).await, upstream };
    let sessions = join_all((0..SESSIONS).map(|_| pair.session())).await;
    let script = format!("lines:{} pause:20 lines:{} end", LINES / 2, LINES / 2);
    let one = async |number: usize| {
        let session = &sessions[number % SESSIONS];
        let mut run = session.code().run(&*script, "python").stream().expect("it is taken");
        let mut out = String::new();
        while let Some(event) = run.next().await {
            match event {
                RunEvent::Stdout(text) => out.push_str(&text),
                other => panic!("run {number}: {other:?}"),
            }
            match number / SESSIONS % 10 {
                3 => tokio::time::sleep(Duration::from_millis(2)).await,
                5 if out.len() > 100 => {
                    // As a page that is loaded anew.
                    let (id, again) =
                        (run.id().to_owned(), pair.account().get(session.id()).await.expect("it is there"));
                    let attached = again.code().attach(&id, 0).stream().expect("it is there").finish().await;
                    assert_eq!(attached.logs.stdout.concat(), lines(LINES), "run {number}");
                    return;
                }
                7 if out.len() > 100 => return, // drops the run
                _ => {}
            }
        }
        assert!(run.finish().await.success);
        assert_eq!(out, lines(LINES), "run {number}");
    };
    timeout(Duration::from_secs(300), join_all((0..runs()).map(one))).await.expect("all ends");
    let mut starts = pair.upstream.seen().starts;
    starts.sort();
    starts.dedup();
    assert_eq!((starts.len(), pair.upstream.seen().starts.len()), (runs(), runs()), "each program once");
    pair.gateway.stop().await;
}

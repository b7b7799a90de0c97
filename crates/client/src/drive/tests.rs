//! The driver's side of the core's contract, on sockets of memory and a clock that jumps.

use std::sync::Weak;

use agb_core::run::RunRequest;
use agb_core::wire::service::{Reply, Request, parse_request};
use agb_core::{Capabilities, Language, RunError, Secret, SessionConfig};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::connection::Connection;
use crate::run::{Retention, Run};
use crate::socket::{Counted, SocketLimits};

/// The service's end of a socket.
type Far = WebSocketStream<DuplexStream>;

/// What becomes of one attempt to connect.
enum Dial {
    Fine,
    Fails(DisconnectReason),
    Hangs,
}

/// A session's connection, and the far ends of its sockets as they are opened. Attempts go as `script` says, and well
/// when that is used up.
fn connection(
    script: Vec<Dial>,
    tune: impl FnOnce(&mut SessionConfig),
) -> (Arc<Connection>, UnboundedReceiver<DuplexStream>) {
    let mut config = SessionConfig::new("ws://memory", Secret::from("token"));
    tune(&mut config);
    let (opened, far) = mpsc::unbounded_channel();
    let script = Mutex::new(script.into_iter());
    let dialer: Dialer = Box::new(move |request| {
        assert_eq!(request.headers, [("X-Access-Token", Secret::from("token"))]);
        let dial = script.lock().expect("no test panics with it").next().unwrap_or(Dial::Fine);
        let opened = opened.clone();
        Box::pin(async move {
            match dial {
                Dial::Fails(loss) => Err(loss),
                Dial::Hangs => pending().await,
                Dial::Fine => {
                    let (near, far) = duplex(64 * 1024);
                    opened.send(far).expect("the test holds the other end");
                    let limits = SocketLimits::default().to_config();
                    Ok(Socket::from_raw_socket(Counted::new(Box::new(near)), Role::Client, Some(limits)).await)
                }
            }
        })
    });
    let follower = Box::new(|_, _, _| unreachable!("no service here offers event streams"));
    (Connection::new(Session::new(config, Capabilities::NATIVE, 7), dialer, follower), far)
}

fn run(on: &Arc<Connection>, code: &str) -> Run {
    let request =
        RunRequest { code: code.into(), language: Language::Python, timeout: Duration::from_secs(3_600), stdin: false };
    let retention = Retention { log: 1 << 20, ..Retention::default() };
    let (handle, invocation) = on.start(request, retention.stamps).expect("the session takes runs");
    Run::new(Some(handle), invocation, retention, None)
}

async fn next(far: &mut UnboundedReceiver<DuplexStream>) -> Far {
    let far = far.recv().await.expect("the dialer lives as long as the connection");
    Far::from_raw_socket(far, Role::Server, None).await
}

/// The next request; pings and pongs are seen to by the way.
async fn request(far: &mut Far) -> Option<Request> {
    loop {
        match far.next().await?.ok()? {
            Message::Text(text) => return Some(parse_request(&text).expect("the client writes JSON objects")),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

async fn start(far: &mut Far) -> String {
    match request(far).await {
        Some(Request::Start { invocation, .. }) => invocation,
        other => panic!("not a start: {other:?}"),
    }
}

async fn say(far: &mut Far, text: String) {
    far.send(Message::text(text)).await.expect("the client reads");
}

fn reply(invocation: &str) -> Reply<'_> {
    Reply { invocation, source: "s", seq: None, time: None }
}

async fn end(far: &mut Far, invocation: &str) {
    say(far, reply(invocation).end(&agb_core::Finish::default())).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_repeated_when_the_core_says_so() {
    let failed = || Dial::Fails(DisconnectReason::Broken("no route".into()));
    let (connection, mut sockets) = connection(vec![failed(), failed()], |_| {});
    let begun = tokio::time::Instant::now();
    let run = run(&connection, "1");
    let mut far = next(&mut sockets).await;
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    let invocation = start(&mut far).await;
    end(&mut far, &invocation).await;
    assert!(run.finish().await.success);
}

#[tokio::test(start_paused = true)]
async fn attempts_that_hang_are_given_up() {
    let (connection, _sockets) = connection((0..100).map(|_| Dial::Hangs).collect(), |_| {});
    let begun = tokio::time::Instant::now();
    let mut run = run(&connection, "1");
    assert!(run.next_batch().await.is_none());
    assert!(matches!(run.end(), Some(Err(RunError::Unreachable(DisconnectReason::Broken(_))))), "{:?}", run.end());
    assert!(begun.elapsed() <= Duration::from_secs(31), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_final_ends_the_run_at_once() {
    let (connection, _sockets) = connection(vec![Dial::Fails(DisconnectReason::refused(401, ""))], |_| {});
    let begun = tokio::time::Instant::now();
    let mut run = run(&connection, "1");
    assert!(run.next_batch().await.is_none());
    assert_eq!(run.end(), Some(&Err(RunError::Unreachable(DisconnectReason::refused(401, "")))));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_falls_silent_is_noticed() {
    let (connection, mut sockets) = connection(vec![], |_| {});
    let mut run = run(&connection, "1");
    let mut far = next(&mut sockets).await;
    start(&mut far).await;
    let begun = tokio::time::Instant::now();
    assert!(run.next_batch().await.is_none()); // the far end is there and reads nothing more
    assert!(
        matches!(run.end(), Some(Err(RunError::Interrupted(DisconnectReason::Broken(words)))) if words.contains("25 s"))
    );
    assert!(begun.elapsed() <= Duration::from_secs(26), "{:?}", begun.elapsed());
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_program_on_a_living_socket_lives() {
    let (connection, mut sockets) = connection(vec![], |_| {});
    let run = run(&connection, "1");
    let mut far = next(&mut sockets).await;
    let invocation = start(&mut far).await;
    // Reading answers pings. That is all that happens for an hour.
    let hour = async { while far.next().await.is_some_and(|frame| frame.is_ok_and(|frame| frame.is_ping())) {} };
    assert!(tokio::time::timeout(Duration::from_secs(3_500), hour).await.is_err());
    end(&mut far, &invocation).await;
    assert!(run.finish().await.success);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_reader_stops_the_socket_and_loses_nothing() {
    let (connection, mut sockets) = connection(vec![], |_| {});
    let mut run = run(&connection, "1");
    let mut far = next(&mut sockets).await;
    let invocation = start(&mut far).await;
    let chunk = "x".repeat(64 * 1024);
    let mut sent = 0;
    while tokio::time::timeout(
        Duration::from_secs(1),
        say(&mut far, reply(&invocation).chunk(agb_core::Stream::Stdout, &chunk)),
    )
    .await
    .is_ok()
    {
        sent += 1;
        assert!(sent < 200, "the socket is read although nobody reads the run");
    }
    assert!(sent >= 60, "only {sent} chunks: reading stopped too early");
    let finish = tokio::spawn(async move {
        far.flush().await.expect("the client reads again");
        end(&mut far, &invocation).await;
        far
    });
    let mut total = 0;
    while let Some(batch) = run.next_batch().await {
        total += batch.text().len();
    }
    // The last send was given up, but its frame was taken in whole.
    assert_eq!(total, (sent + 1) * chunk.len());
    assert!(matches!(run.end(), Some(Ok(_))));
    finish.await.expect("it does not panic");
}

#[tokio::test(start_paused = true)]
async fn what_the_wire_has_not_taken_holds_back_the_rest() {
    let (connection, mut sockets) = connection(vec![], |_| {});
    let large = run(&connection, &"a".repeat(2 << 20));
    let mut cancelled = run(&connection, "cancelled");
    let last = run(&connection, "last");
    let mut far = next(&mut sockets).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    cancelled.cancel(); // still in the outbox, since the wire is full of the first
    assert!(cancelled.next_batch().await.is_none());
    for expected in [large, last] {
        let invocation = start(&mut far).await;
        assert_eq!(invocation, expected.id());
        end(&mut far, &invocation).await;
        assert!(expected.finish().await.success);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_takes_minutes_is_no_silence() {
    let (connection, mut sockets) = connection(vec![], |_| {});
    let mut run = run(&connection, "1");
    let mut far = next(&mut sockets).await;
    let invocation = start(&mut far).await;
    let chunk = "x".repeat(20_000);
    let reply = Reply { invocation: &invocation, source: "s", seq: None, time: None };
    let text = reply.chunk(agb_core::Stream::Stdout, &chunk);
    let mut bytes = vec![0x81, 126];
    bytes.extend(u16::try_from(text.len()).expect("small").to_be_bytes());
    bytes.extend(text.as_bytes());
    // The line takes 100 bytes a second, and no ping is answered behind it.
    for piece in bytes.chunks(100) {
        far.get_mut().write_all(piece).await.expect("the client reads");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(run.next_batch().await.map(|batch| batch.text().len()), Some(chunk.len()));
    end(&mut far, &invocation).await;
    assert!(run.next_batch().await.is_none() && matches!(run.end(), Some(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn what_came_before_is_no_sign_of_life_now() {
    let (connection, mut sockets) = connection(vec![], |_| {});
    let mut run = run(&connection, "1");
    let mut far = next(&mut sockets).await;
    let invocation = start(&mut far).await;
    let reply = Reply { invocation: &invocation, source: "s", seq: None, time: None };
    let said = reply.chunk(agb_core::Stream::Stdout, "x");
    far.send(Message::text(said)).await.expect("the client reads");
    assert!(run.next_batch().await.is_some());
    // And a piece of a message, after which the peer reads and says nothing more.
    tokio::time::sleep(Duration::from_millis(500)).await;
    far.get_mut().write_all(&[0x81, 126]).await.expect("the client reads");
    let began = tokio::time::Instant::now();
    assert!(run.next_batch().await.is_none());
    let silence = began.elapsed();
    assert!(silence <= Duration::from_secs(25), "noticed after {silence:?}");
}

#[tokio::test(start_paused = true)]
async fn close_frames_are_told_and_answered() {
    let (connection, mut sockets) = connection(vec![], |_| {});
    let mut run = run(&connection, "1");
    let mut far = next(&mut sockets).await;
    start(&mut far).await;
    let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 4403.into(), reason: "gone".into() };
    far.close(Some(frame)).await.expect("the client reads");
    assert!(run.next_batch().await.is_none());
    let loss = DisconnectReason::Closed { code: 4403, reason: "gone".into() };
    assert_eq!(run.end(), Some(&Err(RunError::Interrupted(loss))));
    assert!(matches!(far.next().await, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 4403));
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_closes_the_socket_and_ends_the_driver() {
    let (connection, mut sockets) = connection(vec![], |_| {});
    let shared: Weak<Shared> = Arc::downgrade(&connection.shared);
    let first = run(&connection, "1");
    drop(connection); // a run keeps the connection
    let mut far = next(&mut sockets).await;
    let invocation = start(&mut far).await;
    end(&mut far, &invocation).await;
    assert!(first.finish().await.success);
    assert!(matches!(far.next().await, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 1000));
    drop(far);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(shared.strong_count(), 0, "the driver is still there");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_run_tells_the_service() {
    let (connection, mut sockets) = connection(vec![], |config| config.extensions.cancel = true);
    let dropped = run(&connection, "1");
    let mut far = next(&mut sockets).await;
    let invocation = start(&mut far).await;
    drop(dropped);
    assert_eq!(request(&mut far).await, Some(Request::Cancel { invocation: invocation.clone() }));
    // What the service still says of it goes nowhere.
    say(&mut far, reply(&invocation).chunk(agb_core::Stream::Stdout, "late")).await;
    let other = run(&connection, "2");
    let invocation = start(&mut far).await;
    end(&mut far, &invocation).await;
    assert_eq!(other.finish().await.logs, agb_core::result::Logs::default());
}

#[tokio::test(start_paused = true)]
async fn readers_get_their_turn_in_a_flood() {
    let (connection, mut sockets) = connection(vec![], |_| {});
    let mut run = run(&connection, "1");
    let mut far = next(&mut sockets).await;
    let invocation = start(&mut far).await;
    let flood = tokio::spawn(async move {
        for _ in 0..20_000 {
            let text = reply(&invocation).chunk(agb_core::Stream::Stdout, "0123456789abcdef");
            far.feed(Message::text(text)).await.expect("the client reads");
        }
        end(&mut far, &invocation).await;
        far
    });
    let (mut batches, mut total, mut largest) = (0, 0, 0);
    while let Some(batch) = run.next_batch().await {
        batches += 1;
        total += batch.text().len();
        largest = largest.max(batch.marks().len());
    }
    flood.await.expect("it does not panic");
    assert_eq!(total, 20_000 * 16);
    assert!(largest <= 512 && batches >= 40, "{batches} batches, the largest of {largest} pieces");
}

/// A connection without a driver: no runtime is there that could start one.
struct Undriven {
    connection: Arc<Connection>,
    run: Run,
    link: Option<LinkId>,
}

impl Undriven {
    fn open(tune: impl FnOnce(&mut SessionConfig)) -> Self {
        let (connection, _) = connection(vec![], tune);
        let run = run(&connection, "1");
        let mut undriven = Self { connection, run, link: None };
        undriven.drain();
        undriven.feed(Input::Opened);
        assert!(undriven.is_told(), "of the run");
        undriven
    }

    /// Gives whether reading goes on.
    fn drain(&mut self) -> bool {
        let mut machine = self.connection.shared.lock();
        loop {
            match machine.session.poll_output() {
                Output::Open(link, _) => self.link = Some(link),
                Output::Idle { read, .. } => return read,
                _ => {}
            }
        }
    }

    fn feed(&mut self, input: Input<'_>) -> bool {
        let (link, now) = (self.link.expect("it is opened"), self.connection.shared.now());
        self.connection.shared.lock().session.handle_input(now, link, input);
        self.drain()
    }

    fn print(&mut self, bytes: usize) -> bool {
        let text = reply(self.run.id()).chunk(agb_core::Stream::Stdout, &"x".repeat(bytes));
        self.feed(Input::Text(&text))
    }

    fn read(&mut self) -> Option<usize> {
        self.run.next_batch().now_or_never().flatten().map(|batch| batch.text().len())
    }

    fn is_told(&self) -> bool {
        self.connection.shared.changed.notified().now_or_never().is_some()
    }
}

#[test]
fn reading_wakes_the_driver_for_what_there_is_to_do_and_for_nothing_else() {
    let mut with_flow = Undriven::open(|config| (config.extensions.flow, config.window) = (true, 40_000));
    for (bytes, is_acknowledged) in [(4_000, false), (4_000, false), (4_000, true), (4_000, false)] {
        with_flow.print(bytes);
        assert_eq!(with_flow.read(), Some(bytes));
        assert!(!with_flow.is_told(), "a batch that is being dealt with");
        assert_eq!(with_flow.read(), None);
        assert_eq!(with_flow.is_told(), is_acknowledged, "a quarter of the window");
        with_flow.drain();
    }
    let mut pausing = Undriven::open(|config| (config.pause_above, config.resume_below) = (10_000, 10_000));
    assert!(pausing.print(4_000));
    assert_eq!(pausing.read(), Some(4_000));
    assert!(!pausing.is_told());
    assert!(!pausing.print(20_000));
    assert_eq!(pausing.read(), Some(20_000));
    assert!(pausing.is_told() && pausing.drain(), "there is room to read on");
}

#[test]
fn another_runtime_drives_on_when_the_first_one_is_gone() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the system has a runtime for us");
    let (connection, mut sockets) = connection(vec![], |_| {});
    let first = runtime();
    let interrupted = first.block_on(async {
        let run = run(&connection, "1");
        let mut far = next(&mut sockets).await;
        start(&mut far).await;
        run
    });
    drop(first);
    runtime().block_on(async {
        let result = interrupted.finish().await;
        assert_eq!(result.error.map(|error| error.name), Some("Interrupted".into()));
        let again = run(&connection, "2");
        let mut far = next(&mut sockets).await;
        let invocation = start(&mut far).await;
        end(&mut far, &invocation).await;
        assert!(again.finish().await.success);
    });
}

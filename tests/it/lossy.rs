//! A lossy network between the Rust client and the real server with real programs: numbered lines, all of them checked.
//!
//! `AGB_LOSSY=runs,seed` chooses how many runs and which faults; `cargo xtask soak` makes ten times as many.

use std::net::SocketAddr;
use std::time::Duration;

use agb_client::{Agb, RunEvent, Session};
use agb_testkit::proxy::{Proxy, Schedule, Tally};
use futures_util::StreamExt;
use futures_util::future::join_all;

use crate::network::{client, session};
use crate::server::TestServer;

/// So many sessions at once, each with one run after the other.
const SESSIONS: usize = 16;
/// What a run prints.
const LINES: usize = 700;
/// A frame carries no more, so that some get through between two cuts.
const WINDOW: usize = 2_048;

struct Plan {
    runs: usize,
    seed: u64,
}

impl Plan {
    fn new(runs: usize) -> Self {
        let given = std::env::var("AGB_LOSSY").ok();
        let mut numbers = given.iter().flat_map(|text| text.split(',')).map(|number| number.trim().parse::<u64>());
        let mut next = || numbers.next().transpose().expect("AGB_LOSSY is runs,seed");
        let runs = next().map_or(runs, |runs| usize::try_from(runs).expect("a number of runs"));
        let plan = Self { runs, seed: next().unwrap_or(1) };
        println!("AGB_LOSSY={},{}", plan.runs, plan.seed);
        plan
    }
}

/// Cuts each WebSocket after a few KiB, half of them by a reset, and refuses some.
fn faults(seed: u64) -> Schedule {
    Schedule { refuse: 10, cut: 90, stall: 0, after: 600..7_000, ..Schedule::seeded(seed) }
}

/// As patient as the network is bad.
fn patient(address: SocketAddr) -> Agb {
    client(address, |config| {
        config.window = WINDOW;
        config.socket_attempts = 1_000;
        config.reopen = Duration::from_millis(5); // most of the time would be waiting for the next cut
    })
}

/// Runs programs that print numbered lines and checks each line; gives how often a connection was found again.
async fn run_all(session: &Session, name: usize, runs: usize) -> u32 {
    let mut interruptions = 0;
    for run in 0..runs {
        let code = format!(
            "import sys, time\nopen('starts', 'a').write('{run}\\n')\nfor i in range({LINES}):\n    \
             print(f'{{i:05}} of {name}.{run} ' + 'é' * (i % 40))\n    \
             if i % 50 == 0: sys.stderr.write(f'{{i}}\\n')\n"
        );
        let mut stream = session.code().run(code, "python").stream().expect("it is sent");
        let (mut out, mut err) = (String::new(), String::new());
        let (mut lost, mut found) = (0, 0);
        while let Some(event) = stream.next().await {
            match event {
                RunEvent::Stdout(chunk) => out.push_str(&chunk),
                RunEvent::Stderr(chunk) => err.push_str(&chunk),
                RunEvent::Interrupted(_) => lost += 1,
                RunEvent::Reconnected => found += 1,
                RunEvent::Error(error) => panic!("run {name}.{run}: {error:?}"),
                _ => {}
            }
        }
        let result = stream.finish().await;
        assert!(result.success, "run {name}.{run}: {}", result.error_message);
        // The last loss may have come when everything was there.
        assert!(result.interruptions == found && lost - found <= 1, "{lost} times lost, {found} times found");
        interruptions += found;
        let expected: String = (0..LINES).map(|i| format!("{i:05} of {name}.{run} {}\n", "é".repeat(i % 40))).collect();
        assert!(out == expected, "run {name}.{run}: {} bytes instead of {}", out.len(), expected.len());
        let expected: String = (0..LINES).step_by(50).map(|i| format!("{i}\n")).collect();
        assert_eq!(err, expected, "run {name}.{run}");
    }
    interruptions
}

/// All runs over a proxy with this schedule, each program started once; gives interruptions and what the proxy did.
async fn through(plan: &Plan, schedule: Schedule, agb: impl Fn(SocketAddr) -> Agb) -> (u32, Tally) {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.address(), Schedule::calm()).await.expect("a port");
    let agb = agb(proxy.address());
    let sessions = join_all((0..SESSIONS).map(|_| session(&agb))).await;
    proxy.set_schedule(schedule);
    let each = plan.runs.div_ceil(SESSIONS);
    let interruptions: Vec<_> =
        join_all(sessions.iter().enumerate().map(|(name, session)| run_all(session, name, each))).await;
    let tally = proxy.tally();
    // Past the proxy: a plain call over a connection that it has just cut is not repeated.
    let direct = client(server.address(), |_| {});
    for session in &sessions {
        let session = direct.get(session.id()).await.expect("it is there");
        let starts = session.code().run("open('starts').read()", "python").await.expect("a run");
        let expected: String = (0..each).map(|run| format!("{run}\\n")).collect();
        assert_eq!(starts.results[0].text.as_deref(), Some(&*format!("'{expected}'")), "each program ran once");
    }
    println!("{tally:?}, {interruptions:?} interruptions");
    server.stop().await;
    (interruptions.iter().sum(), tally)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_lossy_network_every_line_arrives_once_and_in_order() {
    let plan = Plan::new(80);
    let (interruptions, tally) = through(&plan, faults(plan.seed), patient).await;
    // A connection is cut after so many bytes, however quick it is; `cargo xtask soak` makes more than 10,000 cuts.
    assert!(tally.cut >= 10 * plan.runs as u64, "only {} cuts", tally.cut);
    assert!(u64::from(interruptions) >= tally.cut / 2, "{interruptions} of {}", tally.cut);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_websocket_gets_through_every_line_arrives_over_event_streams() {
    let plan = Plan::new(24);
    let schedule = Schedule { refuse: 100, also_http: true, stall: 10, ..faults(plan.seed) };
    let agb = |address| client(address, |config| config.window = WINDOW);
    let (interruptions, tally) = through(&plan, schedule, agb).await;
    assert!(tally.refused > 0 && tally.upgrades == tally.refused, "{tally:?}");
    assert!(interruptions >= plan.runs as u32, "{interruptions} interruptions, {tally:?}");
}

/// How many lines of input a program echoes.
const INPUT: usize = 300;

/// A program that echoes numbered lines, which are written while connections break; gives how often they did.
async fn echo(schedule: Schedule, agb: impl Fn(SocketAddr) -> Agb) -> u32 {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.address(), Schedule::calm()).await.expect("a port");
    let agb = agb(proxy.address());
    let session = session(&agb).await;
    proxy.set_schedule(schedule);
    let code = format!("for i in range({INPUT}): print(input())");
    let mut run = session.code().run(code, "python").stdin(true).stream().expect("it is sent");
    let lines: Vec<_> = (0..INPUT).map(|i| format!("{i:05} {}\n", "é".repeat(i % 40))).collect();
    let mut unwritten = lines.iter();
    for line in unwritten.by_ref().take(10) {
        run.write(line);
    }
    let mut out = String::new();
    while let Some(event) = run.next().await {
        match event {
            RunEvent::Stdout(chunk) => {
                for line in unwritten.by_ref().take(chunk.matches('\n').count()) {
                    run.write(line);
                }
                out.push_str(&chunk);
            }
            RunEvent::InputRefused { .. } | RunEvent::InputUncertain | RunEvent::Error(_) => panic!("{event:?}"),
            _ => {}
        }
    }
    let result = run.finish().await;
    assert!(result.success, "{}", result.error_message);
    assert!(out == lines.concat(), "{} bytes instead of {}: {out}", out.len(), lines.concat().len());
    println!("{} interruptions", result.interruptions);
    server.stop().await;
    result.interruptions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_lossy_network_every_line_of_input_arrives_once_and_in_order() {
    let interruptions = echo(faults(1), patient).await;
    assert!(interruptions >= 5, "{interruptions} interruptions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_websocket_gets_through_every_line_of_input_arrives_by_calls() {
    let schedule = Schedule { refuse: 100, also_http: true, ..faults(1) };
    let interruptions = echo(schedule, |address| client(address, |config| config.window = WINDOW)).await;
    assert!(interruptions >= 5, "{interruptions} interruptions");
}

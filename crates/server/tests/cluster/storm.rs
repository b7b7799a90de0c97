//! Faults at random under runs: each program begins once, each line comes once, and only whose server has died is lost.
//!
//! `AGB_STORM=seconds,seed` says for how long and which faults; `cargo xtask soak --cluster` takes minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agb_client::{Agb, CreateSession, RunEvent, Session};
use agb_testkit::balancer::Balancer;
use agb_testkit::etcd::Etcd;
use futures_util::StreamExt;
use futures_util::future::join_all;
use rustix::process::Signal;

use crate::support::{Edge, LOST, Node, client, eventually};

const SERVERS: usize = 3;
/// Clients at once, each with one session and run after the other.
const CLIENTS: usize = 5;
const LINES: usize = 100;
/// As short as one fault takes that waits for a verdict.
const SHORT: u64 = 20;

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// A server, its way to the registry, and everybody else's way to it.
struct Place {
    node: Node,
    to_registry: Edge,
    to_it: Edge,
}

/// What clients go by.
#[derive(Default)]
struct Known {
    is_over: AtomicBool,
    /// What the sessions' ids begin with whose servers have died or stood still for long.
    excused: Mutex<BTreeSet<String>>,
    succeeded: AtomicUsize,
    lost: AtomicUsize,
}

impl Known {
    fn excuses(&self, session: &str) -> bool {
        self.excused.lock().expect("no panic under it").iter().any(|prefix| session.starts_with(prefix))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for half a minute: cargo xtask test --only cluster"]
async fn each_program_begins_once_and_each_line_comes_once_whatever_happens_to_servers() {
    let given = std::env::var("AGB_STORM").unwrap_or_default();
    let mut numbers = given.split(',').filter_map(|number| number.trim().parse::<u64>().ok());
    let (seconds, seed) = (numbers.next().unwrap_or(SHORT), numbers.next().unwrap_or(1));
    println!("AGB_STORM={seconds},{seed}");
    let mut random = Random(seed.max(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let folder = tempfile::tempdir().expect("a folder");
    let begun = folder.path().join("begun");
    fs::create_dir(&begun).expect("a folder");
    let mut etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let mut places = Vec::new();
    for index in 0..SERVERS {
        let to_registry = Edge::to(etcd.clients()[0]).await;
        let node = Node::new(&format!("s{index}"), &format!("etcd://{}/agb", to_registry.address), folder.path());
        let to_it = Edge::to(node.address).await;
        let mut node = node.with(&["--advertise", &format!("http://{}", to_it.address)]);
        node.spawn();
        node.ready().await;
        places.push(Place { node, to_registry, to_it });
    }
    settled(&places).await;
    let balancer = Balancer::start(places.iter().map(|place| place.node.address).collect()).await.expect("a port");
    let agb = client(balancer.address());
    let known = Known::default();
    let clients = join_all((0..CLIENTS).map(|name| use_it(&agb, name, &begun, &known)));
    let faults = async {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            disturb(&mut random, &mut places, &mut etcd, &known).await;
            settled(&places).await;
        }
        known.is_over.store(true, Ordering::Relaxed);
    };
    let (begun_by_clients, ()) = tokio::join!(clients, faults);
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for entry in fs::read_dir(&begun).expect("it is there").flatten() {
        let count = fs::read_to_string(entry.path()).expect("text").lines().count();
        times.insert(entry.file_name().into_string().expect("text"), count);
    }
    let twice: Vec<_> = times.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "programs that began twice: {twice:?}");
    for id in begun_by_clients.into_iter().flatten() {
        assert_eq!(times.get(&id), Some(&1), "{id} ran to its end and has begun once");
    }
    let (succeeded, lost) = (known.succeeded.load(Ordering::Relaxed), known.lost.load(Ordering::Relaxed));
    println!("{succeeded} runs to their ends, {lost} lost with their servers");
    assert!(succeeded > 0);
}

/// Waits until each server knows all.
async fn settled(places: &[Place]) {
    for place in places {
        let node = &place.node;
        eventually(&format!("{} sees all", node.name), 2 * LOST, async || node.up().await as usize == SERVERS).await;
    }
}

/// One fault, and its end. One at a time: two at once may cost a living server its membership.
async fn disturb(random: &mut Random, places: &mut [Place], etcd: &mut Etcd, known: &Known) {
    let index = usize::try_from(random.below(SERVERS as u64)).expect("few");
    let seconds = Duration::from_millis(1000 + random.below(13_000));
    let place = &mut places[index];
    let kind = random.below(7);
    let kinds = ["kill", "kill, restart later", "freeze", "cut from the registry", "swallow", "refuse", "no registry"];
    println!(
        "{} of {} for {:.1} s",
        kinds[usize::try_from(kind).expect("few")],
        place.node.name,
        seconds.as_secs_f64()
    );
    if kind <= 2 {
        // Said before it happens: a client may hear of it at once.
        let prefix = place.node.prefix().await;
        known.excused.lock().expect("no panic under it").insert(prefix);
    }
    match kind {
        0 | 1 => {
            place.node.kill();
            tokio::time::sleep(if kind == 0 { Duration::ZERO } else { seconds }).await;
            place.node.spawn();
            place.node.ready().await;
        }
        2 => {
            place.node.freeze().await;
            tokio::time::sleep(seconds).await;
            place.node.signal(Signal::CONT);
            // It goes on, or learns that it was declared lost; whoever supervises it starts it again.
            tokio::time::sleep(Duration::from_secs(4)).await;
            if place.node.ended().is_some() {
                assert_eq!(place.node.exit_code(LOST).await, Some(70), "{}", place.node.log());
                place.node.spawn();
            }
            place.node.ready().await;
        }
        3 => {
            place.to_registry.silence();
            tokio::time::sleep(seconds).await;
            place.to_registry.open();
        }
        4 | 5 => {
            if kind == 4 {
                place.to_it.silence()
            } else {
                place.to_it.refuse()
            }
            tokio::time::sleep(seconds).await;
            place.to_it.open();
        }
        _ => {
            etcd.kill_all();
            tokio::time::sleep(seconds).await;
            etcd.start_all().expect("etcd starts");
        }
    }
    for place in places {
        assert!(place.node.ended().is_none(), "{} has ended: {}", place.node.name, place.node.log());
    }
}

/// One run after the other; gives those that came to their ends.
async fn use_it(agb: &Agb, name: usize, begun: &Path, known: &Known) -> Vec<String> {
    let mut done = Vec::new();
    for number in 0.. {
        if known.is_over.load(Ordering::Relaxed) {
            break;
        }
        let wanted = CreateSession { image_id: "agb-code-space-1".into(), ..Default::default() };
        let Ok(session) = agb.create(wanted).await else {
            // New sessions may have to wait, for a registry that is away among others.
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let id = format!("{name}.{number}");
        match run(&session, &id, begun).await {
            Ok(()) => {
                known.succeeded.fetch_add(1, Ordering::Relaxed);
                done.push(id);
            }
            Err(problem) => {
                assert!(known.excuses(session.id()), "{id} in {}: {problem}", session.id());
                known.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(session.delete().await); // its server may have died
    }
    done
}

async fn run(session: &Session, id: &str, begun: &Path) -> Result<(), String> {
    let file = begun.join(id);
    let code = format!(
        "import time\nopen({file:?}, 'a').write('begun\\n')\nfor i in range({LINES}):\n    \
         print(f'{{i}} of {id}', flush=True)\n    time.sleep(0.03)"
    );
    let mut run = session.code().run(code, "python").stream().map_err(|error| error.to_string())?;
    let mut out = String::new();
    while let Some(event) = run.next().await {
        if let RunEvent::Stdout(chunk) = event {
            out.push_str(&chunk);
        }
    }
    let result = run.finish().await;
    let expected: String = (0..LINES).map(|i| format!("{i} of {id}\n")).collect();
    // What has come is right, also where the rest is lost.
    assert!(expected.starts_with(&out), "{id}: {out:?}");
    match result.success {
        true => {
            assert_eq!(out, expected, "{id}");
            Ok(())
        }
        false => Err(format!("{result:?}")),
    }
}

//! A random walk: a session and a model service over a link that delays, cuts and refuses, and what must hold all the
//! while. Each test run walks `AGB_WALK_SEEDS` seeds (default 5,000) from a fresh one, or from `AGB_WALK_SEED`; what
//! failed is printed with the line that replays it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::bench::{at, broken, config, everything};
use super::peer::Peer;
use crate::disconnect_reason::DisconnectReason;
use crate::io::{Capabilities, Input, LinkId, Output};
use crate::session::{Session, SessionConfig};
use crate::{Extensions, Instant, Language, Rejected, RunEnd, RunId, RunRequest};
use agb_protocol::random::SplitMix64 as Dice;

mod invariants;

const STEPS: usize = 400;
const WINDOW: usize = 2_000;
const LIMIT: usize = 4_000;
const LARGEST_CHUNK: usize = 512;
/// What the service keeps of a run until it is acknowledged. The client says what it has taken after a quarter of its
/// window at the latest, whatever it is: as frames that is several times as much.
const KEPT: usize = WINDOW;
const LINK_URL: &str = "https://host/link/s";

/// How many walks there are by default: some ten seconds on two processors. WebAssembly has one thread.
const WALKS: u64 = if cfg!(target_family = "wasm") { 500 } else { 5_000 };

/// A number from the environment.
fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Another one for each process. The addresses of a hash map's keys are random; WebAssembly has nothing random.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() >> 16
}

#[test]
fn any_walk_keeps_the_invariants() {
    let first = from_environment("AGB_WALK_SEED").unwrap_or_else(fresh_seed);
    let end = first + from_environment("AGB_WALK_SEEDS").unwrap_or(WALKS);
    println!("walks the seeds from {first} up to {end}");
    let next = AtomicU64::new(first);
    let walk_all = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return None;
            }
            if catch_unwind(AssertUnwindSafe(|| Walk::new(seed).walk())).is_err() {
                return Some(seed);
            }
        }
    };
    let failed: Vec<u64> = if cfg!(target_family = "wasm") {
        walk_all().into_iter().collect()
    } else {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let walkers: Vec<_> = (0..processors).map(|_| scope.spawn(walk_all)).collect();
            walkers.into_iter().filter_map(|walker| walker.join().expect("a walk's panic is caught")).collect()
        })
    };
    if let Some(seed) = failed.first() {
        panic!("seeds {failed:?} failed: replay one with AGB_WALK_SEED={seed} AGB_WALK_SEEDS=1");
    }
}

#[test]
fn the_same_seed_says_the_same() {
    for seed in 0..20 {
        let (one, other) = (Walk::new(seed).walk(), Walk::new(seed).walk());
        assert!(!one.is_empty());
        assert_eq!(one, other, "seed {seed}");
    }
}

struct Walk {
    dice: Dice,
    session: Session,
    peer: Peer,
    capabilities: Capabilities,
    now: Instant,
    links: Vec<Link>,
    dead: Vec<LinkId>,
    runs: BTreeMap<RunId, Told>,
    deadline: Option<Instant>,
    read: bool,
    said: String,
    /// An intermediary closes WebSockets at a longer message, with code 1009 or without a word.
    carries: Option<usize>,
    /// Links since something new came, and when the first of them was opened.
    in_vain: (u32, Instant),
}

/// A socket, or the event stream of one run.
struct Link {
    id: LinkId,
    opened: bool,
    events: Option<Events>,
}

/// How an event stream is opened.
struct Events {
    invocation: String,
    query: String,
    /// What is still to be said before.
    first: Option<String>,
}

/// What the application was told of a run.
#[derive(Default)]
struct Told {
    invocation: String,
    output: String,
    input: Vec<String>,
    end: Option<RunEnd>,
    abandoned: bool,
    /// When it was stopped first.
    stopped: Option<Instant>,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let capabilities = if dice.roll(2) == 0 { Capabilities::NATIVE } else { Capabilities::BROWSER };
        let kind = dice.roll(5);
        let extensions = match kind {
            0 => Extensions::default(),
            1 => Extensions { resume: true, ..Extensions::default() },
            2 => Extensions { flow: true, cancel: true, ..Extensions::default() },
            _ => everything(),
        };
        let config = SessionConfig {
            window: WINDOW,
            unread_limit: LIMIT,
            pause_above: LIMIT,
            resume_below: LIMIT / 4,
            unsent_limit: 2_000,
            backlog_high: 500,
            // Where it is known, two sockets in a row that come to nothing lead to event streams.
            link_url: (kind == 4).then(|| LINK_URL.to_owned()),
            ..config(extensions)
        };
        let session = Session::new(config, capabilities, seed);
        let carries = (dice.roll(4) == 0).then_some(LARGEST_CHUNK);
        Self {
            dice,
            session,
            peer: Peer::new(extensions, KEPT),
            capabilities,
            now: at(0),
            links: vec![],
            dead: vec![],
            runs: BTreeMap::new(),
            deadline: None,
            read: true,
            said: String::new(),
            carries,
            in_vain: (0, at(0)),
        }
    }

    fn walk(mut self) -> String {
        for _ in 0..STEPS {
            self.step();
            self.check();
        }
        self.settle();
        self.said
    }

    fn step(&mut self) {
        match self.dice.roll(20) {
            0 | 1 => self.start(),
            2 => {
                if let Some(at) = self.some_link().filter(|at| !self.links[*at].opened) {
                    self.accept(at);
                }
            }
            3 => self.lose(),
            4..=8 => self.peer.step(&mut self.dice),
            9..=13 => self.deliver(),
            14 | 15 => self.read_something(),
            16 if self.dice.roll(2) == 0 => self.stop_something(),
            16 => self.write_something(),
            17 => self.stale(),
            18 => {
                if let Some(at) = self.some_link() {
                    let backlog = self.dice.roll(1_000);
                    self.input(self.links[at].id, Input::Backlog(backlog));
                }
            }
            _ => self.pass(),
        }
    }

    fn start(&mut self) {
        let request = RunRequest {
            code: "x".repeat(self.dice.roll(600)),
            language: Language::Python,
            timeout: Duration::from_secs(3_600),
            stdin: false,
        };
        match self.session.run(self.now, request) {
            Ok(id) => {
                let invocation = self.session.invocation(id).expect("a new run is live").to_owned();
                self.runs.insert(id, Told { invocation, ..Told::default() });
            }
            Err(error) => assert_eq!(error, Rejected::Full { limit: 2_000 }),
        }
        self.drain();
    }

    /// The next of what opens a link comes to pass.
    fn accept(&mut self, at: usize) {
        let link = &mut self.links[at];
        let id = link.id;
        match &mut link.events {
            None => self.peer.accept(id),
            Some(events) => {
                if let Some(first) = events.first.take() {
                    self.peer.begin(&events.invocation, &first);
                    self.input(id, Input::Alive);
                    return;
                }
                self.peer.accept_events(id, &events.invocation, &events.query);
            }
        }
        link.opened = true;
        self.input(id, Input::Opened);
    }

    fn lose(&mut self) {
        let Some(at) = self.some_link() else { return };
        let link = self.links.remove(at);
        let loss = match (link.opened, self.dice.roll(3)) {
            (true, _) => broken(),
            (false, 0) => DisconnectReason::Unreached("nobody is there".into()),
            (false, 1) if link.events.is_some() => {
                // It was said, and its answer was lost.
                if let Some(Events { invocation, first: Some(first), .. }) = link.events {
                    self.peer.begin(&invocation, &first);
                }
                broken()
            }
            (false, _) => DisconnectReason::refused(503, ""),
        };
        self.dead.push(link.id);
        self.peer.cut(link.id);
        self.input(link.id, Input::Lost(loss));
    }

    fn some_link(&mut self) -> Option<usize> {
        (!self.links.is_empty()).then(|| self.dice.roll(self.links.len()))
    }

    fn deliver(&mut self) {
        // A transport that can pause has paused, or not yet: one frame may still come through.
        if (self.read || !self.capabilities.pause)
            && let Some((link, text)) = self.peer.deliver(&mut self.dice)
        {
            let at = self.links.iter().position(|known| known.id == link).expect("a peer says something on live links");
            if self.links[at].events.is_none() && self.carries.is_some_and(|most| text.len() > most) {
                return self.close_as_too_large(at);
            }
            let before = self.progress();
            self.input(link, Input::Text(&text));
            if self.progress() != before {
                self.in_vain = (0, self.now);
            }
        }
    }

    fn close_as_too_large(&mut self, at: usize) {
        let id = self.links.remove(at).id;
        let reason = match self.dice.roll(2) {
            0 => broken(),
            _ => DisconnectReason::Closed { code: 1009, reason: "message too big".into() },
        };
        self.dead.push(id);
        self.peer.cut(id);
        self.input(id, Input::Lost(reason));
    }

    /// Changes when something new comes of a run.
    fn progress(&self) -> u64 {
        let runs = self.session.runs.live();
        runs.map(|(_, run)| run.seq + run.stamp.seq + 1).fold(0, |sum, progress| sum * 31 % 1_000_003 + progress)
    }

    fn read_something(&mut self) {
        if let Some(id) = self.some_run() {
            self.read(id);
        }
    }

    fn read(&mut self, id: RunId) {
        let batch = self.session.read(self.now, id);
        let told = self.runs.get_mut(&id).expect("only known runs are read");
        if let Some(batch) = batch {
            assert!(told.end.is_none(), "something came behind the end");
            told.output.push_str(batch.text());
            told.end = batch.end().cloned();
        }
        self.drain();
    }

    fn stop_something(&mut self) {
        if let Some(id) = self.some_run() {
            let is_live = self.session.invocation(id).is_some();
            if self.dice.roll(3) == 0 {
                self.session.abandon(self.now, id);
                self.runs.get_mut(&id).expect("known").abandoned = true;
            } else {
                self.session.cancel(self.now, id);
            }
            if is_live {
                self.runs.get_mut(&id).expect("known").stopped.get_or_insert(self.now);
            }
            self.drain();
        }
    }

    fn write_something(&mut self) {
        if let Some(id) = self.some_run()
            && self.peer.extensions.stdin
        {
            let told = self.runs.get_mut(&id).expect("known");
            let text = told.input.len().to_string();
            self.session.write(self.now, id, Some(&text));
            told.input.push(text);
            self.drain();
        }
    }

    /// A link of before still talks, and says things that would be valid.
    fn stale(&mut self) {
        let Some(link) = self.dead.last().copied() else { return };
        let before = format!("{:?}", self.session);
        let invocation = self.runs.values().next().map_or("x", |told| told.invocation.as_str());
        let end = format!(r#"{{"invocationId":"{invocation}","data":{{"phase":"end","status":"failed"}}}}"#);
        let input = match self.dice.roll(4) {
            0 => Input::Opened,
            1 => Input::Lost(broken()),
            2 => Input::Backlog(999_999),
            _ => Input::Text(&end),
        };
        self.session.handle_input(self.now, link, input);
        assert_eq!(before, format!("{:?}", self.session), "a dead link changed something");
    }

    fn pass(&mut self) {
        if let Some(deadline) = self.deadline {
            let early = self.dice.roll(4) == 0;
            self.now = if early { self.now + (deadline - self.now) / 2 } else { deadline };
            self.session.handle_timeout(self.now);
            self.drain();
        }
    }

    fn some_run(&mut self) -> Option<RunId> {
        let readable: Vec<_> = self.runs.iter().filter(|(_, told)| !told.abandoned).map(|(id, _)| *id).collect();
        if readable.is_empty() { None } else { Some(readable[self.dice.roll(readable.len())]) }
    }

    fn input(&mut self, link: LinkId, input: Input<'_>) {
        self.session.handle_input(self.now, link, input);
        self.drain();
    }

    fn drain(&mut self) {
        let mut late = false;
        for turn in 0.. {
            assert!(turn < 10_000, "the drain does not end");
            match self.session.poll_output() {
                Output::Open(id, request) => {
                    assert!(!self.dead.contains(&id), "a link's number was used again");
                    self.count_link();
                    let events = request.events.map(|events| {
                        let invocation = events.say.strip_prefix(LINK_URL).and_then(|rest| rest.strip_prefix("/runs/"));
                        let (_, query) = request.url.split_once('?').expect("where it goes on");
                        Events {
                            invocation: invocation.expect("the run's address").to_owned(),
                            query: query.to_owned(),
                            first: events.first,
                        }
                    });
                    let run = |events: &Option<Events>| events.as_ref().map(|events| events.invocation.clone());
                    let same = self.links.iter().any(|link| run(&link.events) == run(&events));
                    assert!(!same, "two sockets at once, or two streams of one run");
                    self.links.push(Link { id, opened: false, events });
                }
                Output::Send(id, text) => {
                    let link = self.links.iter().find(|link| link.id == id).expect("sent on a dead link");
                    assert!(link.opened, "sent before the link was open");
                    self.said.push_str(&text);
                    let text = match &link.events {
                        Some(Events { invocation, .. }) => {
                            format!(r#"{{"invocationId":"{invocation}","data":{text}}}"#)
                        }
                        None => text,
                    };
                    self.peer.take(id, text);
                    self.session.handle_input(self.now, id, Input::Backlog(0));
                }
                Output::Ping(id) => {
                    let link = self.links.iter().find(|link| link.id == id).expect("a ping on a dead link");
                    if link.opened && self.dice.roll(8) > 0 {
                        self.session.handle_input(self.now, id, Input::Alive);
                    }
                }
                Output::Close(id, _) => {
                    let at = self.links.iter().position(|link| link.id == id).expect("closed a dead link");
                    self.links.remove(at);
                    self.dead.push(id);
                    self.peer.cut(id);
                }
                Output::Event(_) => {}
                // What was never sent and waits for a connection again may be late already. A driver says so at once.
                Output::Idle { deadline: Some(deadline), .. } if deadline <= self.now => {
                    assert!(!late, "a deadline that has passed would spin");
                    late = true;
                    self.session.handle_timeout(self.now);
                }
                Output::Idle { deadline, read } => {
                    (self.deadline, self.read) = (deadline, read);
                    break;
                }
            }
        }
    }
}

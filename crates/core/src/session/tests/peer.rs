//! A model of a service at the other end of a link that loses, delays and cuts.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use crate::Extensions;
use crate::io::LinkId;
use crate::wire::service::{Request, StartRun, parse_request, read_request};
use agb_protocol::random::SplitMix64 as Dice;

/// The service: its programs, and its connections: one WebSocket, or an event stream for each run.
pub(super) struct Peer {
    pub(super) extensions: Extensions,
    room: usize,
    pub(super) programs: BTreeMap<String, Program>,
    connections: Vec<Connection>,
}

/// A program and everything that it has said.
#[derive(Default)]
pub(super) struct Program {
    /// How often it was started. More than once is the one thing that must never happen.
    pub(super) starts: u32,
    /// What it printed.
    pub(super) output: String,
    pub(super) cancelled: bool,
    pub(super) ended: bool,
    /// The input that it was given.
    pub(super) input: Vec<String>,
    window: Option<u64>,
    log: Vec<Value>,
    /// How much each event of the log takes.
    sizes: Vec<usize>,
    acked: usize,
    /// Who listens, and how much of the log went out there.
    shown: Option<(LinkId, usize)>,
    /// Bytes that a service with `resume` keeps of what is not acknowledged. Then its program waits.
    room: usize,
    extended: bool,
}

struct Connection {
    link: LinkId,
    to_peer: VecDeque<String>,
    to_client: VecDeque<String>,
}

impl Peer {
    /// `room`: bytes that it keeps of a run until they are acknowledged.
    pub(super) fn new(extensions: Extensions, room: usize) -> Self {
        Self { extensions, room, programs: BTreeMap::new(), connections: vec![] }
    }

    pub(super) fn accept(&mut self, link: LinkId) {
        self.connections.push(Connection { link, to_peer: VecDeque::new(), to_client: VecDeque::new() });
    }

    /// A call that starts a run: what it says comes by another.
    pub(super) fn begin(&mut self, invocation: &str, start: &str) {
        let data = crate::wire::object::Object::parse(start).expect("our client sends JSON");
        self.request(None, read_request(invocation.to_owned(), "", Some(&data)));
    }

    /// Answers what opens a run's event stream, with the query of its address.
    pub(super) fn accept_events(&mut self, link: LinkId, invocation: &str, query: &str) {
        let field = |name| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
        self.accept(link);
        let resume = Request::Resume {
            invocation: invocation.to_owned(),
            after_seq: field("afterSeq").expect("a number"),
            ack_seq: field("ackSeq"),
            window: field("window"),
        };
        self.request(Some(link), resume);
    }

    /// The connection is gone, and with it what was on its way.
    pub(super) fn cut(&mut self, link: LinkId) {
        self.connections.retain(|connection| connection.link != link);
        for program in self.programs.values_mut() {
            program.shown.take_if(|(at, _)| *at == link);
            // Without `resume` a program whose client is gone is interrupted.
            program.ended |= !self.extensions.resume;
        }
    }

    /// What a client said on a connection is on its way.
    pub(super) fn take(&mut self, link: LinkId, text: String) {
        if let Some(connection) = find(&mut self.connections, link) {
            connection.to_peer.push_back(text);
        }
    }

    /// One frame for the client, if one is on its way.
    pub(super) fn deliver(&mut self, dice: &mut Dice) -> Option<(LinkId, String)> {
        let at = dice.roll(self.connections.len().max(1));
        let connection = self.connections.get_mut(at)?;
        Some((connection.link, connection.to_client.pop_front()?))
    }

    /// The service does one thing: it takes a request, or one of its programs does something.
    pub(super) fn step(&mut self, dice: &mut Dice) {
        let request = self.connections.iter_mut().find_map(|one| Some((one.link, one.to_peer.pop_front()?)));
        if let Some((link, text)) = request {
            self.request(Some(link), parse_request(&text).expect("our client sends JSON"));
        } else if !self.programs.is_empty() {
            let at = dice.roll(self.programs.len());
            let program = self.programs.values_mut().nth(at).expect("within the length");
            program.work(dice);
        }
        self.show();
    }

    /// `link` is where the answer goes; a call that only starts a run has none.
    fn request(&mut self, link: Option<LinkId>, request: Request) {
        match request {
            Request::Start { invocation, start, .. } => {
                assert_eq!(start.resume, self.extensions.resume, "asked for what was not offered, or not for what was");
                assert_eq!(start.window.is_some(), self.extensions.flow);
                self.programs.entry(invocation).or_default().start(link, &start, self.room);
            }
            Request::Resume { invocation, after_seq, ack_seq, window } => {
                assert!(self.extensions.resume);
                let program = self.programs.get_mut(&invocation).expect("only a run that was heard of is resumed");
                program.shown = link.map(|link| (link, usize::try_from(after_seq).expect("small")));
                let taken = ack_seq.expect("a client says what has been taken");
                assert!(taken <= after_seq, "more was taken than came");
                program.acked = program.acked.max(usize::try_from(taken).expect("small"));
                program.window = window;
            }
            Request::Ack { invocation, seq } => {
                if let Some(program) = self.programs.get_mut(&invocation) {
                    program.acked = program.acked.max(usize::try_from(seq).expect("small"));
                    assert!(program.acked <= program.log.len(), "acknowledged what was never said");
                }
            }
            Request::Cancel { invocation } => {
                assert!(self.extensions.cancel);
                if let Some(program) = self.programs.get_mut(&invocation) {
                    program.cancel();
                }
            }
            Request::Stdin { invocation, data, seq, .. } => {
                let (Some(program), Some(seq)) = (self.programs.get_mut(&invocation), seq) else {
                    panic!("input without a number, or for no run")
                };
                if seq == program.input.len() as u64 + 1 {
                    program.input.push(data.expect("text"));
                }
                let taken = json!({ "phase": "event", "eventType": "inputTaken", "inputSeq": program.input.len() });
                let frame = json!({ "invocationId": invocation, "source": "s", "target": "SDK", "data": taken });
                // Whoever has seen the end hears no more.
                let listens = |shown: &usize| !program.ended || *shown < program.log.len();
                if let Some((link, _)) = program.shown.filter(|(_, shown)| listens(shown))
                    && let Some(connection) = find(&mut self.connections, link)
                {
                    connection.to_client.push_back(frame.to_string());
                }
            }
            Request::Ping => {}
            other => panic!("{other:?}"),
        }
    }

    /// Sends what of the programs' logs may be sent.
    fn show(&mut self) {
        for (invocation, program) in &mut self.programs {
            while let Some((link, shown)) = program.shown
                && let Some(event) = program.log.get(shown)
                && program.may_send(shown)
                && let Some(connection) = find(&mut self.connections, link)
            {
                let mut data = event.clone();
                if program.extended {
                    data["seq"] = json!(shown + 1);
                }
                let frame = json!({ "invocationId": invocation, "source": "s", "target": "SDK", "data": data });
                connection.to_client.push_back(frame.to_string());
                program.shown = Some((link, shown + 1));
            }
        }
    }
}

fn find(connections: &mut [Connection], link: LinkId) -> Option<&mut Connection> {
    connections.iter_mut().find(|connection| connection.link == link)
}

impl Program {
    fn start(&mut self, link: Option<LinkId>, start: &StartRun, room: usize) {
        if self.starts == 0 {
            self.starts = 1;
            self.room = if start.resume { room } else { usize::MAX };
            self.extended = start.is_extended();
            self.say(json!({ "phase": "event", "eventType": "started" }));
        } else {
            assert!(start.resume, "a start was said twice to a service that cannot know it again");
        }
        if let Some(link) = link {
            self.window = start.window;
            self.shown = Some((link, 0));
        }
    }

    fn work(&mut self, dice: &mut Dice) {
        if self.ended || self.sizes[self.acked..].iter().sum::<usize>() > self.room {
            return;
        }
        match dice.roll(9) {
            0 => {
                self.say(json!({ "phase": "end", "status": "finished", "executionCount": 1 }));
                self.ended = true;
            }
            1 => self.say(json!({ "phase": "event", "eventType": "someday", "x": 1 })),
            2 => {
                let html = "x".repeat(dice.roll(600));
                self.say(
                    json!({ "phase": "event", "eventType": "result", "result": { "mime": { "text/html": html } } }),
                );
            }
            _ => {
                let chunk = format!("{}é\n{}", self.log.len(), "x".repeat(dice.roll(400)));
                self.output.push_str(&chunk);
                self.say(json!({ "phase": "event", "eventType": "stdout", "chunk": chunk }));
            }
        }
    }

    fn say(&mut self, event: Value) {
        self.sizes.push(event.to_string().len());
        self.log.push(event);
    }

    fn cancel(&mut self) {
        if !self.ended {
            self.say(json!({ "phase": "end", "status": "failed", "reason": "cancelled" }));
            (self.cancelled, self.ended) = (true, true);
        }
    }

    /// Whether the window lets the event with this index through.
    fn may_send(&self, index: usize) -> bool {
        let Some(window) = self.window else { return true };
        let size = |event: &Value| event["chunk"].as_str().map_or(0, str::len) as u64;
        let on_the_way: u64 = self.log[self.acked.min(index)..index].iter().map(size).sum();
        on_the_way == 0 || on_the_way + size(&self.log[index]) <= window
    }
}

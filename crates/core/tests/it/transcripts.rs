//! Plays the hand-written transcripts: the core is the client, the file is the service and the application.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use agb_core::wire::Extensions;
use agb_core::{
    Capabilities, CommandRequest, DisconnectReason, Input, Instant, Language, LinkId, Output, Piece, RunEnd, RunId,
    RunRequest, Secret, Session, SessionConfig, Stream, StreamEvent, TerminalSize,
};
use serde_json::{Value, json};

#[test]
fn every_transcript_holds() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/transcripts");
    let mut played = 0;
    for entry in folder.read_dir().expect("the transcripts are there") {
        let path = entry.expect("a readable folder").path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let mut steps = text.lines().enumerate().map(|(index, line)| {
            let step: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{path:?}:{}: {error}", index + 1));
            (index + 1, step)
        });
        let (_, header) = steps.next().expect("a first line");
        if header["plays"].as_array().is_some_and(|players| players.contains(&json!("core"))) {
            let mut player = Player::new(&header);
            for (line, step) in steps {
                player.at = format!("{}:{line}", path.display());
                player.play(&step);
            }
            played += 1;
        }
    }
    assert!(played >= 7, "only {played} transcripts were played");
}

struct Player {
    session: Session,
    at: String,
    link: Option<LinkId>,
    runs: BTreeMap<String, (RunId, String)>,
    sent: VecDeque<Value>,
    read: BTreeMap<String, VecDeque<Value>>,
}

impl Player {
    fn new(header: &Value) -> Self {
        let names: Vec<_> = header["extensions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let config = SessionConfig {
            extensions: Extensions::from_names(names),
            ..SessionConfig::new("wss://service/ws", Secret::new("token"))
        };
        Self {
            session: Session::new(config, Capabilities::NATIVE, 1),
            at: String::new(),
            link: None,
            runs: BTreeMap::new(),
            sent: VecDeque::new(),
            read: BTreeMap::new(),
        }
    }

    fn play(&mut self, step: &Value) {
        let now = Instant::ORIGIN;
        if let (Some(name), Some(_)) = (step["run"].as_str(), step["command"].as_str()) {
            let id = self.session.run_command(now, command(step)).expect("taken");
            let invocation = self.session.invocation(id).expect("live").to_owned();
            self.runs.insert(name.into(), (id, invocation));
        } else if let Some(name) = step["signal"].as_str() {
            self.session.signal(now, self.runs[name].0, step["name"].as_str().expect("a signal"));
        } else if let Some(name) = step["resize"].as_str() {
            self.session.resize(now, self.runs[name].0, size(step));
        } else if let Some(name) = step["run"].as_str() {
            let request = RunRequest {
                code: step["code"].as_str().expect("code").into(),
                language: Language::parse(step["language"].as_str().expect("language")).expect("known"),
                timeout: Duration::from_secs_f64(step["timeoutS"].as_f64().expect("timeoutS")),
                stdin: step["stdin"].as_bool().unwrap_or(false),
            };
            let id = self.session.run(now, request).expect("taken");
            let invocation = self.session.invocation(id).expect("live").to_owned();
            self.runs.insert(name.into(), (id, invocation));
        } else if let Some(name) = step["cancel"].as_str() {
            self.session.cancel(now, self.runs[name].0);
        } else if let Some(name) = step["write"].as_str() {
            self.session.write(now, self.runs[name].0, step["data"].as_str());
        } else if step["cut"] == json!(true) {
            let link = self.link.take().expect("connected");
            self.session.handle_input(now, link, Input::Lost(DisconnectReason::Broken("cut".into())));
            self.session.handle_timeout(now + Duration::from_secs(1));
        } else if let Some(frame) = step.get("server") {
            let text = self.fill(frame, 1.into(), "x".into()).to_string();
            self.session.handle_input(now, self.link.expect("connected"), Input::Text(&text));
        } else if let Some(frame) = step.get("client") {
            let wanted = self.fill(frame, Value::Null, Value::Null);
            assert_eq!(self.sent.pop_front(), Some(wanted), "{}: the next frame", self.at);
        } else if let Some(expected) = step.get("expect") {
            self.expect(expected);
        } else {
            panic!("{}: no such step", self.at);
        }
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.session.poll_output() {
                Output::Open(link, _) => {
                    self.link = Some(link);
                    self.session.handle_input(Instant::ORIGIN, link, Input::Opened);
                }
                Output::Send(_, text) => self.sent.push_back(serde_json::from_str(&text).expect("JSON")),
                Output::Idle { .. } => return,
                Output::Ping(_) | Output::Close(..) | Output::Event(_) => {}
            }
        }
    }

    fn expect(&mut self, expected: &Value) {
        let name = expected["run"].as_str().expect("a run's name");
        let id = self.runs[name].0;
        let seen = self.read.entry(name.into()).or_default();
        while let Some(batch) = self.session.read(Instant::ORIGIN, id) {
            for piece in batch.pieces() {
                push(seen, piece);
            }
            if let Some(end) = batch.end() {
                seen.push_back(json!({ "end": end_as_json(end) }));
            }
        }
        let got = seen.pop_front().unwrap_or_default();
        let mut wanted = expected.clone();
        wanted.as_object_mut().expect("an object").remove("run");
        assert!(contains(&got, &wanted), "{}: read {got}, expected {wanted}", self.at);
    }

    /// Puts ids and values into a frame's places.
    fn fill(&self, frame: &Value, number: Value, text: Value) -> Value {
        match frame {
            Value::String(word) if word == "$number" => number,
            Value::String(word) if word == "$text" || word == "$any" => text,
            Value::String(word) => match word.strip_prefix('$').and_then(|name| self.runs.get(name)) {
                Some((_, invocation)) => invocation.as_str().into(),
                None => frame.clone(),
            },
            Value::Object(members) => members
                .iter()
                .map(|(key, value)| (key.clone(), self.fill(value, number.clone(), text.clone())))
                .collect(),
            other => other.clone(),
        }
    }
}

fn command(step: &Value) -> CommandRequest {
    let envs = step["envs"].as_object().into_iter().flatten();
    CommandRequest {
        command: step["command"].as_str().expect("a command").into(),
        timeout: step["timeoutMs"].as_u64().map(Duration::from_millis),
        cwd: step["cwd"].as_str().map(str::to_owned),
        envs: envs.map(|(name, value)| (name.clone(), value.as_str().expect("a text").into())).collect(),
        stdin: step["stdin"].as_bool().unwrap_or(false),
        terminal: step.get("pty").map(size),
        detached: step["detached"].as_bool().unwrap_or(false),
    }
}

fn size(sides: &Value) -> TerminalSize {
    let side = |name: &str| u16::try_from(sides[name].as_u64().expect("a side")).expect("small");
    TerminalSize { cols: side("cols"), rows: side("rows") }
}

/// Chunks of one stream that follow one another are one.
fn push(seen: &mut VecDeque<Value>, piece: Piece<'_>) {
    let value = match piece {
        Piece::Chunk(stream, text) => {
            let key = if stream == Stream::Stdout { "stdout" } else { "stderr" };
            if let Some(Value::String(last)) = seen.back_mut().and_then(|last| last.get_mut(key)) {
                last.push_str(text);
                return;
            }
            json!({ key: text })
        }
        Piece::Event(StreamEvent::Result(result)) => {
            json!({ "result": { "text": result.text, "isMain": result.is_main } })
        }
        Piece::Event(StreamEvent::Error(error)) => {
            let failure = error.to_failure();
            json!({ "error": { "name": failure.name, "value": failure.value, "traceback": failure.traceback } })
        }
        Piece::Event(StreamEvent::InputRequest { prompt, .. }) => json!({ "inputRequest": prompt }),
        Piece::Event(StreamEvent::OutputDropped { bytes }) => json!({ "dropped": bytes }),
        Piece::Event(StreamEvent::Interrupted(loss)) => json!({ "interrupted": loss.code() }),
        Piece::Event(StreamEvent::Reconnected) => json!({ "reconnected": true }),
        Piece::Event(other) => panic!("{other:?}"),
    };
    seen.push_back(value);
}

fn end_as_json(end: &RunEnd) -> Value {
    match end {
        Ok(finish) => json!({
            "failed": finish.failed,
            "executionCount": finish.execution_count,
            "executionError": finish.execution_error,
            "exitCode": finish.exit_code,
            "reason": finish.reason.map(agb_core::result::RunStatus::as_str),
        }),
        Err(error) => json!({ "error": error.code() }),
    }
}

fn contains(got: &Value, wanted: &Value) -> bool {
    match (got, wanted) {
        (Value::Object(got), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| got.get(key).is_some_and(|got| contains(got, wanted)))
        }
        _ => got == wanted,
    }
}

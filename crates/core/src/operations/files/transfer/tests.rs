//! Parts over a network that cuts, without a clock: what is waited is added up.

use std::time::Duration;

use agb_protocol::random::SplitMix64;
use serde_json::json;

use super::{Exchange, FileLink, PART_SIZE, Part, Transfer, TransferStep};
use crate::error::{ApiError, TransportError};
use crate::http::{HttpRequest, HttpResponse, Method};
use crate::operations::files::{ReadPart, WriteMode, WritePart};
use crate::operations::fixtures::linked;

/// Bytes of the heads of a call.
const HEADS: u64 = 600;

/// Cuts every connection after a number of bytes, and carries the next call over another one.
struct Network {
    dice: SplitMix64,
    /// After how many bytes at most.
    most: u64,
    /// What a cut costs the receiver, of what had come: everything in a page, nothing in Node and Rust.
    forgets: bool,
    left: u64,
    waited: Duration,
    calls: u32,
    cuts: u32,
}

impl Network {
    fn new(seed: u64, most: u64, forgets: bool) -> Self {
        let mut this =
            Self { dice: SplitMix64::new(seed), most, forgets, left: 0, waited: Duration::ZERO, calls: 0, cuts: 0 };
        this.left = this.dice.next_u64() % most;
        this
    }

    /// How many of so many bytes the receiver has, and whether they are all.
    fn carry(&mut self, bytes: u64) -> (u64, bool) {
        self.calls += 1;
        if let Some(left) = self.left.checked_sub(HEADS + bytes) {
            self.left = left;
            return (bytes, true);
        }
        let came = self.left.saturating_sub(HEADS).min(bytes);
        self.left = self.dice.next_u64() % self.most;
        self.cuts += 1;
        (if self.forgets { 0 } else { came }, false)
    }

    fn wait(&mut self, time: Duration) {
        self.waited += time;
    }
}

fn link() -> FileLink {
    FileLink::of(&linked("files")).expect("it has all that is needed")
}

fn cut() -> Option<TransportError> {
    Some(TransportError::Interrupted { reason: String::from("cut") })
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    let found = request.headers.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| value.expose()).unwrap_or_default()
}

fn content(length: u64) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ (at >> 16) as u8).collect()
}

/// Reads a part of a file.
fn read(network: &mut Network, file: &[u8], at: u64, length: u64) -> Result<Vec<u8>, ApiError> {
    let mut part = ReadPart::new(link(), "/tmp/a", at, length, None);
    let (mut kept, mut last) = (Vec::new(), None);
    loop {
        match part.next(last.take()) {
            TransferStep::Send { request, most, .. } => {
                let range = header(&request, "range").strip_prefix("bytes=").expect("a range is asked for");
                let (first, end) = range.split_once('-').expect("of two ends");
                let (first, end): (usize, usize) = (first.parse().expect("a number"), end.parse().expect("a number"));
                let end = (end + 1).min(file.len());
                let (came, is_whole) = network.carry((end - first) as u64);
                assert!(came <= most.expect("an answer of bytes"));
                kept.extend_from_slice(&file[first..first + came as usize]);
                // A cut before the head has come leaves no answer at all.
                let has_head = came > 0 || is_whole;
                last = Some(Exchange {
                    response: has_head.then(|| HttpResponse::new(206, None, Vec::new())),
                    etag: has_head.then(|| String::from("\"1\"")),
                    content_range: has_head.then(|| format!("bytes {first}-{}/{}", end - 1, file.len())),
                    received: came,
                    broken: if is_whole { None } else { cut() },
                });
            }
            TransferStep::Forget(time) => {
                kept.clear();
                network.wait(time);
            }
            TransferStep::Wait(time) => network.wait(time),
            TransferStep::Done(outcome) => return outcome.map(|_| kept),
        }
    }
}

/// What a server has of an upload.
#[derive(Default)]
struct Upload {
    arrived: Vec<u8>,
    file: Option<Vec<u8>>,
    commits: u32,
}

impl Upload {
    fn answer(&mut self, request: &HttpRequest, body: &[u8], is_whole: bool) -> serde_json::Value {
        if request.method == Method::Get {
            let mut data = json!({ "offset": self.arrived.len() });
            if let Some(file) = &self.file {
                data["completed"] = json!({ "size": file.len(), "etag": "\"2\"" });
            }
            return json!({ "success": true, "data": data });
        }
        if header(request, "upload-offset") != self.arrived.len().to_string() {
            return json!({ "success": false, "code": "InvalidUpload.Offset", "message": "go on from elsewhere" });
        }
        self.arrived.extend_from_slice(body);
        if is_whole && header(request, "upload-complete") == "?1" {
            let file = std::mem::take(&mut self.arrived);
            let size = file.len();
            (self.file, self.commits) = (Some(file), self.commits + 1);
            return json!({ "success": true, "data": { "size": size } });
        }
        json!({ "success": true, "data": { "offset": self.arrived.len() } })
    }
}

/// Writes a part; both what is sent and what is answered can be cut.
fn write(network: &mut Network, upload: &mut Upload, bytes: &[u8], at: u64, is_last: bool) -> Result<Part, ApiError> {
    let mut part = WritePart::new(link(), "/tmp/a", "u1", WriteMode::Append, at, bytes.len() as u64, is_last);
    let mut last = None;
    loop {
        match part.next(last.take()) {
            TransferStep::Send { request, body, .. } => {
                let body = body.map_or(&[][..], |range| &bytes[range]);
                let (came, arrives) = network.carry(body.len() as u64);
                let answer = upload.answer(&request, &body[..came as usize], arrives);
                let (_, returns) = if arrives { network.carry(200) } else { (0, false) };
                let status = if answer["success"] == true { 200 } else { 409 };
                last = Some(Exchange {
                    response: returns.then(|| HttpResponse::new(status, None, answer.to_string().into_bytes())),
                    broken: if returns { None } else { cut() },
                    ..Exchange::default()
                });
            }
            TransferStep::Forget(_) => unreachable!("nothing is kept of an upload"),
            TransferStep::Wait(time) => network.wait(time),
            TransferStep::Done(outcome) => return outcome.map(|answered| answered.value),
        }
    }
}

/// The networks of the tests: cuts after up to so many bytes; with and without loss of what had come.
fn networks() -> impl Iterator<Item = (u64, u64, bool)> {
    let kinds = [(300_000, true), (300_000, false), (30_000, true), (30_000, false), (10_000_000, true)];
    (0..20).flat_map(move |seed| kinds.map(|(most, forgets)| (seed, most, forgets)))
}

#[test]
fn reading_goes_on_as_long_as_anything_comes() {
    let file = content(6_000_001);
    for (seed, most, forgets) in networks() {
        let mut network = Network::new(seed, most, forgets);
        let mut back = Vec::new();
        while back.len() < file.len() {
            match read(&mut network, &file, back.len() as u64, PART_SIZE) {
                Ok(bytes) => back.extend(bytes),
                Err(error) => panic!("seed {seed}, {most} bytes, forgets {forgets}: {error}"),
            }
        }
        assert!(back == file, "seed {seed}, {most} bytes, forgets {forgets}");
        assert!(network.cuts < network.calls && network.waited < Duration::from_secs(600), "{:?}", network.waited);
    }
}

#[test]
fn writing_goes_on_as_long_as_anything_arrives_and_is_complete_once() {
    let file = content(6_000_001);
    for (seed, most, forgets) in networks() {
        let (mut network, mut upload) = (Network::new(seed, most, forgets), Upload::default());
        let (first, second) = file.split_at(PART_SIZE as usize);
        let written = write(&mut network, &mut upload, first, 0, false)
            .and_then(|_| write(&mut network, &mut upload, second, PART_SIZE, true));
        match written {
            Ok(part) => assert_eq!((part.size, part.is_last), (file.len() as u64, true)),
            Err(error) => panic!("seed {seed}, {most} bytes, forgets {forgets}: {error}"),
        }
        assert!(
            upload.file.as_ref() == Some(&file) && upload.commits == 1,
            "seed {seed}, {most} bytes, forgets {forgets}"
        );
    }
}

#[test]
fn a_network_that_carries_nothing_ends_with_what_it_said() {
    let mut network = Network::new(1, HEADS, true);
    let error = read(&mut network, &content(100_000), 0, PART_SIZE).expect_err("nothing comes");
    assert_eq!(error.code(), "INTERRUPTED");
    assert!(error.to_string().contains("10 tries in a row carried nothing"), "{error}");
    let error = write(&mut network, &mut Upload::default(), &content(100_000), 0, true).expect_err("nothing arrives");
    assert_eq!(error.code(), "INTERRUPTED");
    assert!((Duration::from_secs(10)..Duration::from_secs(60)).contains(&network.waited), "{:?}", network.waited);
}

#[test]
fn a_file_without_ranges_is_read_anew_and_nothing_of_the_first_try_is_kept() {
    let mut part = ReadPart::new(link(), "/proc/net/tcp", 0, PART_SIZE, None);
    let whole = |received, broken| {
        let response = Some(HttpResponse::new(200, None, Vec::new()));
        Some(Exchange { response, received, broken, ..Exchange::default() })
    };
    assert!(matches!(part.next(None), TransferStep::Send { .. }));
    assert!(matches!(part.next(whole(700, cut())), TransferStep::Forget(_)));
    assert!(matches!(part.next(None), TransferStep::Send { most: Some(PART_SIZE), .. }));
    match part.next(whole(1000, None)) {
        TransferStep::Done(Ok(answered)) => assert_eq!((answered.value.size, answered.value.is_last), (1000, true)),
        other => panic!("{other:?}"),
    }
}

//! Reading one part of a file as bytes.

use super::transfer::{Exchange, FileLink, Part, Patience, QUIET, Stride, Transfer, TransferStep};
use crate::error::{ApiError, Malformed, TransportError};
use crate::http::{Answered, Envelope, HttpResponse, Method};
use crate::secret::Secret;

/// Reads bytes `offset..offset + length`, or as many of them as there are. What a cut has left is kept, and the rest is
/// asked for; a file that has another state than `etag` says is an error, so that no two states are ever mixed.
#[derive(Debug)]
pub struct ReadPart {
    link: FileLink,
    path: String,
    /// The first byte that is still missing.
    at: u64,
    end: u64,
    etag: Option<String>,
    patience: Patience,
    stride: Stride,
}

impl ReadPart {
    /// `etag` is that of the part before, if there was one.
    #[must_use]
    pub fn new(link: FileLink, path: &str, offset: u64, length: u64, etag: Option<String>) -> Self {
        let end = offset.saturating_add(length.max(1));
        let (patience, stride) = (Patience::default(), Stride::default());
        Self { link, path: path.to_owned(), at: offset, end, etag, patience, stride }
    }

    /// How many bytes are asked for next.
    fn asked(&self) -> u64 {
        self.stride.of(self.end - self.at)
    }

    fn send(&self) -> TransferStep {
        let mut request = self.link.request(Method::Get, "").query("path", &self.path);
        let range = ["bytes=", &self.at.to_string(), "-", &(self.at + self.asked() - 1).to_string()].concat();
        request.headers.push(("range", Secret::from(range)));
        if let Some(etag) = &self.etag {
            request.headers.push(("if-match", Secret::from(etag.as_str())));
        }
        request.expected = QUIET;
        TransferStep::Send { request: Box::new(request), body: None, most: Some(self.end - self.at) }
    }

    fn came(&mut self, exchange: Exchange) -> TransferStep {
        let Exchange { response, etag, content_range, received, broken } = exchange;
        match broken {
            Some(_) if received == 0 => self.stride.lost(self.asked()),
            Some(_) => {}
            None => self.stride.carried(),
        }
        let broken = broken.map(ApiError::Transport);
        let Some(response) = response else {
            return self.patience.after(broken.unwrap_or_else(nothing), None);
        };
        let (first, size) = content_range.as_deref().and_then(parse_range).unwrap_or_default();
        match response.status {
            // Of a head that was cut browsers take what has come: it says nothing of the file.
            206 if received == 0 => self.patience.after(broken.unwrap_or_else(nothing), None),
            206 => {
                let Some(first) = first.filter(|first| *first == self.at) else {
                    return malformed(&response, "its content-range is not the one that was asked for");
                };
                let is_same = self.etag.is_none() || etag == self.etag;
                if !is_same || size < first.saturating_add(received) {
                    return malformed(&response, "it is about another state of the file");
                }
                self.etag = etag;
                self.at += received;
                self.patience.restore();
                match broken {
                    _ if self.at >= self.end.min(size) => self.done(size),
                    Some(error) => self.patience.after(error, None),
                    None => self.send(),
                }
            }
            // Without ranges: the whole of a file whose size nobody knows before it is read, such as one of `/proc`.
            200 if self.at > 0 || (broken.is_some() && received >= self.end) => {
                malformed(&response, "the service gives no ranges of this file")
            }
            200 => match broken {
                Some(error) => match self.patience.after(error, None) {
                    TransferStep::Wait(time) => TransferStep::Forget(time),
                    step => step,
                },
                None => {
                    self.etag = etag;
                    self.done(received)
                }
            },
            // There is nothing from here on.
            416 => {
                self.etag = etag.or_else(|| self.etag.take());
                self.done(size)
            }
            _ => {
                let error = broken.unwrap_or_else(|| refusal(&response));
                self.patience.after(error, response.retry_after)
            }
        }
    }

    fn done(&mut self, size: u64) -> TransferStep {
        let part =
            Part { size, etag: self.etag.take().unwrap_or_default(), is_last: self.at >= size || size <= self.end };
        TransferStep::Done(Ok(Answered { value: part, request_id: String::new() }))
    }
}

impl Transfer for ReadPart {
    fn next(&mut self, last: Option<Exchange>) -> TransferStep {
        match last {
            Some(exchange) => self.came(exchange),
            None => self.send(),
        }
    }
}

/// `bytes 5-9/10` as the first byte and the size; `bytes */10` has no first byte.
fn parse_range(text: &str) -> Option<(Option<u64>, u64)> {
    let (range, size) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let first = range.split_once('-').and_then(|(first, _)| first.trim().parse().ok());
    Some((first, size.trim().parse().ok()?))
}

/// An answer that is none of those that a file's bytes come in.
pub(super) fn refusal(response: &HttpResponse) -> ApiError {
    match Envelope::open(response) {
        Err(error) => error,
        Ok(envelope) => envelope.malformed("it is not the answer of this call"),
    }
}

fn malformed(response: &HttpResponse, problem: &str) -> TransferStep {
    TransferStep::Done(Err(ApiError::Malformed(Malformed {
        status: response.status,
        problem: problem.to_owned(),
        request_id: response.request_id_header.clone().unwrap_or_default(),
        ..Malformed::default()
    })))
}

pub(super) fn nothing() -> ApiError {
    TransportError::Interrupted { reason: String::from("the answer was empty") }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::fixtures::linked;

    fn link() -> FileLink {
        FileLink::of(&linked("files")).expect("it has all that is needed")
    }

    fn range(part: &mut ReadPart, last: Option<Exchange>) -> String {
        match part.next(last) {
            TransferStep::Send { request, most, .. } => {
                let header = |name: &str| {
                    let found = request.headers.iter().find(|(known, _)| *known == name);
                    found.map(|(_, value)| value.expose().to_owned()).unwrap_or_default()
                };
                assert_eq!(header("x-access-token"), "SECRET");
                format!("{} {} {}", header("range"), header("if-match"), most.unwrap_or_default())
            }
            other => panic!("{other:?}"),
        }
    }

    fn came(status: u16, range: &str, received: u64, is_broken: bool) -> Exchange {
        Exchange {
            response: Some(HttpResponse::new(status, None, Vec::new())),
            etag: Some(String::from("\"1\"")),
            content_range: Some(range.to_owned()),
            received,
            broken: is_broken.then(|| TransportError::Interrupted { reason: String::from("cut") }),
        }
    }

    fn done(step: TransferStep) -> Result<Part, ApiError> {
        match step {
            TransferStep::Done(outcome) => outcome.map(|answered| answered.value),
            other => panic!("{other:?}"),
        }
    }

    fn part(size: u64, is_last: bool) -> Part {
        Part { size, etag: String::from("\"1\""), is_last }
    }

    #[test]
    fn what_a_cut_has_left_is_kept_and_the_rest_is_asked_for() {
        let mut reading = ReadPart::new(link(), "/tmp/a", 10, 10, None);
        assert_eq!(range(&mut reading, None), "bytes=10-19  10");
        let step = reading.next(Some(came(206, "bytes 10-19/100", 3, true)));
        assert!(matches!(step, TransferStep::Wait(_)), "{step:?}");
        assert_eq!(range(&mut reading, None), "bytes=13-19 \"1\" 7");
        assert_eq!(done(reading.next(Some(came(206, "bytes 13-19/100", 7, false)))), Ok(part(100, false)));
    }

    #[test]
    fn the_end_of_a_file_ends_the_part() {
        let mut reading = ReadPart::new(link(), "/tmp/a", 0, 10, None);
        range(&mut reading, None);
        assert_eq!(done(reading.next(Some(came(206, "bytes 0-3/4", 4, false)))), Ok(part(4, true)));
        let mut reading = ReadPart::new(link(), "/tmp/a", 0, 10, None);
        range(&mut reading, None);
        assert_eq!(done(reading.next(Some(came(416, "bytes */0", 0, false)))), Ok(part(0, true)));
        let mut whole = ReadPart::new(link(), "/proc/uptime", 0, 10, None);
        range(&mut whole, None);
        assert_eq!(done(whole.next(Some(came(200, "", 7, false)))), Ok(part(7, true)));
        // More than was asked for: the drivers break off once the part is full.
        let mut long = ReadPart::new(link(), "/proc/cpuinfo", 0, 10, None);
        range(&mut long, None);
        assert_eq!(done(long.next(Some(came(200, "", 10, true)))).unwrap_err().code(), "MALFORMED");
    }

    #[test]
    fn two_states_of_a_file_are_never_mixed() {
        let mut reading = ReadPart::new(link(), "/tmp/a", 5, 10, Some(String::from("\"0\"")));
        assert_eq!(range(&mut reading, None), "bytes=5-14 \"0\" 10");
        assert_eq!(done(reading.next(Some(came(206, "bytes 5-14/20", 10, false)))).unwrap_err().code(), "MALFORMED");
        // A head that was cut, as a browser shows it.
        for content_range in ["bytes 5-14/2", "bytes 5", ""] {
            let mut reading = ReadPart::new(link(), "/tmp/a", 5, 10, Some(String::from("\"0\"")));
            range(&mut reading, None);
            let step = reading.next(Some(came(206, content_range, 0, false)));
            assert!(matches!(step, TransferStep::Wait(_)), "{step:?}");
        }
        let mut reading = ReadPart::new(link(), "/tmp/a", 5, 10, None);
        range(&mut reading, None);
        assert_eq!(done(reading.next(Some(came(206, "bytes 0-9/20", 10, false)))).unwrap_err().code(), "MALFORMED");
    }

    #[test]
    fn patience_ends() {
        let mut reading = ReadPart::new(link(), "/tmp/a", 0, 10, None);
        range(&mut reading, None);
        let mut waited = 0;
        let lost = || Exchange {
            broken: Some(TransportError::Unreachable { reason: String::from("x") }),
            ..Exchange::default()
        };
        let error = loop {
            match reading.next(Some(lost())) {
                TransferStep::Wait(time) => waited += time.as_millis(),
                TransferStep::Done(outcome) => break outcome.unwrap_err(),
                other => panic!("{other:?}"),
            }
            range(&mut reading, None);
        };
        assert_eq!(error.code(), "UNREACHABLE");
        assert!((5_000..30_000).contains(&waited), "{waited}");
        let untrusted =
            Exchange { broken: Some(TransportError::Untrusted { reason: String::from("x") }), ..Exchange::default() };
        let mut reading = ReadPart::new(link(), "/tmp/a", 0, 10, None);
        range(&mut reading, None);
        assert!(done(reading.next(Some(untrusted))).is_err(), "it would be the same again");
    }

    #[test]
    fn ranges_are_read() {
        for (text, expected) in [
            ("bytes 5-9/10", Some((Some(5), 10))),
            ("bytes */10", Some((None, 10))),
            ("bytes 5-9/*", None),
            ("lines 1-2/3", None),
            ("", None),
        ] {
            assert_eq!(parse_range(text), expected, "{text}");
        }
    }
}

//! Writing one part of a file as bytes.

use std::time::Duration;

use serde_json::Value;

use super::WriteMode;
use super::packed_folder::PACKING;
use super::read_part::{nothing, refusal};
use super::transfer::{Exchange, FileLink, Part, Patience, QUIET, Stride, Transfer, TransferStep};
use crate::codes;
use crate::error::{ApiError, Refusal};
use crate::http::{Answered, Envelope, HttpRequest, HttpResponse, Method};
use crate::json::{self, Object};
use crate::secret::Secret;

/// Bytes a second of the slowest line that counts as alive: a driver does not see how a body moves. What has arrived of a
/// part on a slower one is kept in any case.
const SLOWEST: u64 = 16 * 1024;

/// Writes bytes `offset..offset + length` of an upload; with `complete` the file takes its place.
///
/// After every failure it asks how far the upload has come, and goes on from there: nothing is written twice, and an
/// upload whose last answer was lost is found complete.
#[derive(Debug)]
pub struct WritePart {
    link: FileLink,
    path: String,
    upload: String,
    mode: WriteMode,
    offset: u64,
    /// The first byte that is still missing.
    at: u64,
    end: u64,
    complete: bool,
    is_archive: bool,
    asks: bool,
    patience: Patience,
    stride: Stride,
}

impl WritePart {
    /// `upload` names the upload among all of the file: letters, digits and `-`, at most 64.
    #[must_use]
    pub fn new(
        link: FileLink,
        path: &str,
        upload: &str,
        mode: WriteMode,
        offset: u64,
        length: u64,
        complete: bool,
    ) -> Self {
        Self {
            link,
            path: path.to_owned(),
            upload: upload.to_owned(),
            mode,
            offset,
            at: offset,
            end: offset.saturating_add(length),
            complete,
            is_archive: false,
            asks: false,
            patience: Patience::default(),
            stride: Stride::default(),
        }
    }

    /// The upload is a tar archive: with its last part, its files take their places in the folder `path`. For a service
    /// with the extension [`PackedFolder::EXTENSION`](super::PackedFolder::EXTENSION).
    #[must_use]
    pub fn into_folder(mut self, is_archive: bool) -> Self {
        self.is_archive = is_archive;
        self
    }

    fn request(&self, method: Method, below: &str) -> HttpRequest {
        let request = self.link.request(method, below).query("path", &self.path).query("upload", &self.upload);
        archived(request, self.is_archive)
    }

    /// Behind the last byte that is sent next.
    fn until(&self) -> u64 {
        self.at + self.stride.of(self.end - self.at)
    }

    fn send(&self) -> TransferStep {
        if self.asks {
            let mut request = self.request(Method::Get, "/progress");
            request.expected = QUIET;
            return TransferStep::Send { request: Box::new(request), body: None, most: None };
        }
        let mut request = self.request(Method::Put, "");
        if self.mode != WriteMode::Overwrite {
            request = request.query("mode", self.mode.as_str());
        }
        request.headers.push(("upload-offset", Secret::from(self.at.to_string())));
        let until = self.until();
        let completes = self.complete && until == self.end;
        request.headers.push(("upload-complete", Secret::from(if completes { "?1" } else { "?0" })));
        request.expected = QUIET + Duration::from_secs((until - self.at) / SLOWEST);
        if self.is_archive && completes {
            request.expected += PACKING;
        }
        let body = index(self.at - self.offset)..index(until - self.offset);
        TransferStep::Send { request: Box::new(request), body: Some(body), most: None }
    }

    fn came(&mut self, exchange: Exchange) -> TransferStep {
        let Exchange { response, etag, broken, .. } = exchange;
        let response = match (response, broken) {
            (Some(response), None) => response,
            (_, Some(error)) => return self.ask(error.into(), None),
            (None, None) => return self.ask(nothing(), None),
        };
        match data_of(&response) {
            Ok(data) if self.asks => self.progress(&data, &response),
            Ok(data) => match json::count(&data, &["size", "offset"]) {
                Some(_) if self.until() < self.end => {
                    self.at = self.until();
                    self.patience.restore();
                    self.stride.carried();
                    self.send()
                }
                Some(size) => done(size, etag, self.complete),
                None => TransferStep::Done(Err(refusal(&response))),
            },
            // Another connection of ours was still writing, or what was sent before did not arrive.
            Err(error) if error.code() == "InvalidUpload.Offset" => self.ask(nothing(), None),
            Err(error) if self.patience_is_for(&error) => self.ask(error, response.retry_after),
            Err(error) => TransferStep::Done(Err(error)),
        }
    }

    fn patience_is_for(&self, error: &ApiError) -> bool {
        matches!(error.status(), Some(408 | 429 | 502..=504)) || error.code() == "InvalidBody.Malformed"
    }

    /// How far it has come.
    fn progress(&mut self, data: &Object, response: &HttpResponse) -> TransferStep {
        let completed = json::field(data, &["completed"]).and_then(Value::as_object);
        if let Some(completed) = completed
            && self.complete
        {
            let size = json::count(completed, &["size"]).unwrap_or(self.end);
            return done(size, json::string(completed, &["etag"]), true);
        }
        let Some(arrived) = json::count(data, &["offset"]) else { return TransferStep::Done(Err(refusal(response))) };
        if arrived < self.offset || arrived > self.end {
            let message = "the upload is gone: the session was released, or something removed it; begin it anew";
            return TransferStep::Done(Err(ApiError::Refused(Refusal {
                code: codes::INTERRUPTED.to_owned(),
                message: message.to_owned(),
                status: response.status,
                request_id: response.request_id_header.clone().unwrap_or_default(),
            })));
        }
        match arrived.checked_sub(self.at) {
            // Less than before: a server that was put back. It is sent anew, as often as there is patience.
            None | Some(0) => self.stride.lost(self.until() - self.at),
            Some(_) => self.patience.restore(),
        }
        self.asks = false;
        self.at = arrived;
        if self.at == self.end && !self.complete { done(self.end, None, false) } else { self.send() }
    }

    fn ask(&mut self, error: ApiError, asked: Option<Duration>) -> TransferStep {
        self.asks = true;
        self.patience.after(error, asked)
    }
}

impl Transfer for WritePart {
    fn next(&mut self, last: Option<Exchange>) -> TransferStep {
        match last {
            None => self.send(),
            Some(exchange) => self.came(exchange),
        }
    }
}

/// Gives up an upload: what has arrived of it is removed.
pub(crate) fn discard(link: &FileLink, path: &str, upload: &str, is_archive: bool) -> HttpRequest {
    archived(link.request(Method::Delete, "").query("path", path).query("upload", upload), is_archive)
}

fn archived(request: HttpRequest, is_archive: bool) -> HttpRequest {
    if is_archive { request.query("archive", "tar") } else { request }
}

fn data_of(response: &HttpResponse) -> Result<Object, ApiError> {
    Envelope::open(response)?.object()
}

fn done(size: u64, etag: Option<String>, is_last: bool) -> TransferStep {
    let part = Part { size, etag: etag.unwrap_or_default(), is_last };
    TransferStep::Done(Ok(Answered { value: part, request_id: String::new() }))
}

/// A part is in memory as a whole, so its length fits.
fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::TransportError;
    use crate::operations::fixtures::linked;

    fn writing(offset: u64, length: u64, complete: bool) -> WritePart {
        let link = FileLink::of(&linked("files")).expect("it has all that is needed");
        WritePart::new(link, "/tmp/a", "u1", WriteMode::Append, offset, length, complete)
    }

    /// Method, offset and body of the request.
    fn sent(step: TransferStep) -> (String, String, Option<std::ops::Range<usize>>) {
        match step {
            TransferStep::Send { request, body, .. } => {
                let offset = request.headers.iter().find(|(name, _)| *name == "upload-offset");
                let offset = offset.map(|(_, value)| value.expose().to_owned()).unwrap_or_default();
                (request.method.as_str().to_owned(), offset, body)
            }
            other => panic!("{other:?}"),
        }
    }

    fn answer(status: u16, body: &Value) -> Option<Exchange> {
        Some(Exchange {
            response: Some(HttpResponse::new(status, None, body.to_string().into_bytes())),
            etag: Some(String::from("\"1\"")),
            ..Exchange::default()
        })
    }

    fn cut() -> Option<Exchange> {
        let broken = Some(TransportError::Interrupted { reason: String::from("cut") });
        Some(Exchange { broken, ..Exchange::default() })
    }

    fn finished(step: TransferStep) -> Result<Part, ApiError> {
        match step {
            TransferStep::Done(outcome) => outcome.map(|answered| answered.value),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn after_a_cut_it_goes_on_from_what_has_arrived() {
        let mut part = writing(100, 50, false);
        assert_eq!(sent(part.next(None)), ("PUT".into(), "100".into(), Some(0..50)));
        assert!(matches!(part.next(cut()), TransferStep::Wait(_)));
        assert_eq!(sent(part.next(None)).0, "GET");
        let progress = answer(200, &json!({"success": true, "data": {"offset": 120}}));
        assert_eq!(sent(part.next(progress)), ("PUT".into(), "120".into(), Some(20..50)));
        let answered = answer(200, &json!({"success": true, "data": {"offset": 150}}));
        assert_eq!(finished(part.next(answered)).map(|part| (part.size, part.is_last)), Ok((150, false)));
    }

    #[test]
    fn an_upload_whose_last_answer_was_lost_is_found_complete() {
        let mut part = writing(0, 5, true);
        sent(part.next(None));
        assert!(matches!(part.next(cut()), TransferStep::Wait(_)));
        sent(part.next(None));
        let data = json!({"success": true, "data": {"offset": 0, "completed": {"size": 5, "etag": "\"2\""}}});
        let expected = Part { size: 5, etag: String::from("\"2\""), is_last: true };
        assert_eq!(finished(part.next(answer(200, &data))), Ok(expected));
    }

    #[test]
    fn an_archive_is_one_in_every_request() {
        let mut part = writing(0, 5, true).into_folder(true);
        let query = |step: TransferStep| match step {
            TransferStep::Send { request, .. } => request.query,
            other => panic!("{other:?}"),
        };
        let expected = ("archive", String::from("tar"));
        assert!(query(part.next(None)).contains(&expected));
        assert!(matches!(part.next(cut()), TransferStep::Wait(_)));
        assert!(query(part.next(None)).contains(&expected), "how far it has come is asked of the archive");
        assert!(discard(&part.link, "/tmp/a", "u1", true).query.contains(&expected));
    }

    #[test]
    fn an_upload_that_is_gone_is_an_error() {
        let mut part = writing(100, 50, false);
        sent(part.next(None));
        let refused = json!({"success": false, "code": "InvalidUpload.Offset", "message": "go on from 0"});
        assert!(matches!(part.next(answer(409, &refused)), TransferStep::Wait(_)));
        sent(part.next(None));
        let progress = answer(200, &json!({"success": true, "data": {"offset": 0}}));
        assert_eq!(finished(part.next(progress)).unwrap_err().code(), "INTERRUPTED");
    }

    #[test]
    fn a_refusal_is_the_outcome() {
        let mut part = writing(0, 5, true);
        sent(part.next(None));
        let refused = json!({"success": false, "code": "InvalidFile.ReadOnly", "message": "read-only"});
        assert_eq!(finished(part.next(answer(403, &refused))).unwrap_err().code(), "InvalidFile.ReadOnly");
    }
}

//! Reading a file, part by part.

use data_encoding::BASE64;
use serde_json::Value;

use super::{CHUNK_SIZE, FileInfo, FileLink};
use crate::codes;
use crate::error::{ApiError, Malformed, Refusal};
use crate::http::Answered;
use crate::operations::Toolbox;
use crate::operations::toolbox::{SessionTool, text_of};
use crate::procedure::{Outcome, Procedure, Single, Step};

/// Bytes that one call reads from a service that carries bytes as they are: its answers may have 16 MiB. 1 MiB is where more
/// of them make nothing faster, and in base64 it is still small beside a program's memory.
const OWN_CHUNK_SIZE: u64 = 1 << 20;

/// Asks for the size and then reads bytes: a text part that a service cuts inside of a character would be spoilt.
///
/// A service that carries bytes as they are ([`FileLink`]) reads beyond the end of a file and says of a directory what it is,
/// so that it is not asked for the size: a small file takes one call instead of two.
///
/// A file without a size is read as well, to its end: those of `/proc` say 0.
#[derive(Debug)]
pub struct ReadFile {
    path: String,
    info: SessionTool,
    reader: SessionTool,
    asks_size: bool,
    /// Bytes that one call reads.
    chunk: u64,
    state: State,
    content: Vec<u8>,
    request_id: String,
}

#[derive(Debug)]
enum State {
    Start,
    /// Asked for the size.
    Sizing,
    /// A part is on its way.
    Reading(Size),
}

/// What `get_file_info` said of the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Known(u64),
    /// Zero: an empty file, or one of `/proc`.
    Zero,
    Unsaid,
}

impl ReadFile {
    pub(super) fn new(toolbox: &Toolbox<'_>, path: &str) -> Self {
        let is_own = FileLink::of(toolbox.session).is_some();
        Self {
            path: path.to_owned(),
            info: toolbox.tool("get_file_info"),
            reader: toolbox.tool("read_file"),
            asks_size: !is_own,
            chunk: if is_own { OWN_CHUNK_SIZE } else { CHUNK_SIZE },
            state: State::Start,
            content: Vec::new(),
            request_id: String::new(),
        }
    }

    fn sized(&mut self, answered: Answered<crate::procedure::Reply>) -> Result<Step<Vec<u8>>, ApiError> {
        let Answered { value: text, request_id } = text_of(answered)?;
        self.request_id = request_id;
        let info = FileInfo::read(&text, &self.path);
        if info.is_directory {
            let message = [self.path.as_str(), " is a directory; list it, or read a file in it"].concat();
            return Err(ApiError::ToolFailed(Refusal {
                code: codes::TOOL_FAILED.to_owned(),
                message,
                status: 200,
                request_id: self.request_id.clone(),
            }));
        }
        Ok(self.read(match info.size {
            Some(0) => Size::Zero,
            Some(size) => Size::Known(size),
            None => Size::Unsaid,
        }))
    }

    /// Asks for the next part.
    fn read(&mut self, size: Size) -> Step<Vec<u8>> {
        let offset = self.content.len() as u64;
        let length = if let Size::Known(size) = size { self.chunk.min(size - offset) } else { self.chunk };
        self.state = State::Reading(size);
        Step::call(self.reader.call([
            ("path", self.path.as_str().into()),
            ("offset", offset.into()),
            ("length", length.into()),
            ("format", "binary".into()),
        ]))
    }

    fn part(&mut self, size: Size, outcome: Outcome) -> Result<Step<Vec<u8>>, ApiError> {
        let text = match outcome.and_then(text_of) {
            Ok(Answered { value, request_id }) => {
                if self.request_id.is_empty() {
                    self.request_id = request_id;
                }
                value
            }
            // A service need not be able to read from an empty file; published clients do not ask it to.
            Err(ApiError::ToolFailed(_)) if size == Size::Zero && self.content.is_empty() => String::new(),
            Err(error) => return Err(error),
        };
        let part = decode(&text).ok_or_else(|| self.malformed())?;
        self.content.extend_from_slice(&part);
        let read = self.content.len() as u64;
        let is_last = part.is_empty()
            || match size {
                Size::Known(size) => read >= size,
                Size::Zero | Size::Unsaid => (part.len() as u64) < self.chunk,
            };
        Ok(if is_last { self.end() } else { self.read(size) })
    }

    fn end(&mut self) -> Step<Vec<u8>> {
        Step::done(std::mem::take(&mut self.content), std::mem::take(&mut self.request_id))
    }

    fn malformed(&self) -> ApiError {
        not_base64(&self.path, self.request_id.clone())
    }
}

impl Procedure for ReadFile {
    type Output = Vec<u8>;

    fn next(&mut self, last: Option<Outcome>) -> Step<Vec<u8>> {
        let step = match (&self.state, last) {
            (State::Sizing, Some(outcome)) => outcome.and_then(|answered| self.sized(answered)),
            (State::Reading(size), Some(outcome)) => self.part(*size, outcome),
            _ if !self.asks_size => return self.read(Size::Unsaid),
            _ => {
                self.state = State::Sizing;
                return Step::call(self.info.call([("path", self.path.as_str().into())]));
            }
        };
        step.unwrap_or_else(|error| Step::Done(Err(error)))
    }
}

/// A chunk of a file, whatever there is of it.
pub(super) fn chunk(toolbox: &Toolbox<'_>, path: &str, offset: u64, length: u64) -> Single<Vec<u8>> {
    let length = length.min(CHUNK_SIZE);
    let arguments =
        [("path", path.into()), ("offset", offset.into()), ("length", length.into()), ("format", "binary".into())];
    let call = toolbox.tool("read_file").call(arguments);
    let path = path.to_owned();
    Single::new(call, move |answered| {
        let Answered { value: text, request_id } = text_of(answered)?;
        match decode(&text) {
            Some(value) => Ok(Answered { value, request_id }),
            None => Err(not_base64(&path, request_id)),
        }
    })
}

fn not_base64(path: &str, request_id: String) -> ApiError {
    let problem = [path, ": the content is not base64"].concat();
    ApiError::Malformed(Malformed { status: 200, problem, request_id, ..Malformed::default() })
}

/// Base64, with or without line breaks in it.
fn decode(text: &str) -> Option<Vec<u8>> {
    let whole: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(&whole).ok()
}

/// A text, with what is not UTF-8 replaced.
pub(crate) fn text_content(bytes: Vec<u8>) -> Value {
    let text = String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    crate::operations::object([("content", text.into())])
}

/// Bytes, as base64.
pub(crate) fn binary_content(bytes: Vec<u8>) -> Value {
    crate::operations::object([("content", BASE64.encode(&bytes).into()), ("size", bytes.len().into())])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::SessionData;
    use crate::operations::files::Files;
    use crate::operations::fixtures::linked;
    use crate::operations::played::{Played, by_gateway, tool, tool_error};

    fn read() -> Played<ReadFile> {
        let mut played = Played::new(Files(by_gateway().toolbox()).read("/tmp/a"));
        assert_eq!(played.tool(), ("get_file_info".to_owned(), json!({"path": "/tmp/a"})));
        played
    }

    fn part(played: &mut Played<ReadFile>, offset: u64, length: u64) {
        let expected = json!({"path": "/tmp/a", "offset": offset, "length": length, "format": "binary"});
        assert_eq!(played.tool(), ("read_file".to_owned(), expected));
    }

    fn base64(bytes: &[u8]) -> crate::procedure::Reply {
        tool(&BASE64.encode(bytes))
    }

    #[test]
    fn reads_parts_of_bytes_and_joins_them() {
        let content: Vec<u8> = "ü".repeat(30_000).into_bytes();
        let mut played = read();
        played.answer(tool("size: 60000\nisDirectory: false"));
        part(&mut played, 0, 51_200);
        played.answer(base64(&content[..51_200]));
        part(&mut played, 51_200, 8_800);
        assert_eq!(played.end(base64(&content[51_200..])), Ok(content));
    }

    #[test]
    fn a_service_that_carries_bytes_is_not_asked_for_the_size() {
        let session = SessionData { session_id: String::from("s-1"), ..linked("files") };
        let read = || Played::new(Files(Toolbox { session: &session, is_guest: false, id: "id" }).read("/tmp/a"));
        let mut small = read();
        part(&mut small, 0, OWN_CHUNK_SIZE);
        assert_eq!(small.end(base64(b"abc")), Ok(b"abc".to_vec()));
        let mut large = read();
        part(&mut large, 0, OWN_CHUNK_SIZE);
        large.answer(base64(&vec![7; OWN_CHUNK_SIZE as usize]));
        part(&mut large, OWN_CHUNK_SIZE, OWN_CHUNK_SIZE);
        assert_eq!(large.end(base64(b"")).map(|content| content.len()), Ok(OWN_CHUNK_SIZE as usize));
        let mut missing = read();
        part(&mut missing, 0, OWN_CHUNK_SIZE);
        assert_eq!(missing.end(tool_error("\"/tmp/a\" not found")).unwrap_err().to_string(), "\"/tmp/a\" not found");
    }

    #[test]
    fn a_file_that_says_no_size_is_read_to_its_end() {
        for info in ["size: 0", "isDirectory: false"] {
            let mut played = read();
            played.answer(tool(info));
            part(&mut played, 0, CHUNK_SIZE);
            played.answer(base64(&[7; CHUNK_SIZE as usize]));
            part(&mut played, CHUNK_SIZE, CHUNK_SIZE);
            assert_eq!(played.end(base64(b"x")).map(|content| content.len()), Ok(CHUNK_SIZE as usize + 1));
        }
    }

    #[test]
    fn an_empty_file_is_an_empty_content() {
        for answer in [tool(""), tool_error("offset past the end")] {
            let mut played = read();
            played.answer(tool("size: 0"));
            part(&mut played, 0, CHUNK_SIZE);
            assert_eq!(played.end(answer), Ok(Vec::new()));
        }
    }

    #[test]
    fn a_file_of_unknown_size_that_cannot_be_read_is_not_empty() {
        let mut played = read();
        played.answer(tool("isDirectory: false"));
        part(&mut played, 0, CHUNK_SIZE);
        assert_eq!(played.end(tool_error("permission denied")).unwrap_err().to_string(), "permission denied");
    }

    #[test]
    fn a_file_that_shrinks_meanwhile_ends_where_it_ends() {
        let mut played = read();
        played.answer(tool("size: 10"));
        part(&mut played, 0, 10);
        played.answer(base64(b"abc"));
        part(&mut played, 3, 7);
        assert_eq!(played.end(base64(b"")), Ok(b"abc".to_vec()));
    }

    #[test]
    fn directories_missing_files_and_odd_contents_are_errors() {
        let mut played = read();
        assert!(
            played
                .end(tool("size: 4096\nisDirectory: true"))
                .unwrap_err()
                .to_string()
                .contains("/tmp/a is a directory")
        );
        let mut played = read();
        assert_eq!(played.end(tool_error("/tmp/a: not found")).unwrap_err().to_string(), "/tmp/a: not found");
        let mut played = read();
        played.answer(tool("size: 3"));
        part(&mut played, 0, 3);
        assert_eq!(played.end(tool("no base64!")).unwrap_err().code(), "MALFORMED");
    }

    #[test]
    fn line_breaks_in_base64_are_none() {
        assert_eq!(decode("YWJj\r\nZGVm\n"), Some(b"abcdef".to_vec()));
        assert_eq!(decode("YWJ"), None);
    }
}

//! Files as bodies: sent with ranges and entity tags, received piece by piece. Memory stays bounded at any size.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::error::ApiError;
use crate::listen::paced::{Count, Pace};

/// Bytes that are read from a file at once. Large enough for a gigabyte a second, small enough for a thousand readers.
const PIECE: u64 = 256 * 1024;

/// Bytes that go to one reader before others have their turn: a fraction of a millisecond.
const TURN: u64 = 4 * PIECE;

/// Bytes that are collected before they are written.
const BATCH: usize = 256 * 1024;

/// What a body on its way takes: a piece that is collected, and one that is written or sent.
pub(super) const HELD: usize = 512 * 1024;

/// Bytes of a file that says no size. Files of `/proc` have some KiB.
const MAX_UNSIZED: u64 = 1 << 20;

/// What of a file is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// From the first byte to one before the second.
    Range(u64, u64),
    /// A range that the file does not have.
    Unsatisfiable,
}

/// The entity tag of a file: it changes when the file is replaced or written.
pub(super) fn entity_tag((inode, size, modified): (u64, u64, SystemTime)) -> String {
    let nanos = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("\"{inode:x}-{size:x}-{nanos:x}\"")
}

/// The same, holding something until the last byte has gone or the client has.
pub(super) fn send_during(
    file: File,
    asked: &HeaderMap,
    held: impl Send + Sync + 'static,
) -> Result<Response, ApiError> {
    let response = send(file, asked)?;
    Ok(response.map(|body| {
        let frames = body.into_data_stream();
        Body::from_stream(frames.inspect(move |_| {
            let _ = &held;
        }))
    }))
}

/// Answers with a regular file, whole or the one range that is asked for.
pub(super) fn send(file: File, asked: &HeaderMap) -> Result<Response, ApiError> {
    let meta = file.metadata().map_err(|error| ApiError::file("reading", &error))?;
    let (size, modified) = (meta.len(), meta.modified().unwrap_or(SystemTime::UNIX_EPOCH));
    let tag = entity_tag((meta.ino(), size, modified));
    if asked.contains_key(header::IF_MATCH) && !matches(asked, header::IF_MATCH, &tag) {
        return Err(ApiError::FileChanged);
    }
    // A file of /proc has no size and all the same something to read.
    if size == 0 && file.read_at(&mut [0], 0).is_ok_and(|read| read > 0) {
        return send_unsized(file, &tag);
    }
    let part = part(asked, &tag, size);
    let (status, first, end) = match part {
        _ if matches(asked, header::IF_NONE_MATCH, &tag) => (StatusCode::NOT_MODIFIED, 0, 0),
        Part::Whole => (StatusCode::OK, 0, size),
        Part::Range(first, end) => (StatusCode::PARTIAL_CONTENT, first, end),
        Part::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let mut response = Response::new(body(file, first, end));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let mut set = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    set(header::ETAG, tag);
    set(header::LAST_MODIFIED, httpdate::fmt_http_date(modified));
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    match part {
        _ if status == StatusCode::NOT_MODIFIED => return Ok(response),
        Part::Range(..) => set(header::CONTENT_RANGE, format!("bytes {first}-{}/{size}", end - 1)),
        Part::Unsatisfiable => set(header::CONTENT_RANGE, format!("bytes */{size}")),
        Part::Whole => {}
    }
    set(header::CONTENT_LENGTH, (end - first).to_string());
    set(header::CONTENT_TYPE, "application/octet-stream".to_owned());
    // Whatever a program has written, a browser stores it and does not show it.
    set(header::CONTENT_DISPOSITION, "attachment".to_owned());
    Ok(response)
}

/// Answers with a file that says no size: it is empty, or one of `/proc` whose size nobody knows before it is read.
fn send_unsized(file: File, tag: &str) -> Result<Response, ApiError> {
    let mut text = Vec::new();
    file.take(MAX_UNSIZED).read_to_end(&mut text).map_err(|error| ApiError::file("reading", &error))?;
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    Ok(response)
}

/// Bytes of a file. What the system has in memory is taken from there at once: another thread costs more than the copy does.
/// From the first piece on that it has not, pieces are read off the runtime's threads: while one goes out, the next one is
/// read, and a reader has two of them in memory at most.
fn body(file: File, first: u64, end: u64) -> Body {
    let file = Arc::new(file);
    Body::from_stream(stream::try_unfold((first, None), move |(at, ahead)| {
        let file = Arc::clone(&file);
        async move {
            if at >= end {
                return Ok::<_, io::Error>(None);
            }
            // A client that reads as fast as it can would never let go of the thread.
            if (at - first).is_multiple_of(TURN) {
                tokio::task::yield_now().await;
            }
            let read = |at: u64| {
                let (file, length) = (Arc::clone(&file), length_at(at, end));
                tokio::task::spawn_blocking(move || read_piece(&file, at, length))
            };
            if ahead.is_none()
                && let Some(piece) = read_cached(&file, at, length_at(at, end))
            {
                let next = at + piece.len() as u64;
                return Ok(Some((Bytes::from(piece), (next, None))));
            }
            let reading = ahead.unwrap_or_else(|| read(at));
            // A file that has become shorter breaks the connection off: the length was promised.
            let piece = reading.await.map_err(io::Error::other)??;
            let next = at + piece.len() as u64;
            let ahead = (next < end).then(|| read(next));
            Ok(Some((Bytes::from(piece), (next, ahead))))
        }
    }))
}

/// Bytes of the piece that begins here.
fn length_at(at: u64, end: u64) -> usize {
    usize::try_from(PIECE.min(end - at)).expect("a piece has some KiB")
}

/// So many bytes of a file, if the system has all of them in memory and its file system can say so: this never waits for a
/// disk. They go into memory that is not cleared before.
fn read_cached(file: &File, at: u64, length: usize) -> Option<Vec<u8>> {
    let mut piece: Vec<u8> = Vec::with_capacity(length);
    let part = libc::iovec { iov_base: piece.as_mut_ptr().cast(), iov_len: length };
    let at = at.try_into().ok()?;
    // SAFETY: there is one part, whose memory is the vector's: it has room for so many bytes, and nobody else has it.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const part, 1, at, libc::RWF_NOWAIT) };
    if usize::try_from(read) != Ok(length) {
        return None;
    }
    // SAFETY: the system has written so many bytes.
    unsafe { piece.set_len(length) };
    Some(piece)
}

/// So many bytes of a file, into memory that is not cleared before.
fn read_piece(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(length);
    while piece.len() < length {
        let from = at + piece.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut piece), from) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    piece.truncate(length); // an allocation may be larger than was asked for
    Ok(piece)
}

/// Several ranges are answered by the whole, as HTTP allows.
fn part(asked: &HeaderMap, tag: &str, size: u64) -> Part {
    let range = asked.get(header::RANGE).and_then(|range| range.to_str().ok());
    let Some(range) = range.and_then(|range| range.trim().strip_prefix("bytes=")) else { return Part::Whole };
    if asked.contains_key(header::IF_RANGE) && !matches(asked, header::IF_RANGE, tag) {
        return Part::Whole;
    }
    let Some((first, last)) = range.split_once('-') else { return Part::Whole };
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    match (first.is_empty(), last.is_empty()) {
        (true, false) => match number(last) {
            Some(0) => Part::Unsatisfiable,
            Some(_) if size == 0 => Part::Unsatisfiable,
            Some(count) => Part::Range(size.saturating_sub(count), size),
            None => Part::Whole,
        },
        (false, true) => match number(first) {
            Some(first) if first < size => Part::Range(first, size),
            Some(_) => Part::Unsatisfiable,
            None => Part::Whole,
        },
        (false, false) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first > last => Part::Whole,
            (Some(first), Some(_)) if first >= size => Part::Unsatisfiable,
            (Some(first), Some(last)) => Part::Range(first, last.saturating_add(1).min(size)),
            _ => Part::Whole,
        },
        (true, true) => Part::Whole,
    }
}

fn matches(asked: &HeaderMap, name: header::HeaderName, tag: &str) -> bool {
    let values = asked.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|value| value == tag || value == "*")
}

/// How long a body is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For the next of its bytes.
    pub(super) silence: Duration,
    /// For enough of them.
    pub(super) pace: Option<Pace>,
}

/// Receives a body: hands it to `write`, some pieces at once, off the runtime's threads, and gives the writer back at its end. What came
/// before a body broke is written, too: an upload that was cut goes on from there. While one batch is written, the next one
/// is received.
pub(super) async fn receive<W: Send + 'static>(
    mut body: Body,
    writer: W,
    Patience { silence, pace }: Patience,
    write: impl Fn(&mut W, &[Bytes]) -> Result<(), ApiError> + Clone + Send + 'static,
) -> Result<W, ApiError> {
    let (mut hand, mut batch) = (Hand::Idle(writer), Batch::default());
    let mut count = pace.map(Count::new);
    loop {
        let patience = count.as_ref().map_or(silence, |count| silence.min(count.left()));
        let since = Instant::now();
        let received = tokio::time::timeout(patience, body.frame()).await;
        if let (Some(count), Ok(Some(Ok(frame)))) = (&mut count, &received) {
            count.add(since.elapsed(), frame.data_ref().map_or(0, Bytes::len));
        }
        let end = match received {
            Ok(None) => Some(Ok(())),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    batch.push(data); // trailers say nothing here
                }
                None
            }
            Ok(Some(Err(_))) => Some(Err(ApiError::Malformed("the connection broke within it".to_owned()))),
            Err(_) if patience < silence => {
                let pace = pace.expect("only a pace is a shorter time");
                Some(Err(ApiError::TooFew { per_minute: pace.per_minute, seconds: pace.time.as_secs() }))
            }
            Err(_) => Some(Err(ApiError::TooSlow { seconds: silence.as_secs() })),
        };
        if batch.size < BATCH && end.is_none() {
            continue;
        }
        let (mut writer, result) = hand.settle().await?;
        if let Err(error) = result {
            drop(writer);
            if end.is_none() {
                drain(body, silence).await;
            }
            return Err(error);
        }
        let (pieces, write) = (std::mem::take(&mut batch).pieces(), write.clone());
        hand = if pieces.is_empty() {
            Hand::Idle(writer)
        } else {
            Hand::Writing(tokio::task::spawn_blocking(move || {
                let result = write(&mut writer, &pieces);
                (writer, result)
            }))
        };
        if let Some(end) = end {
            let (writer, result) = hand.settle().await?;
            result?;
            return end.map(|()| writer);
        }
    }
}

/// Who writes what is received.
enum Hand<W> {
    Idle(W),
    Writing(JoinHandle<(W, Result<(), ApiError>)>),
}

impl<W> Hand<W> {
    /// The writer, and what became of what it was given last.
    async fn settle(self) -> Result<(W, Result<(), ApiError>), ApiError> {
        match self {
            Self::Idle(writer) => Ok((writer, Ok(()))),
            Self::Writing(task) => task.await.map_err(|_| ApiError::Defect),
        }
    }
}

/// What was received and is not written yet.
#[derive(Default)]
struct Batch {
    whole: Vec<Bytes>,
    small: Vec<u8>,
    size: usize,
}

/// What is smaller is copied to others like it: each piece takes memory of its own beside its bytes.
const SMALL: usize = 16 * 1024;

impl Batch {
    fn push(&mut self, data: Bytes) {
        self.size += data.len();
        if data.len() < SMALL {
            self.small.extend_from_slice(&data);
        } else {
            self.end_small();
            self.whole.push(data);
        }
    }

    fn end_small(&mut self) {
        if !self.small.is_empty() {
            self.whole.push(std::mem::take(&mut self.small).into());
        }
    }

    /// All of it, in order.
    fn pieces(mut self) -> Vec<Bytes> {
        self.end_small();
        self.whole
    }
}

/// Reads some of a body that is refused, so that the client comes to hear of it: one that is still writing does not
/// read.
async fn drain(mut body: Body, silence: Duration) {
    const MOST: usize = 64 * 1024 * 1024;
    let mut drained = 0;
    while drained <= MOST {
        match tokio::time::timeout(silence, body.frame()).await {
            Ok(Some(Ok(frame))) => drained += frame.data_ref().map_or(0, Bytes::len),
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many bytes each second, for so many seconds.
    fn slow(bytes: usize, seconds: usize) -> Body {
        Body::from_stream(stream::unfold(0, move |at| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            (at < seconds).then(|| (Ok::<_, io::Error>("x".repeat(bytes)), at + 1))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_brings_too_little_is_ended() {
        let pace = Pace { time: Duration::from_secs(120), per_minute: 6000 };
        let patience = Patience { silence: Duration::from_secs(30), pace: Some(pace) };
        let receive = |body, patience| {
            receive(body, 0, patience, |size, pieces: &[Bytes]| {
                *size += pieces.iter().map(Bytes::len).sum::<usize>();
                Ok(())
            })
        };
        let begin = Instant::now();
        let error = receive(slow(99, 10_000), patience).await.expect_err("it is too slow");
        assert!(matches!(error, ApiError::TooFew { per_minute: 6000, seconds: 120 }), "{error}");
        assert_eq!(begin.elapsed().as_secs(), 120);
        assert_eq!(receive(slow(110, 500), patience).await.expect("it is fast enough"), 110 * 500);
        let anything = Patience { pace: None, ..patience };
        assert_eq!(receive(slow(1, 500), anything).await.expect("any is enough"), 500);
        let error = receive(slow(1, 500), Patience { silence: Duration::from_millis(500), ..patience }).await;
        assert!(matches!(error, Err(ApiError::TooSlow { .. })), "{error:?}");
    }

    #[tokio::test]
    async fn a_file_is_the_same_whether_the_system_has_it_in_memory_or_not() {
        let mut file = tempfile::tempfile().expect("the temporary directory is writable");
        let bytes: Vec<u8> = (0_u32..300_000).flat_map(u32::to_le_bytes).collect();
        io::Write::write_all(&mut file, &bytes).expect("it is open for writing");
        let open = || file.try_clone().expect("there are descriptors left");
        let size = bytes.len() as u64;
        let index = |at: u64| usize::try_from(at).expect("a small file");
        for (first, end) in [(0, size), (1, PIECE), (PIECE - 1, size - 1), (size - 1, size), (5, 5)] {
            let sent = body(open(), first, end).collect().await.expect("all of it is there").to_bytes();
            let expected = &bytes[index(first)..index(end)];
            assert!(sent == *expected, "{first} to {end}");
            let length = expected.len().min(length_at(first, size));
            let cached = read_cached(&file, first, length);
            assert!(cached.is_none_or(|cached| cached == expected[..length]), "{first} to {end}");
            assert_eq!(read_piece(&file, first, length).expect("it is there"), expected[..length]);
        }
        assert_eq!(read_cached(&file, size - 3, 4), None, "there are not so many");
        assert!(body(open(), 0, size + 1).collect().await.is_err(), "it has become shorter");
    }

    #[test]
    fn ranges_are_read_as_http_says() {
        let tag = "\"1-a-0\"";
        for (range, size, expected) in [
            ("bytes=0-4", 10, Part::Range(0, 5)),
            ("bytes=5-", 10, Part::Range(5, 10)),
            ("bytes=-3", 10, Part::Range(7, 10)),
            ("bytes=-30", 10, Part::Range(0, 10)),
            ("bytes=2-99", 10, Part::Range(2, 10)),
            ("bytes=2-18446744073709551615", 10, Part::Range(2, 10)),
            ("bytes=10-", 10, Part::Unsatisfiable),
            ("bytes=-0", 10, Part::Unsatisfiable),
            ("bytes=-1", 0, Part::Unsatisfiable),
            ("bytes=0-", 0, Part::Unsatisfiable),
            ("bytes=4-2", 10, Part::Whole),
            ("bytes=1-2,4-5", 10, Part::Whole),
            ("bytes=-", 10, Part::Whole),
            ("bytes=+1-2", 10, Part::Whole),
            ("lines=1-2", 10, Part::Whole),
        ] {
            let asked = HeaderMap::from_iter([(header::RANGE, range.parse().expect("a value"))]);
            assert_eq!(part(&asked, tag, size), expected, "{range} of {size}");
        }
        let mut asked = HeaderMap::from_iter([(header::RANGE, "bytes=1-".parse().expect("a value"))]);
        asked.insert(header::IF_RANGE, tag.parse().expect("a value"));
        assert_eq!(part(&asked, tag, 10), Part::Range(1, 10));
        assert_eq!(part(&asked, "\"other\"", 10), Part::Whole);
    }
}

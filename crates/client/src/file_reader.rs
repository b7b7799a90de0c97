//! Reading a file as a stream.

use agb_core::http::Answered;
use agb_core::operations::files::{CHUNK_SIZE, FileLink, PART_SIZE, Part, ReadPart};
use bytes::Bytes;
use futures_util::Stream;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::session::Session;

/// A file that is read as a stream; see [`Files::read_stream`](crate::Files::read_stream).
///
/// While the caller uses one part, the next one is on its way: two parts are in memory at most. Nothing more is fetched
/// while nobody reads.
#[derive(Debug)]
pub struct FileReader {
    session: Session,
    path: String,
    at: u64,
    end: u64,
    etag: Option<String>,
    size: Option<u64>,
    ahead: Option<JoinHandle<Result<(Part, Bytes), Error>>>,
    is_over: bool,
}

impl FileReader {
    pub(crate) fn new(session: Session, path: &str, start: u64, end: u64) -> Self {
        let (path, is_over) = (path.to_owned(), start >= end);
        Self { session, path, at: start, end, etag: None, size: None, ahead: None, is_over }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// What the service or the network says; nothing comes after it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let ahead = self.ahead.take().unwrap_or_else(|| self.fetch());
        let came = ahead.await.map_err(|_| Error::NotSupported("the runtime is ending: the file is not read further"));
        let (part, bytes) = match came.and_then(|came| came) {
            Ok(came) => came,
            Err(error) => {
                self.is_over = true;
                return Err(error);
            }
        };
        self.at += bytes.len() as u64;
        self.size = Some(part.size);
        self.etag = Some(part.etag).filter(|etag| !etag.is_empty());
        self.is_over = part.is_last || self.at >= self.end || bytes.is_empty();
        if !self.is_over {
            self.ahead = Some(self.fetch());
        }
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    /// Bytes of the whole file, once something of it has come and where the service says it.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// What tells this state of the file from every other, once something of it has come and where the service says it.
    #[must_use]
    pub fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// The bytes as a stream; it ends with the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        futures_util::stream::unfold(self, |mut reader| async move {
            let item = reader.next().await.transpose()?;
            Some((item, reader))
        })
    }

    fn fetch(&self) -> JoinHandle<Result<(Part, Bytes), Error>> {
        let (session, path, at, etag) = (self.session.clone(), self.path.clone(), self.at, self.etag.clone());
        let left = self.end - at;
        tokio::spawn(async move {
            if let Some(link) = FileLink::of(session.data()) {
                let transfer = ReadPart::new(link, &path, at, left.min(PART_SIZE), etag);
                let (Answered { value: part, .. }, bytes) = session.transfer(Box::new(transfer), Bytes::new()).await?;
                return Ok((part, bytes.into_bytes()));
            }
            let length = left.min(CHUNK_SIZE);
            let chunk = session.files().read_chunk(&path, at, length).await?;
            // Nobody says the size: a chunk that is not full is the last one.
            let part = Part { is_last: (chunk.len() as u64) < length, ..Part::default() };
            Ok((part, Bytes::from(chunk)))
        })
    }
}

impl Drop for FileReader {
    fn drop(&mut self) {
        if let Some(ahead) = &self.ahead {
            ahead.abort();
        }
    }
}

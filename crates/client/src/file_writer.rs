//! Writing a file as a stream.

use agb_core::operations::files::{CHUNK_SIZE, FileLink, PART_SIZE, Part, WriteMode, WritePart};
use bytes::{Bytes, BytesMut};
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::random;
use crate::session::Session;

/// A file that is written as a stream; see [`Files::write_stream`](crate::Files::write_stream).
///
/// The file takes its place when the stream is [finished](Self::finish). A writer that is dropped before leaves what was
/// there; what has arrived of it is removed by [`abort`](Self::abort), or with the session.
///
/// Where the service has no streams of bytes, the documented tool writes texts of UTF-8 piece by piece: then what was
/// written before an error stays, and other bytes are refused.
#[derive(Debug)]
pub struct FileWriter {
    session: Session,
    path: String,
    mode: WriteMode,
    /// It is a tar archive, whose files go into the folder.
    is_archive: bool,
    upload: String,
    /// How many bytes were handed on.
    sent: u64,
    waiting: BytesMut,
    sending: Option<JoinHandle<Result<Part, Error>>>,
}

impl FileWriter {
    pub(crate) fn new(session: Session, path: &str, mode: WriteMode) -> Self {
        let (path, upload) = (path.to_owned(), random::id());
        Self { session, path, mode, is_archive: false, upload, sent: 0, waiting: BytesMut::new(), sending: None }
    }

    /// One that takes a tar archive, for a service that unpacks them.
    pub(crate) fn into_folder(session: Session, path: &str) -> Result<Self, Error> {
        if FileLink::of_folders(session.data()).is_none() {
            return Err(Error::NotSupported("the service does not unpack archives: unpack it by a command"));
        }
        Ok(Self { is_archive: true, ..Self::new(session, path, WriteMode::Overwrite) })
    }

    /// Takes bytes; comes back as soon as there is room for more.
    ///
    /// # Errors
    /// What the service or the network says. The stream cannot be finished then.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let size = self.part_size();
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(size - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            bytes = later;
            if self.waiting.len() == size {
                self.send(false).await?;
            }
        }
        Ok(())
    }

    /// Writes what is left, and puts the file in its place.
    ///
    /// # Errors
    /// What the service or the network says; then the file is as it was before.
    pub async fn finish(mut self) -> Result<Part, Error> {
        self.send(true).await?;
        self.settle().await
    }

    /// Gives it up: what was there before stays, and what has arrived is removed.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn abort(mut self) -> Result<(), Error> {
        if let Some(sending) = self.sending.take() {
            sending.abort();
        }
        match FileLink::of(self.session.data()) {
            Some(link) => self.session.files().discard(&link, &self.path, &self.upload, self.is_archive).await,
            None => Ok(()),
        }
    }

    fn part_size(&self) -> usize {
        let size = if FileLink::of(self.session.data()).is_some() { PART_SIZE } else { CHUNK_SIZE };
        usize::try_from(size).expect("a part is some MiB")
    }

    /// Hands on what is waiting, once the part before has arrived.
    async fn send(&mut self, complete: bool) -> Result<(), Error> {
        self.settle().await?;
        let (session, path) = (self.session.clone(), self.path.clone());
        let Some(link) = FileLink::of(session.data()) else { return self.send_text(complete).await };
        let bytes = self.waiting.split().freeze();
        let length = bytes.len() as u64;
        let part = WritePart::new(link, &path, &self.upload, self.mode, self.sent, length, complete);
        let part = part.into_folder(self.is_archive);
        self.sent += length;
        self.sending = Some(tokio::spawn(async move {
            let (answered, _) = session.transfer(Box::new(part), bytes).await?;
            Ok(answered.value)
        }));
        Ok(())
    }

    /// What the part before came to.
    async fn settle(&mut self) -> Result<Part, Error> {
        let Some(sending) = self.sending.take() else { return Ok(Part { size: self.sent, ..Part::default() }) };
        sending.await.map_err(|_| Error::NotSupported("the runtime is ending: the file is not written further"))?
    }

    async fn send_text(&mut self, complete: bool) -> Result<(), Error> {
        // What is cut of a character waits for the rest of it.
        let whole = match str::from_utf8(&self.waiting) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() && !complete => error.valid_up_to(),
            Err(_) => {
                return Err(Error::NotSupported(
                    "the service writes texts only, and these bytes are not UTF-8: upload the file through a context",
                ));
            }
        };
        let bytes: Bytes = self.waiting.split_to(whole).freeze();
        let mode = if self.sent == 0 { self.mode } else { WriteMode::Append };
        if !bytes.is_empty() || self.sent == 0 {
            let text = String::from_utf8(bytes.to_vec()).expect("it was checked above");
            self.session.files().write(&self.path, text, mode).await?;
        }
        self.sent += whole as u64;
        Ok(())
    }
}

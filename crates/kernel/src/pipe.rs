//! Our end of an interpreter's standard output or error, and what all pipes have in common.

use std::fs::File;
use std::io::{self, Read};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::text::Utf8Decoder;

/// One read of a pipe takes what is there, up to what a pipe holds.
pub(crate) const READ_SIZE: usize = 64 << 10;

/// Our end of the program's standard output or error.
#[derive(Debug)]
pub(crate) struct OutputPipe {
    fd: AsyncFd<File>,
    decoder: Utf8Decoder,
    open: bool,
}

impl OutputPipe {
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let fd = watch(file, Interest::READABLE)?;
        Ok(Self { fd, decoder: Utf8Decoder::default(), open: true })
    }

    /// Whether more can come.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Resolves when there is something to read. Cancel-safe.
    pub(crate) async fn ready(&self) {
        if self.fd.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reads once, after [`ready`](Self::ready).
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Option<String> {
        match self.fd.try_io(Interest::READABLE, |mut file| file.read(buffer)) {
            Ok(0) => self.open = false,
            Ok(size) => return Some(self.decoder.decode(&buffer[..size])).filter(|text| !text.is_empty()),
            Err(error) if is_passing(&error) => {}
            Err(_) => self.open = false,
        }
        None
    }

    /// Reads what is in the pipe now, without waiting: all that was written before the call, and no more than a pipe
    /// holds, so that a writer in the background cannot keep it busy.
    pub(crate) fn drain(&mut self, buffer: &mut [u8], mut sink: impl FnMut(String)) {
        let mut taken = 0;
        while self.open && taken < READ_SIZE {
            // Past the readiness that the runtime remembers: it may not have heard of the last write yet.
            match self.fd.get_ref().read(buffer) {
                Ok(0) => self.open = false,
                Ok(size) => {
                    taken += size;
                    let text = self.decoder.decode(&buffer[..size]);
                    if !text.is_empty() {
                        sink(text);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.open = false,
            }
        }
    }

    /// The cell is over: half a character is not completed any more.
    pub(crate) fn finish(&mut self) -> Option<String> {
        self.decoder.finish()
    }
}

/// Registers a descriptor with the runtime.
pub(crate) fn watch(file: File, interest: Interest) -> io::Result<AsyncFd<File>> {
    // SAFETY: a `File` owns its descriptor and answers with the same open one until it is dropped; it is moved in
    // here, and nothing below gets hold of it other than by reference.
    unsafe { AsyncFd::register_with_interest(file, interest) }.map_err(Into::into)
}

pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

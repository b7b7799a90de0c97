//! Our ends of the control channel.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::ProtocolError;
use crate::message::{FrameBuffer, Held, Message};
use crate::pipe::{READ_SIZE, is_passing, watch};

/// Our ends of the control channel.
#[derive(Debug)]
pub(crate) struct Control {
    incoming: AsyncFd<File>,
    frames: FrameBuffer,
    outgoing: AsyncFd<File>,
    unsent: Vec<u8>,
    sent: usize,
}

impl Control {
    pub(crate) fn new(to: File, from: File, limit: usize) -> io::Result<Self> {
        Ok(Self {
            incoming: watch(from, Interest::READABLE)?,
            frames: FrameBuffer::new(limit),
            outgoing: watch(to, Interest::WRITABLE)?,
            unsent: Vec::new(),
            sent: 0,
        })
    }

    /// The descriptor that messages come from, to be polled.
    pub(crate) fn incoming_fd(&self) -> BorrowedFd<'_> {
        self.incoming.get_ref().as_fd()
    }

    /// Puts a frame into the queue that [`step`](Self::step) writes.
    pub(crate) fn send(&mut self, frame: Vec<u8>) {
        if self.unsent.is_empty() {
            self.unsent = frame;
        } else {
            self.unsent.extend_from_slice(&frame);
        }
        self.write();
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    fn write(&mut self) {
        while self.sent < self.unsent.len() {
            match self.outgoing.try_io(Interest::WRITABLE, |mut file| file.write(&self.unsent[self.sent..])) {
                Ok(size) => self.sent += size,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody reads any more: the process is dead or dying, which is noticed elsewhere.
                Err(_) => break,
            }
        }
        self.unsent = Vec::new();
        self.sent = 0;
    }

    /// Resolves when something has come or unsent bytes could go. Cancel-safe. Call [`step`](Self::step) after it.
    pub(crate) async fn ready(&self, read: bool) {
        let readable = async {
            if !read || self.incoming.readable().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let writable = async {
            if !self.has_unsent() || self.outgoing.writable().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = readable => {}
            () = writable => {}
        }
    }

    /// Writes what can be written, and reads once if `read`. False at the end of what can come.
    pub(crate) fn step(&mut self, read: bool, buffer: &mut [u8]) -> bool {
        if self.has_unsent() {
            self.write();
        }
        if !read {
            return true;
        }
        match self.incoming.try_io(Interest::READABLE, |mut file| file.read(buffer)) {
            Ok(0) => false,
            Ok(size) => {
                self.frames.feed(&buffer[..size]);
                true
            }
            Err(error) => is_passing(&error),
        }
    }

    /// The next message that has come whole.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, ProtocolError> {
        self.frames.next()
    }

    /// What there is of the next message.
    pub(crate) fn held(&self) -> Held {
        self.frames.held()
    }

    /// Drops what there is of a message that has not come whole, and what comes of it. Its size, if there is one.
    pub(crate) fn leave_out(&mut self) -> Option<usize> {
        self.frames.leave_out()
    }

    /// How many bytes the last message took.
    pub(crate) fn last_size(&self) -> usize {
        self.frames.last_size()
    }

    /// Reads what a dead process has left in the channel.
    pub(crate) fn drain(&mut self, buffer: &mut [u8]) {
        let mut taken = 0;
        while taken < READ_SIZE {
            match self.incoming.get_ref().read(buffer) {
                Ok(size) if size > 0 => {
                    taken += size;
                    self.frames.feed(&buffer[..size]);
                }
                _ => return,
            }
        }
    }
}

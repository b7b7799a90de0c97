//! What answers take: their bytes while they come, and what is read of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agb_core::Secret;
use agb_core::error::{ApiError, TransportError};
use agb_core::http::{Answered, HttpResponse, MAX_RESPONSE_BYTES, Operation, counted};
use tokio::sync::Semaphore;

/// Whether so many bytes may be held: asked before more is kept, and told when it is less. Says why not.
pub(crate) type Room<'a> = &'a (dyn Fn(usize) -> Result<(), String> + Send + Sync);

/// The same for what goes on elsewhere.
pub type SharedRoom = Arc<dyn Fn(usize) -> Result<(), String> + Send + Sync>;

/// Makes one for each connection and each call that its answer is counted of. It counts until it is dropped.
pub type Rooms = Arc<dyn Fn() -> SharedRoom + Send + Sync>;

/// So many answers are read at once, each on a thread: a small machine reads no more at once anyway.
static TURNS: Semaphore = Semaphore::const_new(2);

/// A body that is collected. It counts what its memory has room for, and while it grows what is copied.
pub(crate) struct Collected<'a> {
    bytes: Vec<u8>,
    /// What the service says that it will be, where it is below what is taken at all.
    expected: Option<usize>,
    room: Room<'a>,
}

impl<'a> Collected<'a> {
    /// Of so many bytes at once: of an announced length that does not come nothing more is held.
    const LEAST: usize = 16 << 10;

    pub(crate) fn new(expected: Option<u64>, room: Room<'a>) -> Self {
        let expected = expected.and_then(|length| usize::try_from(length).ok());
        Self { bytes: Vec::new(), expected: expected.filter(|length| *length <= MAX_RESPONSE_BYTES), room }
    }

    /// Takes a part.
    pub(crate) fn push(&mut self, part: &[u8]) -> Result<(), String> {
        let (length, before) = (self.bytes.len() + part.len(), self.bytes.capacity());
        if length > MAX_RESPONSE_BYTES {
            return Err(format!("the answer is longer than {MAX_RESPONSE_BYTES} bytes"));
        }
        if length > before {
            let doubled = (2 * before).max(Self::LEAST).min(self.expected.unwrap_or(MAX_RESPONSE_BYTES));
            let capacity = doubled.max(length);
            (self.room)(before + capacity)?;
            self.bytes.reserve_exact(capacity - self.bytes.len());
            (self.room)(capacity)?;
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    /// All of it.
    pub(crate) fn whole(mut self) -> Result<Vec<u8>, String> {
        self.bytes.shrink_to_fit();
        (self.room)(self.bytes.len())?;
        Ok(self.bytes)
    }
}

/// Reads an answer on a thread of its own, as far as there is room for it.
pub(crate) async fn read_apart<O>(
    operation: Arc<O>,
    response: HttpResponse,
    key: Secret,
    room: SharedRoom,
) -> Result<Answered<O::Output>, ApiError>
where
    O: Operation + Send + Sync + 'static,
    O::Output: Send + 'static,
{
    let lost = |reason: String| ApiError::from(TransportError::Interrupted { reason });
    let turn = TURNS.acquire().await.expect("nobody closes it");
    let read = move || {
        let _turn = turn;
        let (held, made) = (response.body.len(), Arc::new(AtomicUsize::new(0)));
        let (asked, noted) = (Arc::clone(&room), Arc::clone(&made));
        let ask = move |trees: usize| {
            noted.store(trees, Ordering::Relaxed);
            asked(held.saturating_add(trees))
        };
        let read = counted(&*operation, &response, &key, ask)?;
        drop(response);
        // What was read is a part of the trees at most.
        room(made.load(Ordering::Relaxed))?;
        Ok(read)
    };
    let read = tokio::task::spawn_blocking(read).await;
    let read: Result<_, String> = read.unwrap_or_else(|_| Err("reading the answer broke off by a defect".to_owned()));
    read.map_err(lost)?
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_body_counts_what_its_memory_takes() {
        for expected in [None, Some(100_000), Some(u64::MAX), Some(10)] {
            let told = Mutex::new((0, 0));
            let room = |bytes: usize| {
                let mut told = told.lock().expect("nobody broke off");
                *told = (told.0.max(bytes), bytes);
                Ok(())
            };
            let mut body = Collected::new(expected, &room);
            for _ in 0..100 {
                body.push(&[b'x'; 1000]).expect("there is room");
                let (most, now) = *told.lock().expect("nobody broke off");
                assert!(now >= body.bytes.capacity() && most >= now, "{expected:?}: {now}");
            }
            assert_eq!(body.whole().expect("there is room").len(), 100_000);
            let (most, now) = *told.lock().expect("nobody broke off");
            assert_eq!(now, 100_000, "{expected:?}");
            assert!(most <= 200_000 + 65_536, "{expected:?}: {most}");
        }
    }

    #[test]
    fn nothing_is_kept_that_has_no_room() {
        let room = |bytes: usize| if bytes <= 100_000 { Ok(()) } else { Err("no room".to_owned()) };
        let mut body = Collected::new(None, &room);
        let mut pushed = 0;
        let refused = loop {
            match body.push(&[b'x'; 1000]) {
                Ok(()) => pushed += 1000,
                Err(reason) => break reason,
            }
        };
        assert_eq!((refused.as_str(), body.bytes.len()), ("no room", pushed));
        assert!(pushed >= 30_000 && body.bytes.capacity() <= 100_000);
        let all = |_: usize| Ok(());
        let mut endless = Collected::new(None, &all);
        assert!(endless.push(&vec![b'x'; MAX_RESPONSE_BYTES + 1]).is_err_and(|reason| reason.contains("longer")));
    }
}

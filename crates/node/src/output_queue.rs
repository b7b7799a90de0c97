//! What lies between a run's task on the I/O thread and its `take()` on the JavaScript thread.
//!
//! Invariants:
//! * It holds little more than [`OutputQueue::FULL`]; beyond that the task does not pull, so that the core holds back the
//!   socket or the service, and the program in the end.
//! * JavaScript is woken when there is something, and not again before `take` has found nothing.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::js_batch::JsBatch;

/// The bounded queue of one run.
#[derive(Debug, Default)]
pub(crate) struct OutputQueue {
    state: Mutex<State>,
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    js_batches: VecDeque<JsBatch>,
    weight: usize,
    /// A wake is on its way, or was called, and JavaScript has not found the queue empty since.
    woken: bool,
    /// The wake was called.
    called: bool,
    /// Nobody will take any more.
    closed: bool,
}

/// The reader is gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl OutputQueue {
    /// As much as JavaScript takes in some milliseconds: it never waits for the I/O thread, and a stopped reader costs
    /// little.
    const FULL: usize = 1 << 20;

    /// Puts a `JsBatch` in. When there is no more to put in, [`wants_wake`](Self::wants_wake) is to be asked.
    pub(crate) fn put(&self, js_batch: JsBatch) {
        let mut state = self.lock();
        state.weight += js_batch.memory_size();
        state.js_batches.push_back(js_batch);
    }

    /// Whether JavaScript is to be woken, which then is on its way.
    pub(crate) fn wants_wake(&self) -> bool {
        let mut state = self.lock();
        !state.js_batches.is_empty() && !std::mem::replace(&mut state.woken, true)
    }

    /// Whether the wake that was on its way is to be called now: JavaScript may have looked by itself meanwhile.
    pub(crate) fn arrive(&self) -> bool {
        let mut state = self.lock();
        !state.js_batches.is_empty() && !std::mem::replace(&mut state.called, true)
    }

    /// Whether there is nothing to take.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().js_batches.is_empty()
    }

    /// Whether there is room.
    pub(crate) fn has_room(&self) -> bool {
        self.lock().weight < Self::FULL
    }

    /// Waits until there is room.
    ///
    /// # Errors
    /// [`Closed`] when nobody will read any more.
    pub(crate) async fn room(&self) -> Result<(), Closed> {
        loop {
            {
                let state = self.lock();
                if state.closed {
                    return Err(Closed);
                }
                if state.weight < Self::FULL {
                    return Ok(());
                }
            }
            self.room.notified().await; // one task waits here, and a notification is kept until it does
        }
    }

    /// Waits until nobody will read any more.
    pub(crate) async fn closed(&self) {
        while !self.lock().closed {
            self.room.notified().await;
        }
    }

    /// Takes the next `JsBatch` out. `None`: JavaScript will be woken.
    pub(crate) fn take(&self) -> Option<JsBatch> {
        let mut state = self.lock();
        let Some(js_batch) = state.js_batches.pop_front() else {
            state.woken = false;
            state.called = false;
            return None;
        };
        let before = state.weight;
        state.weight -= js_batch.memory_size();
        let has_room = before >= Self::FULL && state.weight < Self::FULL;
        drop(state);
        if has_room {
            self.room.notify_one();
        }
        Some(js_batch)
    }

    /// Nobody will take any more.
    pub(crate) fn close(&self) {
        let js_batches = {
            let mut state = self.lock();
            state.closed = true;
            state.weight = 0;
            std::mem::take(&mut state.js_batches)
        };
        drop(js_batches); // outside of the lock
        self.room.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // every state of it is a whole one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::js_batch::Text;

    fn of(bytes: usize) -> JsBatch {
        JsBatch { text: Text::Own("x".repeat(bytes)), ..JsBatch::end() }
    }

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }

    fn put(queue: &OutputQueue, js_batch: JsBatch) -> bool {
        queue.put(js_batch);
        queue.wants_wake()
    }

    #[test]
    fn wakes_once_until_it_was_found_empty() {
        let queue = OutputQueue::default();
        assert!(put(&queue, of(1)));
        assert!(!put(&queue, of(2)));
        assert_eq!(queue.take(), Some(of(1)));
        assert!(!put(&queue, of(3)));
        assert_eq!((queue.take(), queue.take(), queue.take()), (Some(of(2)), Some(of(3)), None));
        assert!(put(&queue, of(4)));
    }

    #[test]
    fn nothing_to_take_is_nothing_to_wake_for() {
        let queue = OutputQueue::default();
        queue.put(of(1));
        assert_eq!(queue.take(), Some(of(1)), "JavaScript was there by itself");
        assert!(!queue.wants_wake());
    }

    #[test]
    fn a_late_wake_is_not_called_for_nothing_and_not_twice() {
        let queue = OutputQueue::default();
        assert!(put(&queue, of(1)));
        assert_eq!((queue.take(), queue.take()), (Some(of(1)), None));
        assert!(!queue.arrive());
        assert!(put(&queue, of(2)) && queue.arrive());
        assert!(!queue.arrive());
        assert_eq!((queue.take(), queue.take()), (Some(of(2)), None));
        // Two on their way, one call.
        assert!(put(&queue, of(3)));
        assert_eq!((queue.take(), queue.take()), (Some(of(3)), None));
        assert!(put(&queue, of(4)));
        assert_eq!((queue.arrive(), queue.arrive()), (true, false));
    }

    #[test]
    fn a_full_pipe_waits_for_its_reader() {
        let queue = OutputQueue::default();
        for _ in 0..32 {
            assert_eq!(now(queue.room()), Some(Ok(())));
            queue.put(of(32 * 1024));
        }
        assert_eq!(now(queue.room()), None);
        queue.take();
        assert_eq!(now(queue.room()), Some(Ok(())));
    }

    #[test]
    fn a_closed_pipe_says_so() {
        let queue = OutputQueue::default();
        queue.put(of(2 << 20));
        assert_eq!(now(queue.room()), None);
        assert_eq!(now(queue.closed()), None);
        queue.close();
        assert_eq!(now(queue.closed()), Some(()));
        assert_eq!(now(queue.room()), Some(Err(Closed)));
        assert_eq!(queue.take(), None);
    }
}

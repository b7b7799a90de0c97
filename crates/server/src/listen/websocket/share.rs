//! How much one connection does before others go on.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::yield_now;

/// What a connection has taken of the runtime's time since it let others go on.
///
/// The runtime counts reads, of which one brings eighty small messages: without this, two hundred connections that send
/// them without pause keep everybody else waiting for a second.
#[derive(Default)]
pub(super) struct Share {
    messages: u32,
    time: Duration,
}

impl Share {
    /// Messages in one turn. 16: some 100 microseconds of the smallest ones.
    const MESSAGES: u32 = 16;
    /// Time in one turn, for those that cost more.
    const TIME: Duration = Duration::from_millis(1);

    /// Does what a message wants, and lets the others go on when it is their turn ([`rest`]).
    pub(super) async fn spend<T>(&mut self, session: &Mutex<()>, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = work.await;
        if self.is_used_up(began.elapsed()) {
            rest(session).await;
        }
        done
    }

    /// One more message has taken so long; whether it is the others' turn.
    fn is_used_up(&mut self, took: Duration) -> bool {
        self.messages += 1;
        self.time += took;
        let is_used_up = self.messages >= Self::MESSAGES || self.time >= Self::TIME;
        if is_used_up {
            *self = Self::default();
        }
        is_used_up
    }
}

/// Lets everybody else go on. The connections of one session go on one after the other, each time that everybody has: many
/// of them have no more of the runtime's time than one.
pub(super) async fn rest(session: &Mutex<()>) {
    let _turn = session.lock().await;
    yield_now().await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_connections_of_a_session_have_the_time_of_one() {
        let (session, turns) = (Arc::new(Mutex::new(())), Arc::new(AtomicUsize::new(0)));
        let connections: Vec<_> = (0..100)
            .map(|_| {
                let (session, turns) = (Arc::clone(&session), Arc::clone(&turns));
                tokio::spawn(async move {
                    loop {
                        rest(&session).await;
                        turns.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for _ in 0..50 {
            yield_now().await;
        }
        // As many as it is everybody's turn, give or take the order in which they are polled.
        let turns = turns.load(Ordering::Relaxed);
        assert!((10..=100).contains(&turns), "{turns} turns in 50 rounds");
        connections.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[test]
    fn it_is_the_others_turn_after_some_messages_or_long_ones() {
        let mut share = Share::default();
        let mut turns = |took: Duration| (0..64).filter(|_| share.is_used_up(took)).count();
        assert_eq!(turns(Duration::ZERO), 4);
        assert_eq!(turns(Duration::from_micros(250)), 16);
        assert_eq!(turns(Duration::from_secs(1)), 64);
    }
}

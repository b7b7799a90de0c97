//! Why a run cannot be shown from a place.

use thiserror::Error;

/// Why a run cannot be shown from there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum NoReplay {
    #[error("the run was started without `resume`: it cannot be watched again")]
    NotKept,
    #[error(
        "the events up to {acked} were acknowledged and are forgotten: resume with an afterSeq of at least {acked}"
    )]
    Forgotten { acked: u64 },
    #[error("the run has {last} events so far: resume with an afterSeq of at most {last}")]
    Ahead { last: u64 },
    #[error(
        "what followed event {after} is kept no longer; the oldest that is kept is {oldest}: watch from afterSeq 0"
    )]
    Missed { after: u64, oldest: u64 },
    #[error("the run is over, and nothing of it is kept any more: there is nothing to watch")]
    Over,
    #[error("{most} others watch already: wait until one has gone, or have the server allow more (--max-watchers)")]
    AddressFull { most: usize },
}

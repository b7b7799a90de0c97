//! How much of a run's output is kept.

use agb_protocol::Stream;

/// The room for the log of one run: a limit per stream, in whatever units the client counts its texts in. A log has no
/// hole: behind the first cut of a stream nothing more of it is kept.
#[derive(Clone, Copy, Debug)]
pub struct LogBudget {
    limit: usize,
    stdout: Account,
    stderr: Account,
}

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    kept: usize,
    is_cut: bool,
}

impl Account {
    const fn takes(&self, length: usize, limit: usize) -> bool {
        length == 0 || (!self.is_cut && length <= limit.saturating_sub(self.kept))
    }
}

impl LogBudget {
    /// Units per stream that are kept unless the caller says otherwise: what a person will ever read and a small machine
    /// can hold, for many runs at once.
    pub const DEFAULT: usize = 16 << 20;
    /// Behind so many chunks adjacent ones of a stream are joined: each costs its mark, and there is no limit to how
    /// small they are.
    pub const CHUNKS: usize = 1 << 20;

    /// Room for so many units of each stream.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        let empty = Account { kept: 0, is_cut: false };
        Self { limit, stdout: empty, stderr: empty }
    }

    /// Whether something was left out.
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        self.stdout.is_cut || self.stderr.is_cut
    }

    /// Takes so much of both streams, if all of it finds room: then it need not be looked at chunk by chunk.
    pub const fn take_all(&mut self, stdout: usize, stderr: usize) -> bool {
        let fits = self.stdout.takes(stdout, self.limit) && self.stderr.takes(stderr, self.limit);
        if fits {
            self.stdout.kept += stdout;
            self.stderr.kept += stderr;
        }
        fits
    }

    /// How much of a chunk of this length is kept. `whole` gives the most that ends with a whole character.
    pub fn take(&mut self, stream: Stream, length: usize, whole: impl FnOnce(usize) -> usize) -> usize {
        let limit = self.limit;
        let account = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        if account.takes(length, limit) {
            account.kept += length;
            return length;
        }
        let room = if account.is_cut { 0 } else { whole(limit.saturating_sub(account.kept)) };
        account.is_cut = true;
        account.kept += room;
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_no_hole() {
        let mut budget = LogBudget::new(10);
        assert!(budget.take_all(6, 10));
        assert!(!budget.take_all(5, 0) && !budget.is_truncated(), "nothing of it was taken");
        assert_eq!(budget.take(Stream::Stdout, 5, |room| room - 1), 3);
        assert!(budget.is_truncated());
        assert_eq!(budget.take(Stream::Stdout, 1, |room| room), 0, "though there is room");
        assert!(!budget.take_all(1, 0) && budget.take_all(0, 0));
        assert_eq!(budget.take(Stream::Stderr, 0, |room| room), 0);
    }

    #[test]
    fn each_stream_has_its_own_room() {
        let mut budget = LogBudget::new(4);
        assert_eq!(budget.take(Stream::Stdout, 9, |room| room), 4);
        assert_eq!(budget.take(Stream::Stderr, 4, |room| room), 4);
        let mut nothing = LogBudget::new(0);
        assert_eq!((nothing.take(Stream::Stderr, 1, |room| room), nothing.is_truncated()), (0, true));
    }
}

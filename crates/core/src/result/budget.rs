//! How much of a run's results is kept.

use std::borrow::Cow;

use super::RichResult;

/// The room for the results of one run, which a program that shows pictures in a loop would else fill memory with.
#[derive(Clone, Copy, Debug)]
pub struct ResultBudget {
    limit: usize,
    left: usize,
    notes: usize,
}

impl ResultBudget {
    /// Bytes for all results of a run unless the caller says otherwise. 64 MiB: four of the largest messages that the
    /// local server sends, dozens of full-screen pictures, and a page survives it.
    pub const DEFAULT: usize = 64 << 20;

    /// What a result takes besides its text, so that empty ones cannot be kept without end either.
    const OVERHEAD: usize = 256;
    /// So many results that found no room are told of by a text in their place.
    const NOTES: usize = 100;

    /// Room for so many bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, left: limit, notes: 0 }
    }

    /// What is kept of the next result: itself where it fits, else a text that says what it was and how large. Behind a
    /// hundred of such texts nothing.
    pub fn keep<'a>(&mut self, result: &'a RichResult) -> Option<Cow<'a, RichResult>> {
        let size = result.memory_size() + Self::OVERHEAD;
        if size <= self.left {
            self.left -= size;
            return Some(Cow::Borrowed(result));
        }
        self.notes = self.notes.saturating_add(1);
        let note = || {
            let (types, size, limit) = (result.types().join(", "), result.memory_size(), self.limit);
            let more = if self.notes == Self::NOTES { "; more is left out without a word" } else { "" };
            let text = format!("[left out: {types} of {size} bytes; {limit} bytes are kept of a run's results{more}]");
            Cow::Owned(RichResult::plain(text, result.is_main))
        };
        (self.notes <= Self::NOTES).then(note)
    }

    /// Whether a result was not kept whole.
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        self.notes > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_kept_and_the_rest_is_told_of() {
        let mut budget = ResultBudget::new(1000);
        let picture = RichResult {
            text: Some("<Figure>".to_owned()),
            png: Some("x".repeat(500)),
            is_main: true,
            ..RichResult::default()
        };
        assert_eq!(budget.keep(&picture).as_deref(), Some(&picture));
        assert!(!budget.is_truncated());
        let note = budget.keep(&picture).expect("a note").into_owned();
        let text = "[left out: text/plain, image/png of 508 bytes; 1000 bytes are kept of a run's results]";
        assert_eq!(note, RichResult::plain(text, true));
        assert!(budget.is_truncated());
        let small = RichResult::plain("x", false);
        assert!(matches!(budget.keep(&RichResult::plain("fits no more", false)), Some(Cow::Owned(_))));
        let kept = (0..1000).filter_map(|_| budget.keep(&small)).map(Cow::into_owned).collect::<Vec<_>>();
        assert_eq!(kept.len(), 98);
        assert!(kept[97].text.as_deref().is_some_and(|text| text.contains("without a word")));
    }

    #[test]
    fn results_that_came_at_once_are_limited_too() {
        let mut execution = super::super::Execution {
            results: vec![RichResult::plain("a", false), RichResult::plain("b".repeat(500), true)],
            ..Default::default()
        };
        execution.limit_results(ResultBudget::DEFAULT);
        assert!(!execution.truncated);
        execution.limit_results(400);
        assert_eq!(execution.results[0], RichResult::plain("a", false));
        assert!(execution.truncated && execution.main_result().is_some_and(|main| main.memory_size() < 120));
    }
}

//! What a client remembers of a run while it streams, for the run's result.

use std::borrow::Cow;

use super::{Execution, ResultBudget, RichResult};
use crate::batch::{Batch, Stamp};
use crate::run::{RemoteError, RunEnd, RunError, StreamEvent};

/// Results within a budget, the error, the interruptions and the end of one run. `R` is what a client shows as a result.
#[derive(Debug)]
pub struct RunRecorder<R> {
    results: Vec<R>,
    budget: ResultBudget,
    error: Option<RemoteError>,
    interruptions: u32,
    execution_time: Option<f64>,
    end: Option<RunEnd>,
    end_stamp: Stamp,
}

impl<R> RunRecorder<R> {
    /// Keeps so many bytes of results.
    #[must_use]
    pub fn new(result_limit: usize) -> Self {
        Self {
            results: Vec::new(),
            budget: ResultBudget::new(result_limit),
            error: None,
            interruptions: 0,
            execution_time: None,
            end: None,
            end_stamp: Stamp::default(),
        }
    }

    /// Takes the end out of a batch. `true`: it had one.
    pub fn take_end(&mut self, batch: &mut Batch) -> bool {
        let Some(end) = batch.take_end() else { return false };
        self.end = Some(end);
        self.end_stamp = batch.end_stamp();
        self.interruptions = batch.interruptions();
        self.execution_time = batch.execution_time();
        true
    }

    /// Takes note of an event. `show` makes what is kept of a result: itself, or a text in its place.
    pub fn note(&mut self, event: &StreamEvent, show: impl FnOnce(Cow<'_, RichResult>) -> R) {
        match event {
            StreamEvent::Result(result) => self.results.extend(self.budget.keep(result).map(show)),
            StreamEvent::Error(error) => self.error = Some(error.clone()),
            _ => {}
        }
    }

    /// How the run ended; `None` before its end.
    #[must_use]
    pub const fn end(&self) -> Option<&RunEnd> {
        self.end.as_ref()
    }

    /// Number and time of the end.
    #[must_use]
    pub const fn end_stamp(&self) -> Stamp {
        self.end_stamp
    }

    /// What the run came to, and its results; before its end, that of a cancelled one. Results and logs are the caller's
    /// to add.
    pub fn conclude(&mut self, invocation: String, is_log_cut: bool) -> (Execution, Vec<R>) {
        let cancelled = Err(RunError::Cancelled { state_lost: false });
        let end = self.end.as_ref().unwrap_or(&cancelled);
        let mut execution = Execution::from_stream(invocation, Vec::new(), self.error.as_ref(), end);
        execution.truncated = is_log_cut || self.budget.is_truncated();
        execution.interruptions = self.interruptions;
        if let Some(time) = self.execution_time {
            execution.execution_time = time;
        }
        (execution, std::mem::take(&mut self.results))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disconnect_reason::DisconnectReason;

    #[test]
    fn the_result_has_what_came_before_an_end_without_the_service() {
        let mut recorder = RunRecorder::new(10);
        for text in ["1", "a result beyond the budget"] {
            let event = StreamEvent::Result(RichResult::plain(text, true));
            recorder.note(&event, |kept| kept.into_owned());
        }
        let lost = RunError::Interrupted(DisconnectReason::Broken("cut".into()));
        let mut batch = Batch::of_end(Err(lost.clone()));
        assert!(recorder.take_end(&mut batch) && !recorder.take_end(&mut batch));
        let end = recorder.end().expect("it was taken").clone();
        assert_eq!(end, Err(lost));
        let (execution, results) = recorder.conclude("i".into(), false);
        assert_eq!((execution.interruptions, execution.truncated, results.len()), (1, true, 2));
        assert_eq!(execution.error_code(), Some("INTERRUPTED"));
    }
}

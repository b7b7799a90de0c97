//! The result of a run that streamed: put together from its events and its end. And the way back, for a run that did not.

use std::convert::Infallible;

use super::{Execution, Logs, RichResult, RunFailure};
use crate::batch::{Batch, Stamp, Stream, Unread};
use crate::run::{Finish, RemoteError, RunEnd, RunError, StreamEvent};

impl Execution {
    /// What a streamed run came to (wire protocol, "The result a caller gets"): it failed when an `error` event came,
    /// when the end says so or names an error, and when there was no end. The logs and the interruptions are the caller's
    /// to add.
    #[must_use]
    pub fn from_stream(
        request_id: String,
        results: Vec<RichResult>,
        error: Option<&RemoteError>,
        end: &RunEnd,
    ) -> Self {
        let mut execution = Self { request_id, results, error: error.map(RemoteError::to_failure), ..Self::default() };
        let (failed, reason, words) = match end {
            Ok(finish) => {
                execution.execution_count = finish.execution_count;
                execution.execution_time = finish.execution_time.unwrap_or_default();
                let words = finish.execution_error.clone();
                if execution.error.is_none() {
                    execution.error = words.as_deref().map(RunFailure::from_text);
                }
                execution.state_lost = finish.state_lost;
                execution.exit_code = finish.exit_code;
                execution.killed_by.clone_from(&finish.killed_by);
                (finish.failed, finish.reason, words)
            }
            Err(end) => {
                let failure =
                    RunFailure { name: end.name().to_owned(), value: end.to_string(), traceback: String::new() };
                // What a cancelled program raises is the interrupt itself.
                if execution.error.is_none() || matches!(end, RunError::Cancelled { .. }) {
                    execution.error = Some(failure);
                }
                execution.state_lost = matches!(end, RunError::Cancelled { state_lost: true });
                (true, Some(end.status()), Some(end.to_string()))
            }
        };
        execution.conclude(failed, reason, words);
        execution
    }

    /// The answer of a plain call as a stream: what was printed, in as many batches as a stream would have, the values,
    /// the error, the end. [`from_stream`](Self::from_stream) makes the same result of it; request id and `truncated` are
    /// the caller's to keep. The order between standard output and standard error is not known.
    ///
    /// `stamps` as for [`Session::keep_stamps`](crate::Session::keep_stamps): events are counted from 1.
    pub fn into_stream(self, stamps: bool) -> impl Iterator<Item = Batch> {
        let mut unread = Unread::default();
        if stamps {
            unread.keep_stamps();
        }
        let mut seq = 0;
        let mut stamp = || {
            seq += 1;
            Stamp { seq, ..Stamp::default() }
        };
        let Logs { stdout, stderr } = self.logs;
        let chunks = stdout.into_iter().map(|chunk| (Stream::Stdout, chunk));
        for (stream, chunk) in chunks.chain(stderr.into_iter().map(|chunk| (Stream::Stderr, chunk))) {
            let Ok(_) = unread.push_chunk(stream, |text| {
                text.push_str(&chunk);
                Ok::<_, Infallible>(())
            });
            unread.stamp(0, stamp());
        }
        let error = self.error.map(|failure| RemoteError {
            code: failure.name.clone(),
            message: failure.value.clone(),
            trace_id: String::new(),
            failure: Some(failure),
        });
        for event in self.results.into_iter().map(StreamEvent::Result).chain(error.map(StreamEvent::Error)) {
            unread.push_event(event);
            unread.stamp(0, stamp());
        }
        let finish = Finish {
            failed: !self.success,
            execution_count: self.execution_count,
            execution_time: Some(self.execution_time),
            execution_error: Some(self.error_message).filter(|words| !words.is_empty()),
            reason: Some(self.status),
            exit_code: self.exit_code,
            killed_by: self.killed_by,
            state_lost: self.state_lost,
            unconfirmed: false,
        };
        unread.push_end(Ok(finish), stamp(), 0, None);
        std::iter::from_fn(move || unread.pop())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Piece;
    use crate::result::{KilledBy, RunStatus};

    fn of(error: Option<&RemoteError>, end: &RunEnd) -> Execution {
        Execution::from_stream("i".into(), Vec::new(), error, end)
    }

    fn raised() -> RemoteError {
        RemoteError { code: "ValueError".into(), message: "no".into(), ..RemoteError::default() }
    }

    #[test]
    fn a_clean_end_is_success() {
        let end = Finish { execution_count: Some(3), execution_time: Some(0.5), ..Finish::default() };
        let execution = of(None, &Ok(end));
        assert!(execution.success && execution.error_message.is_empty() && execution.error.is_none());
        assert_eq!((execution.execution_count, execution.execution_time), (Some(3), 0.5));
    }

    #[test]
    fn the_status_is_the_services_word_where_it_has_one() {
        let end = |reason, failed| Ok(Finish { reason, failed, ..Finish::default() });
        for (error, end, status) in [
            (None, end(None, false), RunStatus::Finished),
            (None, end(None, true), RunStatus::Failed),
            (Some(raised()), end(None, false), RunStatus::Failed),
            (Some(raised()), end(Some(RunStatus::Finished), false), RunStatus::Failed),
            (Some(raised()), end(Some(RunStatus::Timeout), true), RunStatus::Timeout),
            (None, end(Some(RunStatus::Killed), false), RunStatus::Killed),
            (None, end(Some(RunStatus::Interrupted), true), RunStatus::Interrupted),
            (None, Err(RunError::Cancelled { state_lost: true }), RunStatus::Cancelled),
            (None, Err(RunError::Interrupted(crate::DisconnectReason::Broken("x".into()))), RunStatus::Interrupted),
            (None, Err(RunError::Unreachable(crate::DisconnectReason::Broken("x".into()))), RunStatus::Failed),
        ] {
            let execution = of(error.as_ref(), &end);
            assert_eq!(execution.status, status, "{end:?}");
            assert_eq!(execution.success, status == RunStatus::Finished);
            assert_eq!(execution.success, execution.error_message.is_empty());
        }
    }

    #[test]
    fn what_became_of_the_interpreter_is_told() {
        let killed_by = KilledBy { signal: Some("SIGSEGV".into()), ..KilledBy::default() };
        let finish = Finish { failed: true, state_lost: true, killed_by: Some(killed_by.clone()), ..Finish::default() };
        let execution = of(None, &Ok(finish));
        assert_eq!((execution.state_lost, execution.killed_by), (true, Some(killed_by)));
        assert!(of(None, &Err(RunError::Cancelled { state_lost: true })).state_lost);
    }

    #[test]
    fn the_answer_of_a_plain_call_comes_to_the_same_as_a_stream() {
        for answer in [
            r#"{"stdout":["a\n","grün"],"stderr":["e"],"result":[{"text/plain":"2","isMainResult":true}],"execution_count":3,"execution_time":0.5}"#,
            r#"{"stdout":[],"stderr":[],"result":[],"executionError":"Traceback (most recent call last):\nValueError: no"}"#,
        ] {
            let mut whole = Execution::from_answer("r".into(), &[answer], false);
            let (mut logs, mut results, mut error, mut end, mut seqs) = (Logs::default(), vec![], None, None, vec![]);
            for mut batch in whole.clone().into_stream(true) {
                assert!(end.is_none(), "the end is last");
                for piece in batch.pieces() {
                    match piece {
                        Piece::Chunk(Stream::Stdout, text) => logs.stdout.push(text.to_owned()),
                        Piece::Chunk(Stream::Stderr, text) => logs.stderr.push(text.to_owned()),
                        Piece::Event(StreamEvent::Result(result)) => results.push(result.clone()),
                        Piece::Event(StreamEvent::Error(raised)) => error = Some(raised.clone()),
                        Piece::Event(other) => panic!("{other:?}"),
                    }
                }
                seqs.extend(batch.stamps().iter().map(|stamp| stamp.seq));
                seqs.extend(batch.end().map(|_| batch.end_stamp().seq));
                end = batch.take_end();
            }
            let mut streamed = Execution::from_stream("r".into(), results, error.as_ref(), &end.expect("an end"));
            streamed.logs = logs;
            assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{seqs:?}");
            whole.error_message.clone_from(&streamed.error_message); // the summary, not the traceback again
            assert_eq!(streamed, whole);
        }
    }

    #[test]
    fn much_output_of_a_plain_call_comes_in_many_batches() {
        let mut whole = Execution { success: true, ..Execution::default() };
        whole.logs.stdout = vec!["x".repeat(1_000); 1_000];
        let batches: Vec<Batch> = whole.into_stream(false).collect();
        assert!(batches.len() > 20 && batches.iter().all(|batch| batch.text().len() < 40_000), "{}", batches.len());
        assert_eq!(batches.iter().map(|batch| batch.text().len()).sum::<usize>(), 1_000_000);
        assert!(batches.iter().all(|batch| batch.stamps().is_empty()));
        assert_eq!(batches.iter().position(|batch| batch.end().is_some()), Some(batches.len() - 1));
    }

    #[test]
    fn each_sign_of_failure_fails() {
        let failed = Finish { failed: true, ..Finish::default() };
        let named = Finish { execution_error: Some("NameError: x".into()), ..Finish::default() };
        for (error, end, name, message) in [
            (Some(raised()), Ok(Finish::default()), Some("ValueError"), "ValueError: no"),
            (Some(raised()), Ok(named.clone()), Some("ValueError"), "NameError: x"),
            (None, Ok(named), Some("NameError"), "NameError: x"),
            (None, Ok(failed), None, "the run failed, and the service does not say why"),
            (Some(raised()), Err(RunError::Cancelled { state_lost: false }), Some("Cancelled"), "cancelled"),
            (None, Err(RunError::Closed), Some("SessionClosed"), "the session was closed during the run"),
            (Some(raised()), Err(RunError::Closed), Some("ValueError"), "the session was closed during the run"),
        ] {
            let execution = of(error.as_ref(), &end);
            assert!(!execution.success);
            assert_eq!(execution.error.as_ref().map(|error| error.name.as_str()), name);
            assert_eq!(execution.error_message, message);
        }
    }
}

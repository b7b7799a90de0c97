//! Emptying a context, which takes the service a while.

use std::time::Duration;

use super::find::{Context, FindContext};
use super::request;
use crate::codes;
use crate::error::{ApiError, Refusal};
use crate::http::{Answered, Method, Repeat};
use crate::procedure::{Converted, Outcome, Procedure, Single, Step};

/// How far the clearing of a context is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClearState {
    /// The context.
    pub context_id: String,
    /// `clearing`, then `available`.
    pub state: String,
}

/// The state of a context that is being cleared and does not say it.
const CLEARING: &str = "clearing";
const AVAILABLE: &str = "available";

impl ClearState {
    fn of(context_id: &str, state: &str) -> Self {
        Self { context_id: context_id.to_owned(), state: if state.is_empty() { CLEARING } else { state }.to_owned() }
    }
}

json_object!(ClearState as state { "contextId": state.context_id, "state": state.state });

/// Begins to clear a context.
#[must_use]
pub fn clear_context(id: &str) -> Single<ClearState> {
    let request = request(Method::Post, "/sdk/ClearContext", Repeat::Safe, &[("id", id)]);
    let id = id.to_owned();
    Single::done(request, move || ClearState::of(&id, CLEARING))
}

/// How far it is.
#[must_use]
pub fn clear_state(id: &str) -> impl Procedure<Output = ClearState> + Send + use<> {
    let find = FindContext { id: Some(id.to_owned()), ..FindContext::default() };
    let id = id.to_owned();
    Converted::new(find.call(), move |context: Context| ClearState::of(&id, &context.state))
}

/// Clears a context and waits until it is available again.
pub struct ClearContext {
    id: String,
    interval: Duration,
    /// How many looks are left.
    looks: u64,
    current: Box<dyn Procedure<Output = ClearState> + Send>,
}

impl ClearContext {
    /// The first look is after one interval, and there are as many as fit into the time limit.
    #[must_use]
    pub fn new(id: &str, timeout: Duration, interval: Duration) -> Self {
        let looks = (timeout.as_secs_f64() / interval.as_secs_f64().max(0.001)).floor() as u64;
        Self { id: id.to_owned(), interval, looks, current: Box::new(clear_context(id)) }
    }
}

impl Procedure for ClearContext {
    type Output = ClearState;

    fn next(&mut self, last: Option<Outcome>) -> Step<ClearState> {
        match self.current.next(last) {
            Step::Done(Ok(Answered { value, request_id })) if value.state == AVAILABLE => Step::done(value, request_id),
            Step::Done(Ok(answered)) if self.looks == 0 => Step::Done(Err(ApiError::Refused(Refusal {
                code: codes::CLEARANCE_TIMED_OUT.to_owned(),
                message: ["the context ", &self.id, " is still not cleared; its state is ", &answered.value.state]
                    .concat(),
                status: 200,
                request_id: answered.request_id,
            }))),
            Step::Done(Ok(_)) => {
                self.looks -= 1;
                self.current = Box::new(clear_state(&self.id));
                Step::Wait(self.interval)
            }
            step => step,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::fixtures::line;
    use crate::operations::played::{Played, data};

    #[test]
    fn looks_after_each_interval_until_it_is_available() {
        let mut played = Played::new(ClearContext::new("c", Duration::from_secs(5), Duration::from_secs(2)));
        assert_eq!(line(&played.call()), "POST https://h/sdk/ClearContext?id=c");
        played.answer(data(json!(null)));
        assert_eq!(played.wait(), 2000);
        assert_eq!(line(&played.call()), "GET https://h/sdk/GetContext?id=c&allowCreate=false");
        played.answer(data(json!({"id": "c", "state": "clearing"})));
        assert_eq!(played.wait(), 2000);
        played.call();
        assert_eq!(played.end(data(json!({"id": "c", "state": "available"}))).unwrap().state, "available");
    }

    #[test]
    fn gives_up_after_as_many_looks_as_fit() {
        let mut played = Played::new(ClearContext::new("c", Duration::from_secs(3), Duration::from_secs(2)));
        played.call();
        played.answer(data(json!(null)));
        played.wait();
        played.call();
        assert_eq!(played.end(data(json!({"id": "c"}))).unwrap_err().code(), "CLEARANCE_TIMED_OUT");
    }

    #[test]
    fn a_state_that_is_not_said_is_clearing() {
        let mut played = Played::new(clear_state("c"));
        played.call();
        assert_eq!(played.end(data(json!({"id": "c"}))).unwrap().state, "clearing");
    }
}

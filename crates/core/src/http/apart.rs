//! Answers of a service that nobody trusts: what reading one takes is counted before, and a large one is read elsewhere.

use super::{Answered, HttpRequest, HttpResponse, Operation};
use crate::error::ApiError;
use crate::json::room;
use crate::secret::Secret;

/// An operation of whose answers only the small are read at once.
#[derive(Clone, Copy, Debug)]
pub struct Apart<'a, O>(pub &'a O);

/// An answer, as far as it is read.
#[derive(Clone, Debug)]
pub enum Reading<T> {
    /// It is read.
    Done(T),
    /// It is large, or what is quoted in it: to be read by [`counted`], away from what must not wait.
    Left(HttpResponse),
}

/// What an answer may have, and take when it is read, to be read at once.
///
/// 64 KiB, in a tree of 256 KiB: every error, and what tools answer mostly.
const SMALL: (usize, usize) = (64 << 10, 256 << 10);

impl<O: Operation> Operation for Apart<'_, O> {
    type Output = Reading<O::Output>;

    fn request(&self) -> HttpRequest {
        self.0.request()
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError> {
        self.small(response, |response| self.0.parse(response)).unwrap_or_else(|| Ok(left(response.clone())))
    }

    fn take(&self, response: HttpResponse, key: &Secret) -> Result<Answered<Self::Output>, ApiError> {
        self.small(&response, |response| self.0.answer(response, key)).unwrap_or_else(|| Ok(left(response)))
    }
}

impl<O: Operation> Apart<'_, O> {
    fn small(
        &self,
        response: &HttpResponse,
        read: impl FnOnce(&HttpResponse) -> Result<Answered<O::Output>, ApiError>,
    ) -> Option<Result<Answered<Reading<O::Output>>, ApiError>> {
        if response.body.len() > SMALL.0 {
            return None;
        }
        let room = |taken| if taken <= SMALL.1 { Ok(()) } else { Err(String::new()) };
        let outcome = room::counted(room, || read(response)).ok()?;
        Some(outcome.map(|answered| answered.map(Reading::Done)))
    }
}

fn left<T>(response: HttpResponse) -> Answered<Reading<T>> {
    let request_id = response.request_id_header.clone().unwrap_or_default();
    Answered { value: Reading::Left(response), request_id }
}

/// Reads an answer. `ask` is told how many bytes its trees will take, all of them together, before each of them is made, and
/// may refuse with a reason.
///
/// # Errors
/// That reason. The inner ones are those of the operation.
pub fn counted<O: Operation>(
    operation: &O,
    response: &HttpResponse,
    key: &Secret,
    ask: impl FnMut(usize) -> Result<(), String> + 'static,
) -> Result<Result<Answered<O::Output>, ApiError>, String> {
    room::counted(ask, || operation.answer(response, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::{GetSession, SessionData};

    fn answer(data: &str) -> HttpResponse {
        HttpResponse::new(200, Some("r-1".into()), format!(r#"{{"success":true,"data":{data}}}"#).into_bytes())
    }

    fn quoted(times: usize) -> HttpResponse {
        let data = format!(r#"{{"sessionId":"s","x":[{}0]}}"#, r#"{"":0},"#.repeat(times));
        answer(&serde_json::Value::String(data).to_string())
    }

    fn get() -> GetSession {
        GetSession { session_id: "s".into() }
    }

    #[test]
    fn a_small_answer_is_read_at_once_and_a_large_one_is_left() {
        let (get, key) = (get(), Secret::from("KEY"));
        let small = Apart(&get).take(quoted(10), &key).expect("it is a session");
        assert!(matches!(small.value, Reading::Done(SessionData { session_id, .. }) if session_id == "s"));
        let padding = answer(&format!(r#"{{"sessionId":"s","x":"{}"}}"#, "x".repeat(SMALL.0)));
        // One is large, the other one only when it is opened.
        for large in [padding, quoted(1000)] {
            for read in [Apart(&get).take(large.clone(), &key), Apart(&get).parse(&large)] {
                let Reading::Left(left) = read.expect("it is left").value else { panic!("{large:?} was read") };
                assert_eq!(left, large);
            }
            let whole = get.parse(&large).expect("it is a session");
            assert_eq!(counted(&get, &large, &key, |_| Ok(())), Ok(Ok(whole)));
        }
        let refused = HttpResponse::new(429, None, br#"{"code":"Busy","message":"later, KEY"}"#.to_vec());
        assert_eq!(Apart(&get).take(refused.clone(), &key).err(), get.answer(&refused, &key).err());
    }

    #[test]
    fn what_is_quoted_is_asked_for_before_it_is_opened() {
        let large = quoted(10_000);
        let mut most = 0;
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let told = std::sync::Arc::clone(&seen);
        let read = counted(&get(), &large, &Secret::default(), move |bytes| {
            told.lock().expect("nobody broke off").push(bytes);
            if bytes < 1 << 20 { Ok(()) } else { Err("there is no room".into()) }
        });
        assert_eq!(read.err().as_deref(), Some("there is no room"));
        for bytes in &*seen.lock().expect("nobody broke off") {
            assert!(*bytes > most);
            most = *bytes;
        }
        assert!(most > 7_000_000, "{most}: ten thousand objects were quoted");
    }
}

//! Reads a client's message: a long one off the runtime's thread, which all connections share.

use std::sync::Arc;

use agb_protocol::service::{Request, parse_request};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::budget::Budget;
use crate::tools::apart;

/// What a message asks for, of those of one session one after the other. `None`: it is not a request.
pub(super) async fn read_request(whose: &Arc<Budget>, text: Utf8Bytes) -> Option<Request> {
    // A defect while it is read is in the log already.
    apart(whose, text.len(), move || parse_request(&text).ok()).await.flatten()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[tokio::test]
    async fn a_long_message_is_read_elsewhere() {
        let message = |code: &str| {
            let data = format!(r#"{{"method":"run_code","mode":"stream","params":{{"code":"{code}"}}}}"#);
            Utf8Bytes::from(format!(r#"{{"invocationId":"1","data":{data}}}"#))
        };
        let whose = Budget::new(0);
        let mut context = Context::from_waker(Waker::noop());
        let short = pin!(read_request(&whose, message("1"))).poll(&mut context);
        assert!(matches!(short, Poll::Ready(Some(Request::Start { .. }))));
        let code = "x".repeat(16 << 20);
        let mut long = pin!(read_request(&whose, message(&code)));
        assert!(matches!(long.as_mut().poll(&mut context), Poll::Pending), "this thread is free meanwhile");
        let Some(Request::Start { start, .. }) = long.await else { panic!("it is a start") };
        assert_eq!(start.code, code);
        assert!(read_request(&whose, Utf8Bytes::from("x".repeat(64 << 10))).await.is_none());
    }
}

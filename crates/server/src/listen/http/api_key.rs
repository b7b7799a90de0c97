//! The API key of a call: where it is read, and where it is checked.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Shared;
use super::charged::charge;
use super::error::ApiError;

/// The API key that a call came with.
pub(super) fn key_of(request: &Request) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, key) = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))?;
    Some(key.trim())
}

/// The layer before the calls of a server of its own: leaves the caller with the request.
pub(super) async fn check(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    match key_of(&request) {
        None => ApiError::NoKey.into_response(),
        Some(key) => match shared.keys.find(key) {
            None => ApiError::WrongKey.into_response(),
            Some(caller) => match caller.bucket.take() {
                Ok(()) => {
                    // Contexts belong to the caller.
                    request.extensions_mut().insert(caller);
                    charge(next.run(request).await, &shared.budget).unwrap_or_else(IntoResponse::into_response)
                }
                Err(wait) => ApiError::TooOften { wait }.into_response(),
            },
        },
    }
}

//! The server's part of a WebSocket's handshake.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::error::ApiError;
use crate::listen::websocket::{self, Socket};

/// A request that may become a WebSocket.
///
/// axum says whether it may. It does not say how the WebSocket reads and writes, which is [ours](websocket::open).
pub(super) struct Handshake {
    checked: WebSocketUpgrade,
    key: HeaderValue,
    on_upgrade: OnUpgrade,
}

impl<S: Send + Sync> FromRequestParts<S> for Handshake {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let on_upgrade = parts.extensions.get::<OnUpgrade>().cloned();
        let checked = WebSocketUpgrade::from_request_parts(parts, state).await;
        let checked = checked.map_err(|rejection| ApiError::NoUpgrade(rejection.body_text()))?;
        let key = parts.headers.get(header::SEC_WEBSOCKET_KEY).cloned();
        let (Some(key), Some(on_upgrade)) = (key, on_upgrade) else {
            return Err(ApiError::NoUpgrade("only HTTP/1.1 connections become WebSockets".to_owned()));
        };
        Ok(Self { checked, key, on_upgrade })
    }
}

impl Handshake {
    /// Accepts, and serves the WebSocket in a task of its own. `protocol` is the sub-protocol, for a client that offers it;
    /// `largest` what a message may have.
    pub(super) fn accept<F>(
        self,
        protocol: &'static str,
        largest: usize,
        serve: impl FnOnce(Socket) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { checked, key, on_upgrade } = self;
        tokio::spawn(async move {
            match on_upgrade.await {
                Ok(upgraded) => serve(websocket::open(TokioIo::new(upgraded), largest).await).await,
                Err(error) => tracing::debug!(%error, "a WebSocket handshake broke off"),
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("it is base64");
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(protocol) = checked.protocols([protocol]).selected_protocol() {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol.clone());
        }
        response
    }
}

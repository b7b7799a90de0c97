//! Where clients come in: TCP, TLS, HTTP, WebSocket.

mod address_limit;
pub(crate) mod cut;
pub(crate) mod http;
pub(crate) mod listener;
mod meter;
mod paced;
pub(crate) mod tls;
pub(crate) mod websocket;

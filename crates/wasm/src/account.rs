//! Sessions of an account, and every call over HTTP. Only with the feature `account`.

mod answer;
mod client;
mod host;
mod http;
mod procedure;
mod session;
mod transfer;

pub(crate) use session::Member;

//! Sessions of an account, and every call over HTTP. Only with the feature `account`.

mod answer;
mod client;
mod host;
mod http;
mod member;
mod procedure;
mod session;
mod transfer;

pub(crate) use member::Member;

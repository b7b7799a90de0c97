//! An account and its sessions over HTTP, as JavaScript sees them. Only with the feature `account`.

mod client;
mod procedure;
mod session;
mod transfer;

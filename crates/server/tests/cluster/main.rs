//! Several `agb-server` processes on a real etcd, and what its failures and theirs may do.
//!
//! The tests that wait for a minute are run by `cargo xtask test --only cluster`.

mod deaths;
mod names;
mod outages;
mod records;
mod security;
mod support;

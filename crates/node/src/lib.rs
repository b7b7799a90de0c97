//! The Node.js addon behind the npm package `agbcloud-sdk`: the Rust client as `npm/sdk/src/binding.ts` describes it.
//!
//! It converts, and decides nothing. `binding.ts` is the contract; no other file names what is exported here.
//!
//! ```text
//! JavaScript thread (one per worker)                    I/O thread (one per process)
//!   Client, NativeSession ──── promise ─────────────────► agb-client operations ──┐
//!   NativeRun.take() ◄──── OutputQueue: batches, bounded ◄───── a task per run          │
//!        ▲                                                                        │
//!        └── wake, settled promises, log lines ◄── JsThreadQueue: one queue per JavaScript thread
//! ```
//!
//! Invariants:
//! * The JavaScript thread never waits and never parses: text arrives as ASCII or UTF-16, ready to become a string.
//! * The I/O thread never calls JavaScript; what it wants said goes through the `JsThreadQueue`, which knows when
//!   the JavaScript thread is no more.
//! * Only pending runs and pending promises keep the process alive.
//! * A panic on either side becomes an error, never a crash.

#![expect(unreachable_pub, reason = "napi takes public methods only, and this library exports nothing to Rust")]
#![cfg_attr(test, allow(dead_code, reason = "without Node nothing is registered: the tests are of the conversions"))]

mod answer;
mod client;
mod convert;
mod io;
mod js_batch;
mod js_thread_queue;
mod logger;
mod native_part;
mod objects;
mod output_queue;
mod part_buffer;
mod promise;
mod result;
mod run;
mod session;

use napi_derive::napi;

/// Version of the Rust core.
#[expect(non_upper_case_globals, reason = "napi exports a constant under its Rust name")]
#[napi]
pub const version: &str = env!("CARGO_PKG_VERSION");

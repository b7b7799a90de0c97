//! The client core in a browser: a driver of [`agb_core::Session`] over the page's own `WebSocket` and `fetch`, and the
//! conversion between the core's values and JavaScript's. Nothing in here decides anything.
//!
//! ```text
//! npm/sdk/src/browser ──► session ──► driver ──► link ──► link.js (WebSocket, fetch)
//!                         run ──► log     └──► host.js (JSON.parse of chunks)
//!                         account ──► service ──► host.js (fetch)
//! ```
//!
//! # Invariants
//! * JavaScript that is not ours (a caller's `wake`, a logger) runs when no session is borrowed; see
//!   `driver`.
//! * The text of a chunk never enters WebAssembly: it is parsed, kept and joined as the browser's own strings, and the
//!   core holds its length ([`agb_core::Session::handle_chunk`]). Copying it in and out costs two thirds more of the
//!   page's main thread at 64 KiB a chunk.
//! * One WebSocket a session, or an event stream a run; one timer a session. What a link calls is cleared before it is
//!   dropped.
//! * `host.js` is the one place here that names fields of the wire, and of those only a chunk's.
//!
//! # Two builds
//! A page that its server has let into a session streams runs and does nothing else: that is the build without features,
//! and all that such a page loads. The feature `account` adds everything over HTTP; a page that makes an `AGB` loads that
//! build instead.
//!
//! What is exported is flat and positional; `npm/sdk/src/browser/binding.ts` gives it the shape of `binding.ts`.

#![expect(unreachable_pub, reason = "wasm_bindgen exports what is pub, from wherever it is")]

#[cfg(feature = "account")]
mod account;
mod driver;
mod host;
mod link;
mod log;
mod logger;
mod object;
mod run;
#[cfg(feature = "account")]
mod service;
mod session;
mod timer;

#[cfg(target_family = "wasm")]
use talc::cell::TalcSyncCell;
#[cfg(target_family = "wasm")]
use talc::wasm::{WasmBinning, WasmGrowAndClaim};

/// 1.5 KiB with brotli smaller than the standard library's. Little is allocated here: the text of chunks stays in JavaScript.
/// Each growth is a piece of its own, which takes less code than extending the last one.
#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: TalcSyncCell<WasmGrowAndClaim, WasmBinning> = TalcSyncCell::new_wasm(WasmGrowAndClaim);

//! Everything that parses what a stranger sends, as functions that take any bytes. A panic is a defect; so is a broken
//! promise, which is why each target checks one.
//!
//! * `cargo test -p agb-fuzz`: each target with its corpus, and some thousand mutations of it. No nightly, no time to
//!   speak of, and the same inputs each time: `AGB_FUZZ_SEED` and `AGB_FUZZ_ROUNDS` change them.
//! * `RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir crates/fuzz/fuzz --sanitizer none <target> crates/fuzz/corpus/<target>
//!   -- -max_total_time=60`: with libFuzzer (`cargo install cargo-fuzz`, and a C++ compiler), for as long as you like.
//!   What it finds goes into the corpus and stays there. There is next to no `unsafe` to sanitize in what parses.
//!
//! | target | what it feeds | what must hold |
//! | --- | --- | --- |
//! | `http` | the server's routes, as a client with the key | an answer in the envelope, never a defect of ours |
//! | `request` | a client's WebSocket message | it is read the same way again when it is written anew |
//! | `frames` | a client's WebSocket frames, at the server's end, and filling for large ones | each message stays as it is, in pieces that are not large |
//! | `incoming` | a service's WebSocket messages, to a client with a run | the run ends once, with its last word |
//! | `control` | an interpreter's control channel, in pieces | pieces make no difference |
//! | `proxy` | a sandbox's way out | nobody is connected to who was not named |
//! | `allow` | rules for the way out | a rule says what it was read as, and never an address |
//! | `dotenv` | a `.env` file | names are names |
//! | `image` | the definition of an image | |
//! | `keys` | a file of API keys | an error shows nothing of it |
//! | `tar` | an archive of a folder, also with its headers' sums put right | no name and no link leads out of the folder |

mod client;
mod files;
mod frames;
mod kernel;
mod proxy;
mod server;

/// The target `http` has a server, which starts its executable anew to make sandboxes.
#[doc(hidden)]
pub use agb_sandbox::helper_before_main;

/// A target: takes any bytes, and panics when a promise is broken.
pub type Target = fn(&[u8]);

/// Every target, by its name.
pub const TARGETS: [(&str, Target); 11] = [
    ("http", server::http),
    ("request", server::request),
    ("frames", frames::frames),
    ("incoming", client::incoming),
    ("control", kernel::control),
    ("proxy", proxy::proxy),
    ("allow", proxy::allow),
    ("dotenv", files::dotenv),
    ("image", files::image),
    ("keys", files::keys),
    ("tar", files::tar),
];

/// Runs one target.
///
/// # Panics
/// When there is none of this name, or a promise is broken.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this name");
    target(bytes);
}

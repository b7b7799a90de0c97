//! A local server that speaks AGB's wire and really runs the code.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use agb_server::{Config, Server};
//!
//! agb_sandbox::main_if_helper(); // first in `main`: the server starts this executable anew, to make sandboxes
//! let server = Server::new(Config::new("a key".into()))?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! println!("http://{}", listener.local_addr()?);
//! server.serve(listener, async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//! ```text
//! HTTP ──────► listen::http ──► session::sessions ──► session ─┬─► kernel (crate agb-kernel): one interpreter process a language
//! WebSocket ─► listen::websocket ──► run ◄── cell, command ◄────┘
//! ```
//!
//! | module | what lives there | how long |
//! | --- | --- | --- |
//! | `server` | the orderly start and end | the process |
//! | `listen` | TCP connections, TLS, limits per address, HTTP, WebSockets | the process; a WebSocket as long as its client stays |
//! | `session` | all sessions; the runs of each, and its workspace once it is used | from create to release, or until idle |
//! | `workspace` | a host user, a folder, sandboxes, interpreters; the warm pool of them | from a session's first use to its end |
//! | `run` | one program's events, whatever feeds it | the program, and until its subscriber has seen the end |
//! | `cell` | a kernel's cell as what feeds a run | the program |
//! | `command` | a shell command as what feeds a run | the command; what it leaves in the background: the session |
//! | `tools` | what `callTool` calls | the call |
//! | `contexts` | files that outlive sessions | until they are deleted |
//! | `auth` | API keys, tokens, accesses, rates | the process |
//! | `cluster` | other servers that this one acts as one with, and where the session of an id is | the process |
//! | `images` | what sessions are created from | the process |
//! | `settings` | every limit with its default, reason, flag and documentation | the process |
//! | `observe` | metrics | the process |
//! | `budget` | bytes that are held for clients | the process |
//!
//! Each module imports from those below it in this list's sense only: `listen` uses `session`, which uses `cell`, which
//! uses `run` and `workspace`, which use `settings`.
//!
//! Invariants:
//! * what a client sends may be anything: it is answered or dropped, never a panic, never a hang;
//! * nothing of a call but its head is read before its credential has been checked;
//! * what is held for clients is counted ([`Limits::buffers`], [`Limits::session_buffers`]);
//! * nothing that a program prints is dropped while someone can still see it; where nobody takes it, the program
//!   waits in its own `write`, and no other run with it;
//! * keys and tokens are [`agb_protocol::Secret`]s: they are in no log and no error;
//! * the wire's field names are known to `agb_protocol` (WebSocket) and to `listen::http` only.
#![doc = include_str!("protocol.md")]

#[cfg(not(target_os = "linux"))]
compile_error!("agb-server isolates what it runs by means of Linux, and is for Linux only");

mod auth;
mod budget;
mod cell;
mod cluster;
mod command;
mod command_name;
mod contexts;
mod duration;
mod folder_stack;
mod folders;
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod images;
mod links;
mod listen;
mod lock;
mod observe;
mod random;
mod reserve;
mod run;
mod server;
mod session;
mod settings;
mod shorten;
mod time_text;
mod tools;
mod unix_time;
mod workspace;

pub use auth::keys::KeysError;
pub use cluster::{ClusterCheck, ClusterEnd, ClusterError, Ended, EtcdUrl, KubernetesUrl, MemoryRegistry};
pub use command_name::command_name;
pub use images::{
    DefinitionError, Found, ImageReport, Images, ImagesError, Package, PrepareError, Progress, Survey, UnknownImage,
};
pub use listen::http::{InvalidOrigin, InvalidPublicUrl};
pub use listen::tls::TlsError;
pub use random::api_key;
pub use server::{ExposureError, Server, StartError};
pub use settings::{
    ApiKey, ClusterSettings, Config, ContextSettings, EXTENSIONS, InvalidLimits, Isolation, Limits, LinkSettings,
    Network, Placement, RegistryUrl, TlsFiles, UnknownNetwork, UpstreamSettings, Warm, seconds,
};
pub use workspace::sandboxes::IsolationError;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use agb_protocol::service::{Request, parse_request};
    use serde_json::{Value, json};

    const REFERENCE: &str = include_str!("protocol.md");

    /// The lines of the reference's examples.
    fn examples() -> Vec<Value> {
        let blocks = REFERENCE.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
        let lines = blocks.flat_map(str::lines);
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// The names by which messages are told apart.
    fn names(data: &Value) -> impl Iterator<Item = &str> {
        ["method", "mode", "phase", "eventType"].into_iter().filter_map(|name| data[name].as_str())
    }

    #[test]
    fn what_the_transcripts_say_is_in_the_reference() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/transcripts");
        let mut said = BTreeSet::new();
        for file in std::fs::read_dir(folder).expect("the transcripts are there").flatten() {
            if file.path().extension().is_none_or(|extension| extension != "jsonl") {
                continue;
            }
            let text = std::fs::read_to_string(file.path()).expect("a transcript");
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                let line: Value = serde_json::from_str(line).expect("a transcript is JSON");
                for side in ["client", "server"] {
                    said.extend(names(&line[side]["data"]).map(str::to_owned));
                }
            }
        }
        assert!(said.contains("resume") && said.contains("inputRequest"), "{said:?}");
        // AGB's own, and what a transcript invents so that a client has something unknown to ignore.
        let documented: BTreeSet<String> = examples().iter().flat_map(names).map(str::to_owned).collect();
        let own = ["stderr", "result", "weather"];
        let missing: Vec<_> =
            said.iter().filter(|name| !own.contains(&name.as_str()) && !documented.contains(*name)).collect();
        assert!(missing.is_empty(), "{missing:?} of the transcripts have no example in the reference");
    }

    #[test]
    fn the_reference_has_every_extension_and_its_examples_are_read() {
        for extension in crate::EXTENSIONS {
            assert!(REFERENCE.contains(&format!("\n## {extension}\n")), "{extension} has no section");
        }
        for example in examples() {
            if example["method"].is_string() {
                let frame = json!({ "invocationId": "a", "source": "SDK", "target": "t", "data": example });
                let request = parse_request(&frame.to_string()).expect("an object");
                assert!(!matches!(request, Request::Unknown { .. }), "{example}");
            }
        }
    }
}

//! What a server says once it listens: lines for a person, or one JSON line for a program.

use std::path::PathBuf;

use agb_protocol::Secret;
use agb_sandbox::Level;
use serde_json::{Value, json};

use super::out;
use super::overview::Overview;

/// A server that listens.
pub(super) struct Started {
    /// The URL for clients of this machine.
    pub(super) url: String,
    /// The key, if it was made for this start: nobody else knows it.
    pub(super) made_key: Option<Secret>,
    /// Where keys are.
    pub(super) keys_file: Option<PathBuf>,
    /// The service behind a gateway.
    pub(super) upstream: Option<String>,
    /// The environment's key is its clients', who give it to the service themselves.
    pub(super) left_key: bool,
    /// What a server has that runs programs itself.
    pub(super) overview: Option<Overview>,
}

impl Started {
    /// Says it to whoever reads standard output. The server serves meanwhile.
    pub(super) fn say(self, isolation: Level, as_json: bool) {
        if let Some(overview) = &self.overview {
            overview.log(isolation);
        }
        if as_json {
            // Once the interpreters have said their versions.
            std::thread::spawn(move || out::line(&self.to_json(isolation).to_string()));
        } else {
            self.say_in_words(isolation);
        }
    }

    fn say_in_words(self, isolation: Level) {
        if let Some(key) = self.made_key {
            out::line(&format!("agb-server made the API key {}", key.expose()));
        }
        if let Some(upstream) = self.upstream {
            let key = if self.left_key { "; AGB_API_KEY is left to its clients, whose keys are passed on" } else { "" };
            out::line(&format!("agb-server is a gateway to {upstream}{key}"));
        }
        out::line(&format!("agb-server listening on {}", self.url));
        if let Some(overview) = self.overview {
            overview.show(isolation);
        }
    }

    fn to_json(&self, isolation: Level) -> Value {
        let mut all = json!({
            "url": self.url,
            "version": env!("CARGO_PKG_VERSION"),
            "apiKeysFile": self.keys_file,
            "upstream": self.upstream,
        });
        if self.left_key {
            all["keyLeftToClients"] = json!(true);
        }
        if let Some(key) = &self.made_key {
            all["apiKey"] = json!(key.expose());
        }
        if let Some(overview) = &self.overview {
            all["isolation"] = json!(isolation.name());
            overview.add_to(&mut all);
        }
        all
    }
}

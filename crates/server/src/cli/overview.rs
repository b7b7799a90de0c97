//! What a server that starts has, in a few lines for the person at the terminal.

use std::io::{self, IsTerminal, Write};

use agb_sandbox::Level;
use agb_server::{Config, Found, ImageReport, Images, Network, command_name};
use serde_json::{Map, Value, json};

/// What a server has.
pub(super) struct Overview {
    images: Images,
    network: Network,
}

impl Overview {
    pub(super) fn new(config: &Config) -> Self {
        Self { images: config.images.clone(), network: config.network.clone() }
    }

    /// What is known without asking the interpreters, as a line of the log.
    pub(super) fn log(&self, isolation: Level) {
        tracing::info!(%isolation, network = %self.network, image = self.images.default_name(), "programs run");
    }

    /// Shows it on a terminal, once the interpreters have said their versions; the server serves meanwhile.
    pub(super) fn show(self, isolation: Level) {
        if io::stderr().is_terminal() {
            std::thread::spawn(move || {
                let text = self.text(isolation);
                let _ = io::stderr().lock().write_all(text.as_bytes()); // nobody reads it
            });
        }
    }

    /// Adds it to what a program is told.
    pub(super) fn add_to(&self, all: &mut Value) {
        all["network"] = json!(self.network.to_string());
        let survey = self.images.survey();
        let Some(image) = survey.images.first() else { return };
        all["image"] = json!(image.name);
        all["languages"] = Value::Object(Map::new());
        let mut missing = Vec::new();
        for (language, found) in &image.interpreters {
            match found {
                Found::At { version, .. } => all["languages"][language.as_str()] = json!(version),
                Found::Missing(advice) => missing.push(json!({ "name": language.as_str(), "advice": advice })),
            }
        }
        let prepare = prepare(image);
        missing.extend(image.missing_packages().iter().map(|name| json!({ "name": name, "advice": prepare })));
        all["missing"] = missing.into();
    }

    fn text(&self, isolation: Level) -> String {
        let survey = self.images.survey();
        let Some(image) = survey.images.first() else { return String::new() };
        let network = match &self.network {
            Network::None => "none; --network allow=DOMAIN opens a domain".to_owned(),
            other => other.to_string(),
        };
        let others = survey.images.len() - 1;
        let others = if others > 0 { format!("; {others} more: {} images", command_name()) } else { String::new() };
        let mut lines = vec![
            ("languages", languages(image)),
            ("image", format!("{}{others}", image.name)),
            ("packages", packages(image)),
            ("isolation", isolation_words(isolation)),
            ("network", network),
        ];
        for (language, found) in &image.interpreters {
            if let Found::Missing(advice) = found {
                lines.push(("missing", format!("{language}: {advice}")));
            }
        }
        lines.into_iter().map(|(name, text)| format!("  {name:<9}  {text}\n")).collect()
    }
}

fn languages(image: &ImageReport) -> String {
    let found = image.interpreters.iter().filter_map(|(language, found)| match found {
        Found::At { version, .. } => Some(format!("{language} {version}")),
        Found::Missing(_) => None,
    });
    let found: Vec<String> = found.collect();
    if found.is_empty() { "none".to_owned() } else { found.join(", ") }
}

fn packages(image: &ImageReport) -> String {
    let installed: Vec<String> = image
        .packages
        .iter()
        .chain(&image.modules)
        .filter_map(|package| Some(format!("{} {}", package.name, package.version.as_ref()?)))
        .collect();
    let missing = image.missing_packages();
    let prepare = prepare(image);
    match (installed.is_empty(), missing.is_empty()) {
        (false, true) => installed.join(", "),
        (true, true) => "none".to_owned(),
        (false, false) => format!("{}; missing: {}: {prepare}", installed.join(", "), missing.join(", ")),
        (true, false) => format!("none; missing: {}: {prepare}", missing.join(", ")),
    }
}

/// The command that brings the packages.
fn prepare(image: &ImageReport) -> String {
    format!("{} images prepare {}", command_name(), image.name)
}

fn isolation_words(level: Level) -> String {
    match level {
        Level::Namespaces => level.to_string(),
        Level::None => "none: programs have the rights of this server".to_owned(),
        weaker => format!("{weaker}; for a stronger one see: {} doctor", command_name()),
    }
}

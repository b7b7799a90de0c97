//! Where the log of the command line goes.

use std::io::{self, IsTerminal};

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use super::log_limit::LogLimit;
use super::log_lines::LogLines;

/// Whether what goes to standard error may have colours: it is a terminal, and `NO_COLOR` is not set.
pub(super) fn has_colours() -> bool {
    let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !is_refused
}

/// The log of a server, which `RUST_LOG` may widen.
pub(super) fn of_server(limit: &LogLimit) {
    let has_colours = has_colours();
    let lines = move || LogLines { writer: io::stderr(), has_colours };
    tracing_subscriber::registry()
        .with(filter("info"))
        .with(limit.clone())
        .with(fmt::layer().with_writer(lines).with_ansi(has_colours))
        .init();
}

/// The log of a command that is about something else: what is wrong with the machine, unless `RUST_LOG` says more.
pub(super) fn quiet() {
    let has_colours = has_colours();
    let lines = move || LogLines { writer: io::stderr(), has_colours };
    let layer = fmt::layer().with_writer(lines).with_ansi(has_colours);
    tracing_subscriber::registry().with(filter("error")).with(layer).init();
}

fn filter(default: &str) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default))
}

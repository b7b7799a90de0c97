//! The settings of links to ports of sessions. Every default has its reason beside it.

use std::ops::RangeInclusive;
use std::time::Duration;

use clap::{Args, FromArgMatches};

use crate::duration::seconds;

/// The settings of links to ports of sessions.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Links")]
pub struct LinkSettings {
    /// Gives each link a host of its own, NAME.DOMAIN, so that a page's absolute paths and cookies work.
    ///
    /// All names below the domain have to lead to this server. Without it a link is a path of the server, `/l/NAME/`.
    #[arg(long = "link-domain", value_parser = domain, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// How long a link opens its port.
    ///
    /// One hour: a page stays usable through a meeting, and a link that was seen by somebody does not for long.
    #[arg(long = "link-time", default_value = "3600", value_parser = seconds, value_name = "SECONDS")]
    pub time: Duration,
    /// Links of one session at once; more are refused (HTTP 429).
    ///
    /// 100: one for each port that links may lead to; more are a loop's mistake.
    #[arg(long = "links", default_value_t = 100, value_name = "N")]
    pub per_session: usize,
    /// Connections to ports of one session at once; more are refused (HTTP 429).
    ///
    /// 200, as from one address: a page takes six, and a link that is passed around does not take every connection of the
    /// server's.
    #[arg(long = "link-connections", default_value_t = 200, value_name = "N")]
    pub connections: usize,
    /// How long a program may take to begin its answer to a request, which it has whole.
    ///
    /// Five minutes: a development server that builds everything first, and a model that is loaded first, take some.
    #[arg(long = "link-answer-time", default_value = "300", value_parser = seconds, value_name = "SECONDS")]
    pub answer_time: Duration,
    /// The ports of a session that links may lead to.
    ///
    /// 30100-30199: those that AGB's own service takes.
    #[arg(long = "link-ports", default_value = "30100-30199", value_parser = ports, value_name = "FIRST-LAST")]
    pub ports: RangeInclusive<u16>,
}

impl Default for LinkSettings {
    /// Those of a command line that names none.
    fn default() -> Self {
        let matches = Self::augment_args(clap::Command::new("links")).get_matches_from([""; 0]);
        Self::from_arg_matches(&matches).expect("each value has a default that its own parser takes")
    }
}

fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || "give two ports, such as 30100-30199, or 1-65535 for all".to_owned();
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first @ 1..), Ok(last)) if first <= last => Ok(first..=last),
        _ => Err(wrong()),
    }
}

fn domain(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        !label.is_empty() && label.len() <= 63 && plain && !label.starts_with('-')
    };
    if text.len() <= 200 && text.split('.').all(is_label) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("give a domain without a port, such as links.example.org".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_domains_are_checked() {
        assert_eq!(LinkSettings::default().ports, 30100..=30199);
        assert_eq!(ports("1-65535"), Ok(1..=65535));
        for bad in ["", "80", "0-10", "10-9", "1-65536", "a-b"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
        assert_eq!(domain("Links.Example.org").as_deref(), Ok("links.example.org"));
        for bad in ["", ".", "a..b", "a b", "http://x", "x:80", "-a"] {
            assert!(domain(bad).is_err(), "{bad}");
        }
    }
}

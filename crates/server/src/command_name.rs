//! What a person types to start this program.

use std::env;

/// How a person starts this program, for messages that say what to run: `agb-server`, or what the environment variable
/// `AGB_COMMAND_NAME` says, as set by packages that bring the program under another name, such as `npx agbcloud-local`.
#[must_use]
pub fn command_name() -> String {
    const DEFAULT: &str = "agb-server";
    let is_plain = |name: &String| !name.trim().is_empty() && !name.chars().any(char::is_control);
    env::var("AGB_COMMAND_NAME").ok().filter(is_plain).unwrap_or_else(|| DEFAULT.to_owned())
}

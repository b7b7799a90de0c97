//! The command `agb-server completions`: what a shell needs to complete this command line.

use clap::{Args, Command};
use clap_complete::Shell;

use super::out;

/// Prints a completion script, for example: agb-server completions bash > ~/.local/share/bash-completion/completions/agb-server
#[derive(Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, mut command: Command) {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        out::print(&String::from_utf8_lossy(&script));
    }
}

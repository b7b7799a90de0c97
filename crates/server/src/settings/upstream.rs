//! The settings of a gateway. Every default has its reason beside it.

use std::path::PathBuf;

use clap::Args;

/// The settings of a gateway: a server that runs no program itself.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Gateway")]
pub struct UpstreamSettings {
    /// Runs no program here: sessions are those of this AGB-compatible service, such as <https://sdk-api.agb.cloud>.
    ///
    /// What this server adds stands in front of them: access for pages, runs that survive a lost connection, watching.
    /// Its clients give the upstream's API keys, which are passed on. None: programs run on this machine.
    #[arg(long = "upstream", id = "upstream", value_name = "URL")]
    pub url: Option<String>,
    /// A file with the upstream's API key, which the gateway uses for all its clients: these give this server's own keys
    /// (--api-key, --api-keys-file) then.
    ///
    /// None: a gateway that has no key can lose none.
    #[arg(long = "upstream-key-file", requires = "upstream", value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

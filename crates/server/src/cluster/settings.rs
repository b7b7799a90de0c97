//! The settings of a cluster. Every default has its reason beside it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use agb_protocol::Secret;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, FromArgMatches, ValueEnum};

use super::etcd::EtcdUrl;
use super::kubernetes::KubernetesUrl;
use super::memory::MemoryRegistry;
use super::record::is_address;
use crate::duration::{seconds, seconds_or_none};

/// The settings of a cluster: several servers that act as one.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterSettings {
    /// Joins the servers that meet in this registry: etcd://HOST:PORT,HOST:PORT/PREFIX, etcds:// for TLS, or
    /// kubernetes://NAMESPACE/NAME.
    ///
    /// Any of them then takes any call. None: this server is alone.
    #[arg(long = "cluster", id = "cluster", value_parser = RegistryUrlParser, value_name = "URL")]
    pub registry: Option<RegistryUrl>,
    /// This server's name in the cluster, the same after a restart.
    ///
    /// Default: the host name, which is the pod's in Kubernetes. Two servers on one machine need two names.
    #[arg(long, requires = "cluster", value_name = "NAME")]
    pub node_name: Option<String>,
    /// Where the other servers reach this one, such as http://10.0.0.7:8080.
    ///
    /// Default: the address that it listens on, where that is a single one.
    #[arg(long, requires = "cluster", value_parser = address, value_name = "URL")]
    pub advertise: Option<String>,
    /// The user of the registry.
    ///
    /// None: etcd without authentication.
    #[arg(long, env = "AGB_CLUSTER_USER", value_name = "NAME")]
    pub cluster_user: Option<String>,
    /// The user's password. Prefer the environment variable: everybody who can list processes sees the command line.
    #[arg(long, env = "AGB_CLUSTER_PASSWORD", hide_env_values = true, value_parser = secret, value_name = "PASSWORD")]
    pub cluster_password: Option<Secret>,
    /// The certificate authority of the registry (PEM).
    ///
    /// Default: the public authorities; in Kubernetes the one that each pod is given.
    #[arg(long, requires = "cluster", value_name = "FILE")]
    pub cluster_ca: Option<PathBuf>,
    /// The certificate authority of the other servers (PEM), where they are reached by https.
    ///
    /// Default: the public authorities.
    #[arg(long, requires = "cluster", value_name = "FILE")]
    pub peer_ca: Option<PathBuf>,
    /// How often this server tells the registry that it lives.
    ///
    /// 2 s: a call costs a few milliseconds, and what is known of the others is never much older.
    #[arg(long, default_value = "2", value_parser = seconds, value_name = "SECONDS")]
    pub beat: Duration,
    /// How long a server may be silent, to the registry and to the others, before it is declared lost.
    ///
    /// 10 s: five beats; a pause that no healthy machine makes, and a client's patience lasts as long.
    #[arg(long, default_value = "10", value_parser = seconds, value_name = "SECONDS")]
    pub lost_after: Duration,
    /// Ends this server's sessions when the registry has not answered it for so long; 0 never does.
    ///
    /// 0: a registry that is away ends no session. Programs with `--network host` may act on the world while the cluster
    /// has given them up: for those it is worth the loss.
    #[arg(long, default_value = "0", value_parser = seconds_or_none, value_name = "SECONDS")]
    pub fence_after: Duration,
    /// Which server gets a new session: spread takes the one with the largest share of free places, pack the fullest that
    /// has one.
    ///
    /// spread: a session has the most of a machine for itself. pack empties machines, for an autoscaler to take away.
    #[arg(long, default_value = "spread", value_enum)]
    pub placement: Placement,
    /// How long sessions may go on after SIGINT or SIGTERM, before their runs are drained (`--drain`).
    ///
    /// 0: a server that is alone has nowhere to send new sessions meanwhile. In a cluster, give what your longest run takes,
    /// and give whatever kills the server as much more.
    #[arg(long, default_value = "0", value_parser = seconds_or_none, value_name = "SECONDS")]
    pub drain_sessions: Duration,
    /// How long another server may take to accept a connection.
    ///
    /// 2 s: twice what one lost packet costs.
    #[arg(long, default_value = "2", value_parser = seconds, value_name = "SECONDS")]
    pub peer_connect_time: Duration,
}

impl Default for ClusterSettings {
    /// Those of a command line that names none: no cluster.
    fn default() -> Self {
        let matches = Self::augment_args(Command::new("cluster")).get_matches_from([""; 0]);
        let given = Self::from_arg_matches(&matches).expect("each value has a default that its own parser takes");
        Self { cluster_user: None, cluster_password: None, ..given } // not from the environment
    }
}

/// What makes one server better than another for a new session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Placement {
    /// The one with the largest share of free places: a session has the most of a machine for itself.
    #[default]
    Spread,
    /// The fullest one that has a place: machines become empty, and an autoscaler can take them away.
    Pack,
}

/// Where the servers of a cluster meet.
#[derive(Clone, Debug)]
pub enum RegistryUrl {
    /// Members of etcd.
    Etcd(EtcdUrl),
    /// Lease objects of Kubernetes.
    Kubernetes(KubernetesUrl),
    /// A store in this process, for tests.
    Memory(MemoryRegistry),
}

impl FromStr for RegistryUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The text may have a password in it, which is not repeated.
        let unknown = || "give etcd://HOST:PORT/PREFIX, etcds:// for TLS, or kubernetes://NAMESPACE/NAME".to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(unknown)?;
        match scheme {
            "etcd" | "etcds" => EtcdUrl::parse(rest, scheme == "etcds").map(Self::Etcd),
            "kubernetes" => KubernetesUrl::parse(rest).map(Self::Kubernetes),
            _ => Err(unknown()),
        }
    }
}

/// Reads `--cluster`. Its errors do not repeat what was given: there may be a password in it.
#[derive(Clone)]
struct RegistryUrlParser;

impl TypedValueParser for RegistryUrlParser {
    type Value = RegistryUrl;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<RegistryUrl, clap::Error> {
        let url = value.to_str().ok_or_else(|| "it is not text".to_owned()).and_then(str::parse);
        url.map_err(|problem: String| {
            let message = format!("invalid value for '--cluster <URL>': {problem}\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

fn address(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    if is_address(text) {
        Ok(text.to_owned())
    } else {
        Err("give an http or https URL without a path, such as http://10.0.0.7:8080".to_owned())
    }
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::from(text))
}

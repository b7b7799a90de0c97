//! Open files: a session takes some, and the usual limit of 1024 is for programs that have few.

use std::io;

use agb_egress::MOST_CONNECTIONS;
use agb_server::{Limits, LinkSettings, Network};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a session with one interpreter and a connection takes, about: four pipes, three descriptors of its sandbox, its
/// folder, its event loop's, its socket.
const OF_SESSION: u64 = 10;

/// What a session whose ports are reached by links keeps ready: sockets of its network.
const OF_PORTS: u64 = 16;

/// Lets this process have as many as it may. Warns if that will not do for what it is to serve.
pub(crate) fn raise(limits: &Limits, links: &LinkSettings, network: &Network) {
    let may = match raise_to_hard_limit() {
        Ok(may) => may,
        Err(error) => return tracing::warn!(%error, "the limit of open files stays as it is"),
    };
    let needed = needed(limits, links).saturating_add(of_proxies(network)).saturating_add(of_transfers(limits));
    if may < needed {
        tracing::warn!(may, needed, "too few open files for --max-sessions and --max-connections; see `ulimit -Hn`");
    }
}

/// As many as this server may have open.
fn needed(limits: &Limits, links: &LinkSettings) -> u64 {
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let (sessions, connections) = (number(limits.max_sessions), number(limits.max_connections));
    // Each of a client's connections may go on to a program.
    let to_programs = sessions.saturating_mul(number(links.connections)).min(connections);
    sessions.saturating_mul(OF_SESSION + OF_PORTS).saturating_add(connections).saturating_add(to_programs)
}

/// What programs' connections by the proxies take: each has two ends.
fn of_proxies(network: &Network) -> u64 {
    let most = u64::try_from(2 * MOST_CONNECTIONS).unwrap_or(u64::MAX);
    if matches!(network, Network::Allow(_)) { most } else { 0 }
}

/// What transfers over signed URLs take beside their connections, each of which may carry one: a file, and the folder that it
/// is received in.
fn of_transfers(limits: &Limits) -> u64 {
    u64::try_from(limits.max_connections).unwrap_or(u64::MAX).saturating_mul(2)
}

/// Answers with the limit that holds from here on; the largest number where there is none.
fn raise_to_hard_limit() -> io::Result<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #[test]
    fn sessions_connections_and_links_are_counted() {
        let limits = super::Limits { max_sessions: 10, max_connections: 100, ..super::Limits::default() };
        let needed = |connections| {
            super::needed(&limits, &super::LinkSettings { connections, ..super::LinkSettings::default() })
        };
        assert_eq!((needed(0), needed(2), needed(1000)), (360, 380, 460));
        assert_eq!(super::of_transfers(&limits), 200);
    }

    #[test]
    fn it_is_raised_as_far_as_may_be() {
        let may = super::raise_to_hard_limit().expect("every process may do that");
        let limits = std::fs::read_to_string("/proc/self/limits").expect("there is /proc");
        let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("it is listed");
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let may = if may == u64::MAX { "unlimited".to_owned() } else { may.to_string() };
        assert_eq!(fields[3..5], [may.as_str(), may.as_str()], "{line}");
    }
}

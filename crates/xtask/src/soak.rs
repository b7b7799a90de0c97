//! `cargo xtask soak`: the long form of tests that are short among the others.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::artifacts::{self, Profile};
use crate::debian;
use crate::error::Error;
use crate::process::{self, Running};
use crate::setup;
use crate::workspace::{Purpose, Workspace};

const USAGE: &str = "usage: cargo xtask soak [--cells N | --minutes N | --cluster [--minutes N]] [--seed S]";
/// What a notebook sees in weeks: a leak of 4 KiB a cell is 8 MiB then.
const CELLS: u32 = 2000;
/// Walks of the core in one round. `cargo xtask test` makes a twentieth.
const WALKS: u64 = 100_000;
/// Runs over the lossy network in one round: ten times what `cargo xtask test` makes.
const RUST_RUNS: u64 = 800;
const NODE_RUNS: u64 = 160;
/// Sessions, and runs at once in each.
const LOAD: &str = "100,10";
/// Runs at once through one gateway: ten times what `cargo xtask test` makes.
const GATEWAY_RUNS: &str = "1000";
/// How long the servers of a cluster are disturbed, in minutes, where nothing else is said: some twenty faults.
const STORM: u32 = 5;
/// How long a program behind a reverse proxy is silent: more than twice the usual time limit of these.
const SILENT_S: &str = "150";

/// What is asked for. A run prints its seed; the same one gives the same mixture.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// One round of everything that is short among the tests.
    Everything { seed: Option<u64> },
    /// Cells in each language.
    Cells { count: u32, seed: Option<u64> },
    /// A lossy network and the core's walks, round after round, for at least so long.
    Network { time: Duration, seed: Option<u64> },
    /// Servers of a cluster that die, freeze and are cut off under runs, for so long.
    Cluster { time: Duration, seed: Option<u64> },
}

impl Plan {
    fn parse(arguments: &[&str]) -> Result<Self, Error> {
        let wrong = || Error::Usage(USAGE.to_owned());
        let (mut cells, mut minutes, mut seed) = (None, None, None);
        let is_cluster = arguments.contains(&"--cluster");
        let others: Vec<&str> = arguments.iter().copied().filter(|argument| *argument != "--cluster").collect();
        for pair in others.chunks(2) {
            match pair {
                ["--cells", count] => cells = Some(count.parse().map_err(|_| wrong())?),
                ["--minutes", count] => minutes = Some(count.parse().map_err(|_| wrong())?),
                ["--seed", number] => seed = Some(number.parse().map_err(|_| wrong())?),
                _ => return Err(wrong()),
            }
        }
        let whole = |minutes: u32| Duration::from_secs(60) * minutes;
        match (cells, minutes) {
            (None, Some(minutes @ 1..=1_000_000_u32)) if is_cluster => Ok(Self::Cluster { time: whole(minutes), seed }),
            (None, None) if is_cluster => Ok(Self::Cluster { time: whole(STORM), seed }),
            _ if is_cluster => Err(wrong()),
            (None, Some(minutes @ 1..=1_000_000_u32)) => Ok(Self::Network { time: whole(minutes), seed }),
            (Some(count), None) => Ok(Self::Cells { count, seed }),
            (None, None) => Ok(Self::Everything { seed }),
            _ => Err(wrong()),
        }
    }
}

/// Runs what is asked for, and shows what it prints.
pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<ExitCode, Error> {
    let passed = match Plan::parse(arguments)? {
        Plan::Everything { seed } => everything(workspace, seed)?,
        Plan::Cells { count, seed } => cells(workspace, count, seed)?,
        Plan::Network { time, seed } => network(workspace, time, seed)?,
        Plan::Cluster { time, seed } => cluster(workspace, time, seed)?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All of it once, also after a failure: what a night is for.
fn everything(workspace: &Workspace, seed: Option<u64>) -> Result<bool, Error> {
    let of_the_network = seed.unwrap_or_else(fresh_seed);
    println!("soak: --seed {of_the_network}");
    let mut passed = passes(walks(workspace, 0))?;
    passed &= passes(lossy(workspace, RUST_RUNS, of_the_network))?;
    passed &= passes(end_to_end(workspace, "load", "AGB_LOAD", LOAD))?;
    passed &= passes(one_hop_away(workspace))?;
    passed &= passes(end_to_end(workspace, "gateway::many_runs", "AGB_GATEWAY_RUNS", GATEWAY_RUNS))?;
    passed &= cluster(workspace, Duration::from_secs(60) * STORM, seed)?;
    passed &= node(workspace, "node/lossy", "AGB_LOSSY", &format!("{NODE_RUNS},{}", of_the_network % 1_000_000))?;
    passed &= node(workspace, "node/load", "AGB_LOAD", LOAD)?;
    setup::programs_of_debian(workspace, setup::REVERSE_PROXIES)?;
    passed &= node(workspace, "proxies/reverse-proxies", "AGB_SILENT_S", SILENT_S)?;
    passed &= cells(workspace, CELLS, seed)?;
    Ok(passed)
}

fn cells(workspace: &Workspace, count: u32, seed: Option<u64>) -> Result<bool, Error> {
    setup::node(workspace)?;
    setup::programs_of_debian(workspace, setup::R)?;
    setup::java(workspace)?;
    let mut soak = cargo_test(workspace, &["--package", "agb-kernel", "--test", "soak"]);
    soak.env("AGB_SOAK_CELLS", count.to_string());
    if let Some(seed) = seed {
        soak.env("AGB_SOAK_SEED", seed.to_string());
    }
    passes(soak)
}

/// In turns, until the time is over. Each turn has faults of its own.
fn network(workspace: &Workspace, time: Duration, seed: Option<u64>) -> Result<bool, Error> {
    let mut seed = seed.unwrap_or_else(fresh_seed);
    let began = Instant::now();
    while began.elapsed() < time {
        println!("soak: --seed {seed}");
        let first = seed.wrapping_mul(WALKS) % (u64::MAX - WALKS);
        if !passes(lossy(workspace, RUST_RUNS, seed))? || !passes(walks(workspace, first))? {
            println!("soak: failed; this turn again: cargo xtask soak --minutes 1 --seed {seed}");
            return Ok(false);
        }
        seed = seed.wrapping_add(1);
    }
    Ok(true)
}

fn fresh_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn walks(workspace: &Workspace, first: u64) -> Command {
    let mut walks = cargo_test(workspace, &["--package", "agb-core", "--lib", "session::tests::walk"]);
    walks.env("AGB_WALK_SEED", first.to_string()).env("AGB_WALK_SEEDS", WALKS.to_string());
    walks
}

fn lossy(workspace: &Workspace, runs: u64, seed: u64) -> Command {
    end_to_end(workspace, "lossy", "AGB_LOSSY", &format!("{runs},{seed}"))
}

/// Some of the end-to-end tests, as large as `variable` says.
fn end_to_end(workspace: &Workspace, tests: &str, variable: &str, value: &str) -> Command {
    let mut command = cargo_test(workspace, &["--package", "agb-tests", "--test", "it", tests]);
    command.env(variable, value);
    command
}

/// All tests of the server, with their clients at another server than the one that has the sessions.
fn one_hop_away(workspace: &Workspace) -> Command {
    let mut tests = workspace.cargo();
    tests.args(["nextest", "run", "--locked", "-p", "agb-server", "--test", "it", "--no-fail-fast"]);
    tests.env("AGB_TEST_ENTRY", "other");
    tests
}

/// Kills, restarts, freezes and cuts servers of a cluster under runs.
fn cluster(workspace: &Workspace, time: Duration, seed: Option<u64>) -> Result<bool, Error> {
    debian::for_clusters(workspace)?;
    let seed = seed.unwrap_or_else(fresh_seed);
    println!("soak: --cluster --seed {seed}");
    let mut storm = workspace.cargo();
    storm.args(["test", "--locked", "--package", "agb-server", "--test", "cluster", "storm"]);
    storm.args(["--", "--ignored", "--nocapture"]).env("AGB_STORM", format!("{},{seed}", time.as_secs()));
    passes(storm)
}

fn cargo_test(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = workspace.cargo();
    command.args(["test", "--locked"]).args(arguments).args(["--", "--nocapture"]);
    command
}

/// One file of the tests that Node runs, as large as `variable` says.
fn node(workspace: &Workspace, file: &str, variable: &str, value: &str) -> Result<bool, Error> {
    artifacts::node(workspace, Profile::Dev)?;
    let mut command = workspace.command("node", Purpose::Work);
    command.args(["--import", "tsx", "--test"]).arg(workspace.path(&format!("tests/{file}.test.ts")));
    command.current_dir(workspace.path("tests")).env(variable, value);
    passes(command)
}

fn passes(mut command: Command) -> Result<bool, Error> {
    let status = Running::start(&mut command)?.wait()?;
    process::go_on()?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_say_how_much_and_which() {
        assert_eq!(Plan::parse(&[]).unwrap(), Plan::Everything { seed: None });
        assert_eq!(Plan::parse(&["--seed", "7"]).unwrap(), Plan::Everything { seed: Some(7) });
        let cells = Plan::Cells { count: 10, seed: Some(7) };
        assert_eq!(Plan::parse(&["--seed", "7", "--cells", "10"]).unwrap(), cells);
        let network = Plan::Network { time: Duration::from_secs(300), seed: None };
        assert_eq!(Plan::parse(&["--minutes", "5"]).unwrap(), network);
        let cluster = Plan::Cluster { time: Duration::from_secs(120), seed: Some(7) };
        assert_eq!(Plan::parse(&["--cluster", "--minutes", "2", "--seed", "7"]).unwrap(), cluster);
        assert_eq!(Plan::parse(&["--minutes", "2", "--seed", "7", "--cluster"]).unwrap(), cluster);
        assert!(Plan::parse(&["--cluster", "--cells", "7"]).is_err());
        for wrong in [&["--cells"][..], &["--cells", "x"], &["--minutes", "0"], &["--minutes", "1", "--cells", "1"]] {
            assert!(Plan::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}

//! `cargo xtask soak`: the long form of tests that are short among the others.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::process::{self, Running};
use crate::setup;
use crate::workspace::Workspace;

const USAGE: &str = "usage: cargo xtask soak [--cells N] [--seed S], or cargo xtask soak --minutes N [--seed S]";

/// What is asked for. A run prints its seed; the same one gives the same mixture.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// Cells in each language. The default is what a notebook sees in weeks: a leak of 4 KiB a cell is 8 MiB then.
    Cells { count: u32, seed: Option<u64> },
    /// A lossy network, for at least so long.
    Network { time: Duration, seed: Option<u64> },
}

impl Plan {
    fn parse(arguments: &[&str]) -> Result<Self, Error> {
        let wrong = || Error::Usage(USAGE.to_owned());
        let (mut cells, mut minutes, mut seed) = (None, None, None);
        for pair in arguments.chunks(2) {
            match pair {
                ["--cells", count] => cells = Some(count.parse().map_err(|_| wrong())?),
                ["--minutes", count] => minutes = Some(count.parse().map_err(|_| wrong())?),
                ["--seed", number] => seed = Some(number.parse().map_err(|_| wrong())?),
                _ => return Err(wrong()),
            }
        }
        match (cells, minutes) {
            (None, Some(minutes @ 1..=1_000_000_u32)) => {
                Ok(Self::Network { time: Duration::from_secs(60) * minutes, seed })
            }
            (count, None) => Ok(Self::Cells { count: count.unwrap_or(2000), seed }),
            _ => Err(wrong()),
        }
    }
}

/// Runs what is asked for, and shows what it prints.
pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<ExitCode, Error> {
    match Plan::parse(arguments)? {
        Plan::Cells { count, seed } => cells(workspace, count, seed),
        Plan::Network { time, seed } => network(workspace, time, seed),
    }
}

fn cells(workspace: &Workspace, count: u32, seed: Option<u64>) -> Result<ExitCode, Error> {
    setup::node(workspace)?;
    setup::r(workspace)?;
    setup::java(workspace)?;
    let mut soak = workspace.cargo();
    soak.args(["test", "--locked", "--package", "agb-kernel", "--test", "soak", "--", "--nocapture"]);
    soak.env("AGB_SOAK_CELLS", count.to_string());
    if let Some(seed) = seed {
        soak.env("AGB_SOAK_SEED", seed.to_string());
    }
    Ok(if passes(soak)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// In turns, until the time is over: a thousand runs between the client and the server over a network that cuts, and
/// the core's random walks. Each turn has faults of its own.
fn network(workspace: &Workspace, time: Duration, seed: Option<u64>) -> Result<ExitCode, Error> {
    /// About as long as the thousand runs.
    const WALKS: u64 = 10_000;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut seed = seed.unwrap_or(since.as_secs());
    let began = Instant::now();
    while began.elapsed() < time {
        println!("soak: --seed {seed}");
        let mut lossy = workspace.cargo();
        lossy.args(["test", "--locked", "--package", "agb-tests", "--test", "it", "lossy", "--", "--nocapture"]);
        lossy.env("AGB_LOSSY", format!("1000,{seed}"));
        let mut walks = workspace.cargo();
        walks.args(["test", "--locked", "--package", "agb-core", "--lib", "session::tests::walk"]);
        let first = seed.wrapping_mul(WALKS) % (u64::MAX - WALKS);
        walks.env("AGB_SEEDS", format!("{first}..{}", first + WALKS));
        if !passes(lossy)? || !passes(walks)? {
            println!("soak: failed; this turn again: cargo xtask soak --minutes 1 --seed {seed}");
            return Ok(ExitCode::FAILURE);
        }
        seed = seed.wrapping_add(1);
    }
    Ok(ExitCode::SUCCESS)
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
        assert_eq!(Plan::parse(&[]).unwrap(), Plan::Cells { count: 2000, seed: None });
        let cells = Plan::Cells { count: 10, seed: Some(7) };
        assert_eq!(Plan::parse(&["--seed", "7", "--cells", "10"]).unwrap(), cells);
        let network = Plan::Network { time: Duration::from_secs(300), seed: None };
        assert_eq!(Plan::parse(&["--minutes", "5"]).unwrap(), network);
        for wrong in [&["--cells"][..], &["--cells", "x"], &["--minutes", "0"], &["--minutes", "1", "--cells", "1"]] {
            assert!(Plan::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}

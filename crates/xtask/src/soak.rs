//! `cargo xtask soak`: the long form of tests that are short among the others.

use std::process::ExitCode;

use crate::error::Error;
use crate::process::{self, Running};
use crate::setup;
use crate::workspace::Workspace;

const USAGE: &str = "usage: cargo xtask soak [--cells N] [--seed S]";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// Of each language. The default is what a notebook sees in weeks: a leak of 4 KiB a cell is 8 MiB then.
    cells: u32,
    /// A run prints its own; the same one gives the same mixture.
    seed: Option<u64>,
}

impl Plan {
    fn parse(arguments: &[&str]) -> Result<Self, Error> {
        let wrong = || Error::Usage(USAGE.to_owned());
        let mut plan = Self { cells: 2000, seed: None };
        for pair in arguments.chunks(2) {
            match pair {
                ["--cells", count] => plan.cells = count.parse().map_err(|_| wrong())?,
                ["--seed", seed] => plan.seed = Some(seed.parse().map_err(|_| wrong())?),
                _ => return Err(wrong()),
            }
        }
        Ok(plan)
    }
}

/// Runs the kernels' soak, and shows what it prints.
pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<ExitCode, Error> {
    let plan = Plan::parse(arguments)?;
    setup::node(workspace)?;
    setup::r(workspace)?;
    setup::java(workspace)?;
    let mut soak = workspace.cargo();
    soak.args(["test", "--locked", "--package", "agb-kernel", "--test", "soak", "--", "--nocapture"]);
    soak.env("AGB_SOAK_CELLS", plan.cells.to_string());
    if let Some(seed) = plan.seed {
        soak.env("AGB_SOAK_SEED", seed.to_string());
    }
    let status = Running::start(&mut soak)?.wait()?;
    process::go_on()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_say_how_much_and_which() {
        assert_eq!(Plan::parse(&[]).unwrap(), Plan { cells: 2000, seed: None });
        assert_eq!(Plan::parse(&["--seed", "7", "--cells", "10"]).unwrap(), Plan { cells: 10, seed: Some(7) });
        assert!(Plan::parse(&["--cells"]).is_err() && Plan::parse(&["--cells", "x"]).is_err());
        assert!(Plan::parse(&["--minutes", "5"]).is_err());
    }
}

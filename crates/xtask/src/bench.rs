//! `cargo xtask bench`: the programs in `tests/bench`, with release builds of what they measure.

use std::process::ExitCode;

use crate::artifacts;
use crate::debian;
use crate::error::Error;
use crate::job;
use crate::process::{self, Running};
use crate::setup;
use crate::wasm;
use crate::workspace::{Purpose, Workspace};

/// What can be measured, and what of the packages it takes is built.
const BENCHES: [(&str, &[&str]); 10] = [
    ("client", &["-p", "agb-testkit", "-p", "agb-node"]),
    ("cluster", &["-p", "agb-server", "-p", "agb-node"]),
    ("e2e", &["-p", "agb-server", "-p", "agb-node"]),
    ("browser", &["-p", "agb-testkit"]),
    ("hostile", &["-p", "agb-server"]),
    ("gateway", &["-p", "agb-server", "-p", "agb-node", "-p", "agb-testkit"]),
    ("kernels", &["-p", "agb-kernel", "--example", "measure"]),
    ("resume", &["-p", "agb-server", "-p", "agb-node", "-p", "agb-testkit"]),
    ("session", &["-p", "agb-server", "-p", "agb-node"]),
    ("start", &["-p", "agb-server", "-p", "agb-client", "--bin", "agb-server", "--example", "starts"]),
];

/// Measures what the first argument names; the others are for the program that measures.
pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<ExitCode, Error> {
    let known = |name: &str| BENCHES.iter().find(|(bench, _)| *bench == name);
    let Some((&name, rest)) = arguments.split_first() else {
        return Err(Error::Usage(usage()));
    };
    let Some((_, built)) = known(name) else {
        return Err(Error::Usage(usage()));
    };
    artifacts::typescript(workspace)?;
    if name == "browser" {
        wasm::bundle(workspace)?;
        setup::chromium(workspace)?;
    }
    if name == "cluster" {
        debian::unpacked(workspace, &["etcd-server"], "usr/bin/etcd")?;
    }
    if name == "kernels" || name == "start" {
        setup::programs_of_debian(workspace, setup::R)?;
        setup::java(workspace)?;
        setup::jupyter(workspace)?;
    }
    let mut build = workspace.cargo();
    build.args(["build", "--locked", "--release"]).args(*built);
    job::prepare(workspace, "build-bench", "build what is measured (release)", &mut [build])?;

    if name == "start" || name == "session" || name == "hostile" {
        setup::image(workspace, &workspace.target("release/agb-server"))?;
        setup::sandboxes(workspace);
    }
    if name == "session" {
        debian::haproxy(workspace)?;
    }

    let mut bench = workspace.command("node", Purpose::Work);
    bench.args(["--import", "tsx"]).arg(format!("bench/{name}.ts")).args(rest);
    bench.current_dir(workspace.path("tests"));
    let status = Running::start(&mut bench)?.wait()?;
    process::go_on()?;
    Ok(process::exit_code(status))
}

fn usage() -> String {
    let names = BENCHES.map(|(name, _)| name).join("|");
    format!("usage: cargo xtask bench {names} [--json] [--runs N]; see tests/bench/README.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bench_is_there() {
        let workspace = Workspace::find().unwrap();
        for (name, _) in BENCHES {
            assert!(workspace.path(&format!("tests/bench/{name}.ts")).is_file(), "{name}");
            assert!(usage().contains(name));
        }
        assert!(run(&workspace, &["speed"]).is_err() && run(&workspace, &[]).is_err());
    }
}

//! The project's commands, as `cargo xtask COMMAND`.
//!
//! Each command first installs and builds what it needs and is missing, says so, and does nothing twice
//! ([`setup`], [`artifacts`]). Every process it starts is in a process group of its own and is gone when the command
//! ends, however that happens ([`process`]). Nothing is written outside `target/`, `node_modules/`, and the folders
//! of built files beside the TypeScript sources.
//!
//! ```text
//! main ──► suite ──► tally                    what the tests said, as numbers
//!      ──► demo, pack, wasm ──► artifacts ──► setup ──► process, stamp, progress
//! ```

mod artifacts;
mod bench;
mod changelog;
mod cluster_demo;
mod compiler;
mod debian;
mod demo;
mod docs;
mod error;
mod files;
mod job;
mod machines;
mod operators;
mod pack;
mod platform;
mod portable;
mod process;
mod progress;
mod setup;
mod soak;
mod stamp;
mod suite;
mod tally;
mod wasm;
mod workspace;

use std::process::ExitCode;

use crate::artifacts::Profile;
use crate::demo::{Behind, Build};
use crate::error::Error;
use crate::workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo                          start the local server and run examples/quickstart.ts against it
  demo --cluster                start three servers that act as one, etcd and a balancer, and run the quick start through it
                                while one of them is killed
  demo --browser [--upstream] [--no-build]
                                start the local server and a page with live output, until Ctrl+C; with --upstream through
                                a gateway in front of a service that has no extension, as AGB's own; with --no-build as
                                it was built last
  demo --chat                   start the local server and a chat in which a model's code runs live, until Ctrl+C
  changelog [--version V]       print what the changelog says of this version; V must be it, and be there
  docs                          build the documentation's site into target/docs
  picture                       make the README's picture, examples/picture/picture.svg, from a real run
  test [--only NAME]...         run every test, or the steps named; the last line is `N passed, N failed`
  test --packages               what is published, as strangers use it: the packed npm packages in an empty project, in
                                bundlers, frameworks, run times and package managers; those for other platforms, in an
                                emulator; the crates, as for crates.io; the
                                documentation's site and its code; the server's packages, in a minimal
                                Debian and a container (needs root); the server behind reverse proxies
  check                         the formatter, the linters and the type checkers only
  node [--release]              build the Node addon and the npm packages' TypeScript, in place
  wasm                          build the WebAssembly and the bundle for browsers, and print its sizes
  bench client|cluster|e2e|gateway|kernels [--json]
                                measure the release builds beside others; more in tests/bench
  soak [--seed S]               the long form of what is short among the tests: walks of the core, lossy networks,
                                a thousand runs at once, thousands of cells in each language
  soak --cells N [--seed S]     the cells only, with cancels, timeouts and deaths among them
  soak --minutes N [--seed S]   the lossy network and the walks only, round after round, with new faults each
  soak --cluster [--minutes N] [--seed S]
                                servers of a cluster that die, freeze and are cut off under runs
  pack [--profile dev|release] [--repository URL] [--platform NAME|all]...
                                leave installable npm tarballs in target/npm (release, the default) or target/npm-dev;
                                they name the repository at URL, and have the programs for this machine, or for the
                                platforms named (of npm/platforms.json; each takes as long again): those and no others
                                can install them
  pack [--npm] [--deb] [--wheel] [--image] [--all] [--server PROGRAM]
                                leave the server's packages in target/packages: for Debian with a systemd unit, for pip,
                                as a container image (needs root); of PROGRAM in place of a build for an old glibc
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = process::take_charge()
        .map_err(Error::from)
        .and_then(|()| Workspace::find())
        .and_then(|workspace| run(&workspace, &arguments));
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode, Error> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["demo"] => demo::run(workspace),
        ["demo", "--cluster"] => cluster_demo::run(workspace),
        ["demo", "--chat"] => demo::chat(workspace),
        ["demo", "--browser"] => demo::browser(workspace, Behind::Nothing, Build::Now),
        ["demo", "--browser", "--no-build"] => demo::browser(workspace, Behind::Nothing, Build::Before),
        ["demo", "--browser", "--upstream"] => demo::browser(workspace, Behind::PlainService, Build::Now),
        ["demo", "--browser", "--upstream", "--no-build"] => {
            demo::browser(workspace, Behind::PlainService, Build::Before)
        }
        ["changelog"] => changelog::run(workspace, None),
        ["changelog", "--version", version] => changelog::run(workspace, Some(version)),
        ["docs"] => docs::run(workspace),
        ["picture"] => demo::picture(workspace),
        ["test", "--packages"] => suite::test(workspace, &suite::PACKAGES),
        ["test", rest @ ..] => suite::test(workspace, &only(rest)?),
        ["check"] => suite::check(workspace),
        ["node"] => artifacts::node(workspace, Profile::Dev),
        ["node", "--release"] => artifacts::node(workspace, Profile::Release),
        ["wasm"] => wasm::run(workspace),
        ["bench", rest @ ..] => bench::run(workspace, rest),
        ["soak", rest @ ..] => soak::run(workspace, rest),
        ["pack", rest @ ..] => pack::run(workspace, &pack::Options::parse(rest)?),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        [] => Err(Error::Usage(USAGE.to_owned())),
        other => Err(Error::Usage(format!("not understood: {}\n\n{USAGE}", other.join(" ")))),
    }
}

/// The names in `--only NAME`, `--only=NAME`; none means all.
fn only<'a>(arguments: &[&'a str]) -> Result<Vec<&'a str>, Error> {
    let mut names = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let name = if *argument == "--only" { rest.next().copied() } else { argument.strip_prefix("--only=") };
        names.push(name.ok_or_else(|| Error::Usage(format!("not understood: {argument}\n\n{USAGE}")))?);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::only;

    #[test]
    fn only_takes_names_in_both_forms() {
        let names = only(&["--only", "fmt", "--only=rust"]).unwrap();
        assert_eq!(names, ["fmt", "rust"]);
    }

    #[test]
    fn only_refuses_what_it_does_not_know() {
        assert!(only(&["--only"]).is_err());
        assert!(only(&["fmt"]).is_err());
    }
}

//! `cargo xtask docs`: the documentation's site, with the API reference of TypeScript and Rust, in `target/docs`.

use std::path::Path;
use std::process::ExitCode;

use crate::artifacts::{self, Profile, Scope};
use crate::error::Error;
use crate::job;
use crate::platform::Kind;
use crate::setup;
use crate::workspace::{Purpose, Workspace};

/// What somebody uses who writes Rust.
const CRATES: [&str; 4] = ["agb-client", "agb-core", "agb-protocol", "agb-server"];

/// `cargo xtask docs`.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode, Error> {
    let programs = artifacts::programs(workspace, Profile::Dev, Scope::Programs)?;
    site(workspace, programs.of(Kind::Local))?;
    println!("{}", workspace.display(&workspace.target("docs/index.html")));
    Ok(ExitCode::SUCCESS)
}

/// Builds the site. The server tells its options, and so its own documentation.
pub(crate) fn site(workspace: &Workspace, server: &Path) -> Result<(), Error> {
    artifacts::typescript(workspace)?;
    setup::docs(workspace)?;
    let mut pages = workspace.command("node", Purpose::Work);
    pages.arg("npm/docs/build.mjs").env("AGB_SERVER", server);
    let mut rust = workspace.cargo();
    rust.args(["doc", "--no-deps"]);
    for package in CRATES {
        rust.args(["--package", package]);
    }
    let mut copy = workspace.command("cp", Purpose::Work);
    copy.arg("-R").arg(workspace.target("doc")).arg(workspace.target("docs/rust"));
    job::prepare(workspace, "docs", "build the documentation's site", &mut [pages, rust, copy])
}

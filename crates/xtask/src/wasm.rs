//! `cargo xtask wasm`: the core as WebAssembly, and the bundle that a page loads.
//!
//! ```text
//! crates/wasm ─ cargo, its own std ─► wasm-bindgen ─► wasm-opt ─► npm/sdk/wasm ─ esbuild ─► npm/sdk/web
//! ```
//!
//! The standard library is compiled along (`-Z build-std`): what a panic would print is left out of it, which is a
//! third of the whole ([`crate::compiler`]). The glue is made by `crates/bindgen`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::compiler::Compiler;
use crate::error::Error;
use crate::job;
use crate::setup;
use crate::stamp::{Fingerprint, Stamp};
use crate::workspace::{Purpose, Workspace};

/// The two builds of `crates/wasm`; see its documentation.
const BUILDS: [(&str, &[&str]); 2] = [("agb", &[]), ("agb_account", &["--features", "account"])];
const TARGET: &str = "wasm32-unknown-unknown";
/// What the bundle is made from.
const SOURCES: [&str; 12] = [
    "crates/bindgen",
    "crates/core/Cargo.toml",
    "crates/core/src",
    "crates/protocol/Cargo.toml",
    "crates/protocol/src",
    "crates/wasm",
    "crates/xtask/src/wasm.rs", // how it is made
    "npm/sdk/src",
    "npm/build-browser.mjs",
    "npm/package-lock.json",
    "Cargo.lock",
    "Cargo.toml",
];

/// The most that a page may have to load that its server has let into a session, with brotli.
const BUDGET: u64 = 64 * 1024;

/// `cargo xtask wasm`.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode, Error> {
    let compiler = Compiler::with_source(workspace)?;
    println!("compiler: {}", compiler.describe());
    bundle_with(workspace, compiler)?;
    let files = sizes(workspace)?;
    println!("{:34} {:>9} {:>9} {:>9}", "npm/sdk/web", "bytes", "gzip -9", "brotli");
    for file in &files {
        println!("{:34} {:>9} {:>9} {:>9}", file.name, file.raw, file.gzip, file.brotli);
    }
    let of = |name: &str, wanted: &dyn Fn(&&Size) -> bool| Size::sum(name, files.iter().filter(wanted));
    let page = of("a page that was let into a session", &|file| !file.is_for_accounts() && !file.is_for_workers());
    let account = of("a page with an API key", &|file| file.name != "agb_bg.wasm" && !file.is_for_workers());
    let worker = of("agbcloud-sdk/worker, beside the first", &Size::is_for_workers);
    for sum in [&page, &account, &worker] {
        println!("{:34} {:>9} {:>9} {:>9}  ({:.1} KiB)", sum.name, sum.raw, sum.gzip, sum.brotli, kib(sum.brotli));
    }
    if page.brotli > BUDGET {
        let text =
            format!("the page's part has {:.1} KiB with brotli; {} are allowed", kib(page.brotli), BUDGET / 1024);
        return Err(Error::Failed(text));
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes `npm/sdk/web`, unless it is there and its sources are the same.
pub(crate) fn bundle(workspace: &Workspace) -> Result<(), Error> {
    if stamp(workspace)?.is_current() && is_complete(workspace) {
        return Ok(());
    }
    bundle_with(workspace, Compiler::with_source(workspace)?)
}

fn bundle_with(workspace: &Workspace, compiler: Compiler) -> Result<(), Error> {
    setup::npm(workspace)?;
    let stamp = stamp(workspace)?;
    if stamp.is_current() && is_complete(workspace) {
        return Ok(());
    }
    let _lock = workspace.lock()?;
    stamp.invalidate()?;
    for (name, features) in BUILDS {
        let mut commands = [compile(workspace, compiler, features), bind(workspace, name), optimise(workspace, name)];
        job::prepare(workspace, &format!("wasm-{name}"), &format!("build {name}.wasm"), &mut commands)?;
        let folder = output(workspace, name);
        let optimised = folder.join("optimised.wasm");
        let place = folder.join(format!("{name}_bg.wasm"));
        fs::rename(&optimised, &place).map_err(Error::file(&place))?;
    }
    let mut command = workspace.command("node", Purpose::Work);
    command.arg("build-browser.mjs").current_dir(workspace.path("npm"));
    job::prepare(workspace, "wasm-bundle", "bundle the browser's entry", &mut [command])?;
    stamp.set()
}

fn compile(workspace: &Workspace, compiler: Compiler, features: &[&str]) -> Command {
    let mut command = compiler.cargo(workspace);
    if compiler == Compiler::Debian {
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld");
    }
    command.args(["build", "--package", "agb-wasm", "--target", TARGET, "--profile", "wasm"]).args(features);
    command.args(["-Z", "build-std=std,panic_abort", "-Z", "build-std-features=optimize_for_size"]);
    // A panic is a defect of ours and stops the module; where it happened is for a build with names to say.
    // And a little more is inlined than "z" does by itself (5): 1 % smaller, and neither 0 nor 15 are.
    let flags = "-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none -Zfmt-debug=none \
                 -Cllvm-args=-inline-threshold=10";
    command.env("RUSTFLAGS", flags);
    // A folder of its own: nothing here is compiled as anything else is.
    command.env("CARGO_TARGET_DIR", workspace.target("wasm"));
    command
}

/// The glue, by the generator of the very version that the crate was compiled against: `Cargo.lock` names both.
fn bind(workspace: &Workspace, name: &str) -> Command {
    let mut command = workspace.cargo();
    command.args(["run", "--quiet", "--package", "agb-bindgen", "--"]);
    command.arg(workspace.target("wasm").join(TARGET).join("wasm/agb_wasm.wasm")).arg(name);
    command.arg(output(workspace, name));
    command
}

fn optimise(workspace: &Workspace, name: &str) -> Command {
    let folder = output(workspace, name);
    let mut command = workspace.command("node", Purpose::Work);
    command.arg(workspace.path("npm/node_modules/binaryen/bin/wasm-opt"));
    // Flattened first, and its loops made anew: 1 % smaller than without. What this order of passes gives was tried.
    command.args(["--gufa", "--flatten", "--rereloop", "-O2", "-Oz", "--converge", "-Oz"]);
    // The linker puts the stack first, whose last kibibyte nobody reaches: sums of a pointer and a constant are never
    // below it, and go into the instruction that loads. 0.5 %.
    command.args(["--low-memory-unused", "--optimize-added-constants-propagate"]);
    command.args(["--strip-debug", "--strip-producers", "--strip-target-features"]);
    command.arg(folder.join(format!("{name}_bg.wasm"))).arg("-o").arg(folder.join("optimised.wasm"));
    command
}

fn output(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.path("npm/sdk/wasm").join(name)
}

fn is_complete(workspace: &Workspace) -> bool {
    ["index.js", "worker.js", "agb_bg.wasm", "agb_account_bg.wasm"]
        .iter()
        .all(|file| web(workspace).join(file).is_file())
}

fn web(workspace: &Workspace) -> PathBuf {
    workspace.path("npm/sdk/web")
}

fn stamp(workspace: &Workspace) -> Result<Stamp, Error> {
    let mut fingerprint = Fingerprint::new();
    for source in SOURCES {
        add_tree(&mut fingerprint, &workspace.path(source))?;
    }
    Ok(Stamp::new(workspace, "wasm", fingerprint))
}

fn add_tree(fingerprint: &mut Fingerprint, path: &Path) -> Result<(), Error> {
    fingerprint.add(path.as_os_str().as_encoded_bytes());
    if !path.is_dir() {
        return fingerprint.add_file(path);
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(Error::file(path))? {
        entries.push(entry.map_err(Error::file(path))?.path());
    }
    entries.sort();
    entries.iter().try_for_each(|entry| add_tree(fingerprint, entry))
}

/// How large a file is, and how large on its way.
struct Size {
    name: String,
    raw: u64,
    gzip: u64,
    brotli: u64,
}

impl Size {
    fn is_for_accounts(&self) -> bool {
        self.name.contains("account")
    }

    fn is_for_workers(self: &&Self) -> bool {
        self.name.starts_with("worker")
    }

    fn sum<'a>(name: &str, sizes: impl Iterator<Item = &'a Size>) -> Self {
        let zero = Self { name: name.to_owned(), raw: 0, gzip: 0, brotli: 0 };
        sizes.fold(zero, |sum, size| Self {
            raw: sum.raw + size.raw,
            gzip: sum.gzip + size.gzip,
            brotli: sum.brotli + size.brotli,
            ..sum
        })
    }
}

/// The sizes of all files of the bundle, as Node's compressors make them.
fn sizes(workspace: &Workspace) -> Result<Vec<Size>, Error> {
    const SCRIPT: &str = "\
const fs = require('fs'), zlib = require('zlib');
for (const name of fs.readdirSync('.').filter((name) => name !== 'package.json').sort()) {
  const bytes = fs.readFileSync(name);
  console.log(name, bytes.length, zlib.gzipSync(bytes, { level: 9 }).length, zlib.brotliCompressSync(bytes).length);
}";
    let mut command = workspace.command("node", Purpose::Work);
    command.args(["-e", SCRIPT]).current_dir(web(workspace));
    let text = job::answer(command).ok_or_else(|| Error::Failed("the sizes could not be measured".to_owned()))?;
    let read = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next()?.to_owned();
        let mut number = || words.next()?.parse().ok();
        Some(Size { name, raw: number()?, gzip: number()?, brotli: number()? })
    };
    text.lines().map(read).collect::<Option<_>>().ok_or_else(|| Error::Failed(format!("not sizes: {text}")))
}

fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_sizes() {
        let size = |name: &str| Size { name: name.to_owned(), raw: 3, gzip: 2, brotli: 1 };
        let (one, other) = (size("a"), size("agb_account_bg.wasm"));
        let sum = Size::sum("all", [&one, &other].into_iter());
        assert_eq!((sum.raw, sum.gzip, sum.brotli), (6, 4, 2));
        assert!(other.is_for_accounts() && !one.is_for_accounts());
    }
}

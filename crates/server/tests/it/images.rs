//! Images: definitions, preparing, and sessions that use them. Nothing here needs a network.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use agb_server::{Images, Progress};
use serde_json::json;

use crate::support::TestServer;

/// A folder of images that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("agb-images-it-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn define(&self, name: &str, text: &str) {
        fs::write(self.0.join(format!("{name}.toml")), text).expect("a file");
    }

    fn images(&self) -> Images {
        Images::load(self.0.clone()).expect("the definitions are right")
    }

    /// Prepares an image, and gives what it told.
    fn prepare(&self, name: &str, again: bool) -> (Result<bool, String>, Vec<String>) {
        let mut told = Vec::new();
        let made = self.images().prepare(name, None, again, &mut |progress| match progress {
            Progress::Step { number, of, label } => told.push(format!("{number}/{of} {label}")),
            Progress::Warning(text) => told.push(format!("warning: {text}")),
            Progress::Detail(_) => {}
        });
        (made.map_err(|error| error.to_string()), told)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_custom_image_is_prepared_and_used() {
    let folder = Folder::new("custom");
    folder.define("mine", "aliases = ['also-mine']\n[python]\noptional = ['./not-there.whl']\n[env]\nMODE = 'tested'");
    let (made, told) = folder.prepare("also-mine", false);
    assert_eq!(made, Ok(true), "{told:#?}");
    assert_eq!(
        (told[0].as_str(), told[1].as_str()),
        ("1/3 make a virtual environment", "2/3 install ./not-there.whl, where it can be")
    );
    assert!(told[2].starts_with("warning: ") && told[2].contains("not-there.whl"), "{told:#?}");
    assert_eq!(folder.prepare("mine", false), (Ok(false), Vec::new()), "it is there already");

    let images = folder.images();
    let server = TestServer::with(|config| config.images = images).await;
    let session = server.create_with(json!({ "imageId": "also-mine" })).await;
    let code = "import os, sys\nprint(sys.prefix)\nprint(sys.prefix != sys.base_prefix, os.environ['MODE'])";
    let answer = server.run_code(&session, "python", code).await;
    let printed: Vec<String> = serde_json::from_value(answer["stdout"].clone()).expect("texts");
    let printed = printed.concat();
    let (prefix, rest) = printed.split_once('\n').expect("two lines");
    assert!(prefix.starts_with(folder.0.to_str().expect("a text")) && !prefix.contains("current"), "{prefix}");
    assert_eq!(rest, "True tested\n");
    let answer = server.run_code(&session, "js", "process.env.MODE").await;
    assert_eq!(answer["result"][0]["text/plain"], "'tested'", "{answer}");

    // Another takes its place: a session that has begun keeps its own.
    assert_eq!(folder.prepare("mine", true).0, Ok(true));
    assert_eq!(
        server.run_code(&session, "python", "import json, email; os.path.exists(sys.prefix)").await["result"][0]["text/plain"],
        "True"
    );
    let default = server.create().await;
    assert_eq!(
        server.run_code(&default, "python", "import os; 'MODE' in os.environ").await["result"][0]["text/plain"],
        "False"
    );
    server.post("/mcp/createSession", json!({ "imageId": "other" })).await.is_error(
        400,
        "InvalidImage.NotFound",
        "also-mine",
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packages_for_node_are_installed_and_found_by_require_and_import() {
    let folder = Folder::new("node");
    // Two packages from files: one for both ways of loading it, one for `import` only.
    let pack = |name: &str, exports: &str, files: &[(&str, &str)]| {
        let source = folder.0.join(name);
        fs::create_dir_all(&source).expect("a folder");
        let package = format!(r#"{{"name":"{name}","version":"1.2.3","exports":{exports},"bin":"./run.js"}}"#);
        for (file, text) in [("package.json", package.as_str()), ("run.js", "#!/usr/bin/env node\nconsole.log('ran')")]
            .iter()
            .chain(files)
        {
            fs::write(source.join(file), text).expect("a file");
        }
        format!("{name}@file:{}", source.display())
    };
    let both = r#"{"import":"./index.mjs","require":"./index.cjs"}"#;
    let tiny = pack("tiny", both, &[("index.mjs", "export default 'esm'"), ("index.cjs", "module.exports = 'cjs'")]);
    let modern = pack("modern", r#"{"import":"./index.mjs"}"#, &[("index.mjs", "export const answer = 42")]);
    folder.define("mine", &format!("[javascript]\npackages = ['{tiny}', '{modern}']"));
    assert!(folder.images().survey().to_string().contains("missing (npm)"));
    let (made, told) = folder.prepare("mine", false);
    assert_eq!(made, Ok(true), "{told:#?}");
    assert_eq!(told[1], format!("2/3 install {tiny}, {modern}"));
    let list = folder.images().survey().to_string();
    assert!(list.contains("1.2.3 (npm)") && !list.contains("missing (npm)"), "{list}");
    assert!(list.contains(&format!("{}/mine/", folder.0.display())) && list.contains("/bin/node"), "{list}");

    let images = folder.images();
    let server = TestServer::with(|config| config.images = images).await;
    let session = server.create_with(json!({ "imageId": "mine" })).await;
    let code = "import tiny from 'tiny';\nimport { answer } from 'modern';\nconsole.log(require('tiny'), tiny, answer);\n\
                require('fs').writeFileSync('mine.mjs', \"import { answer } from 'modern'; export default answer + 1\");\n\
                console.log((await import('./mine.mjs')).default);\n\
                console.log(await import('not-there').catch((error) => error.code));\n\
                console.log(require('child_process').execSync('tiny').toString().trim())";
    let answer = server.run_code(&session, "javascript", code).await;
    let printed: Vec<String> = serde_json::from_value(answer["stdout"].clone()).expect("texts");
    assert_eq!(printed.concat(), "cjs esm 42\n43\nERR_MODULE_NOT_FOUND\nran\n", "{answer:#}");
    let default = server.create().await;
    let answer = server.run_code(&default, "javascript", "require('tiny')").await;
    assert!(answer["executionError"].to_string().contains("Cannot find module"), "{answer:#}");
    server.stop().await;
}

#[test]
fn what_cannot_be_prepared_leaves_what_was_there() {
    let folder = Folder::new("broken");
    folder.define("mine", "");
    assert_eq!(folder.prepare("mine", false).0, Ok(true));
    let current = || fs::read_link(folder.0.join("mine/current")).expect("it is prepared");
    let before = current();
    folder.define("mine", "[python]\npackages = ['./not-there.whl']");
    let error = folder.prepare("mine", false).0.expect_err("there is no such file");
    assert!(error.contains("image mine could not be prepared: to install ./not-there.whl failed"), "{error}");
    assert_eq!(current(), before);
    let left: Vec<_> = fs::read_dir(folder.0.join("mine")).expect("a folder").filter_map(|entry| entry.ok()).collect();
    assert_eq!(left.len(), 3, "the environment, the link, the lock: {left:?}");
    assert!(folder.images().survey().to_string().contains("out of date"));
    assert!(folder.prepare("nobody", false).0.expect_err("no such image").contains("agb-code-space-1"));
}

#[test]
fn the_command_lists_and_prepares() {
    let folder = Folder::new("command");
    folder.define("mine", "description = 'for a test'\n[interpreters]\njava = '/not/there/java'");
    let agb = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agb-server"));
        let output = command.arg("images").args(args).arg("--image-dir").arg(&folder.0).output().expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("a text");
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    let (ok, list, _) = agb(&[]);
    assert!(ok && list.starts_with("agb-code-space-1 (default)\n"), "{list}");
    let mine = &list[list.find("\nmine\n").expect("it is listed")..];
    assert!(
        mine.contains("for a test") && mine.contains("not prepared") && mine.contains("java        missing"),
        "{mine}"
    );
    let runtime = folder.0.join("java");
    fs::write(&runtime, "#!/bin/sh\necho java.base@17.0.1\n").expect("the folder is there");
    fs::set_permissions(&runtime, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it was made above");
    folder.define("runtime", &format!("[interpreters]\njava = '{}'", runtime.display()));
    let (_, list, _) = agb(&[]);
    let java = list[list.find("\nruntime\n").expect("it is listed")..].lines().find(|line| line.contains("java  "));
    let java = java.expect("a line");
    assert!(java.contains("missing") && java.contains("apt-get install openjdk-17-jdk-headless"), "{java}");
    fs::remove_file(folder.0.join("runtime.toml")).expect("it was made above");
    let (ok, out, steps) = agb(&["prepare", "mine"]);
    assert!(ok && out == "mine is prepared; new sessions use it\n", "{out}{steps}");
    assert!(steps.contains("[1/2] make a virtual environment\n"), "{steps}");
    let (ok, out, _) = agb(&["prepare", "mine"]);
    assert!(ok && out.contains("is prepared already"), "{out}");
    let (ok, _, error) = agb(&["prepare", "other"]);
    assert!(!ok && error.contains("image \"other\" is not known") && error.contains("mine"), "{error}");
    folder.define("bad", "nonsense");
    let (ok, _, error) = agb(&[]);
    assert!(!ok && error.contains("bad.toml defines no image"), "{error}");
}

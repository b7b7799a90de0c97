//! What runs inside the interpreters, and how they are started.
//!
//! The command line holds a few lines that read the harness itself, the first frames of the control channel: so it
//! needs no file, has no limit of length, and does not fill the process list.

use std::path::Path;

use crate::launch::Launch;
use crate::scratch::Scratch;
use crate::{KernelSpec, Language, StartError, installation, java, javascript, python, r};

/// Finds out how to start a language's interpreter.
pub(crate) async fn prepare(spec: &KernelSpec) -> Result<Launch, StartError> {
    let mut launch = launch(spec).await?;
    let (language, interpreter) = (spec.language, spec.interpreter.clone());
    // An installation's files are strangers' as far as time goes: they may lie on another machine, or be held by a program.
    let look = move || {
        launch.program = installation::plain(&launch.program);
        launch.readonly.extend(installation::readable(language, &interpreter));
        launch.env.insert(0, ("PATH".to_owned(), search_path(&interpreter)));
        launch
    };
    let reason = "the server is shutting down".to_owned();
    tokio::task::spawn_blocking(look).await.map_err(|_| StartError::Prepare { language, reason })
}

async fn launch(spec: &KernelSpec) -> Result<Launch, StartError> {
    match spec.language {
        Language::Python => python::prepare(spec).await,
        Language::JavaScript => javascript::prepare(spec).await,
        Language::R => r::prepare(spec).await,
        Language::Java => java::prepare(spec).await,
    }
}

/// Where programs are looked for.
fn search_path(interpreter: &Path) -> String {
    const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let interpreter = installation::plain(interpreter);
    match interpreter.parent().and_then(|dir| dir.to_str()) {
        // The tools beside the interpreter come first: a virtual environment's `pip`, a version's `npm`.
        Some(dir) if !dir.is_empty() && !PATH.split(':').any(|known| known == dir) => format!("{dir}:{PATH}"),
        _ => PATH.to_owned(),
    }
}

/// What the program's environment has beyond what every sandbox gives: the last of a name wins.
pub(crate) fn environment(
    spec: &KernelSpec,
    own: Vec<(String, String)>,
    scratch: Option<&Scratch>,
) -> Vec<(String, String)> {
    let given = own.into_iter().chain(spec.policy.env.iter().cloned());
    let mut env: Vec<(String, String)> = Vec::new();
    for (name, value) in given.chain(scratch.map(|scratch| ("TMPDIR".to_owned(), scratch.inside()))) {
        env.retain(|(known, _)| *known != name);
        env.push((name, value));
    }
    env
}

/// Why the interpreter does not run.
pub(crate) fn failed(spec: &KernelSpec, reason: &impl std::fmt::Display) -> StartError {
    let interpreter = spec.interpreter.display().to_string();
    StartError::Spawn { language: spec.language, interpreter, reason: reason.to_string() }
}

//! Starting zygotes, and copying them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agb_sandbox::Command;
use tokio::time::Instant;

use crate::control::Control;
use crate::message::Message;
use crate::pipe::{OutputPipe, READ_SIZE};
use crate::spawn::{self, Spawned};
use crate::{Death, KernelSpec, Language, ProtocolError, StartError, Zygote, harness};

impl Zygote {
    /// Starts one for kernels of such a spec, whose sessions' directories all lie below `sessions`. Returns when it can be
    /// copied.
    ///
    /// # Errors
    /// [`StartError`]: this machine or the spec's policy has no room for one (it needs namespaces, and no network of the
    /// host's), or the interpreter does not start.
    pub async fn start(spec: &KernelSpec, sessions: &Path) -> Result<Self, StartError> {
        if spec.language != Language::Python {
            return Err(harness::failed(spec, &"only Python can be copied"));
        }
        let began = Instant::now();
        let mut launch = harness::prepare(spec).await?;
        launch.args.push("zygote".to_owned());
        let mut policy = spec.policy.clone();
        policy.env = harness::environment(spec, launch.env, None);
        policy.readonly.extend(launch.readonly.iter().cloned());
        (policy.workdir, policy.tmp) = (sessions.to_owned(), None);
        let command = Command::new(launch.program).args(launch.args);
        let spawned = spawn::nursery(Arc::clone(&spec.launcher), policy, command);
        let Spawned { child, stdout, stderr, control_in, control_out } =
            spawned.await.map_err(|error| harness::failed(spec, &error))?;
        let pipe = |file| OutputPipe::new(file).map_err(|error| harness::failed(spec, &error));
        let (stdout, stderr) = (pipe(stdout)?, pipe(stderr)?);
        let control = Control::new(control_in, control_out, spec.limits.max_control_frame);
        let mut control = control.map_err(|error| harness::failed(spec, &error))?;
        control.send(launch.harness);
        tokio::spawn(listen(stdout));
        let said = tokio::spawn(listen(stderr));
        let (language, limit) = (spec.language, spec.limits.start_timeout);
        let ready = tokio::time::timeout(limit, wait_until_ready(&mut control));
        if let Err(error) = ready.await.map_err(|_| StartError::TimedOut { language, limit })? {
            drop(child); // what it has said ends with it
            let stderr = tokio::time::timeout(LAST_WORDS, said).await.unwrap_or(Ok(String::new()));
            let stderr = stderr.unwrap_or_default();
            return Err(StartError::Died { language, death: Death::Protocol(error), stderr });
        }
        let ready = began.elapsed();
        tracing::info!(pid = child.id(), ?ready, interpreter = %spec.interpreter.display(), "a zygote is ready");
        Ok(Self { nursery: child, readonly: launch.readonly.into() })
    }

    /// Copies it into a new sandbox.
    pub(crate) async fn copy(&self, spec: &KernelSpec) -> Result<Spawned, spawn::Failure> {
        let mut policy = spec.policy.clone();
        policy.env = Vec::new(); // the copy has the zygote's
        policy.readonly.extend(self.readonly.iter().cloned());
        spawn::copy(Arc::clone(&spec.launcher), self.nursery.clone(), policy).await
    }
}

/// Its own end of the channel is not used after that.
async fn wait_until_ready(control: &mut Control) -> Result<(), ProtocolError> {
    let mut buffer = vec![0; READ_SIZE];
    loop {
        control.ready(true).await;
        let open = control.step(true, &mut buffer);
        match control.next()? {
            Some(Message::Ready) => return Ok(()),
            Some(_) => return Err(ProtocolError::Stray),
            None if open => {}
            None => return Err(ProtocolError::Closed),
        }
    }
}

/// How long the end of a zygote that did not become ready may take.
///
/// 5 s: it is killed, which takes milliseconds.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What a zygote prints is about itself: packages that complain when they are imported, copies that failed. Answers with
/// the last of it.
async fn listen(mut pipe: OutputPipe) -> String {
    let mut buffer = vec![0; READ_SIZE];
    let mut last = String::new();
    while pipe.is_open() {
        pipe.ready().await;
        if let Some(text) = pipe.read(&mut buffer) {
            tracing::debug!(text = text.trim_end(), "a zygote printed");
            last = text;
        }
    }
    last
}

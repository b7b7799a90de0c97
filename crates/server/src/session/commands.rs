//! Starting a command of a session that is followed as a run.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use agb_protocol::command::{StartCommand, environment_size};

use super::runs::{NotStarted, RunKind, RunRecord, Started};
use super::{NewSource, Session, lock};
use crate::command::{self, CommandHost, CommandSpec};
use crate::observe::RunMeter;
use crate::run::RunOptions;
use crate::run::event::{RunFailure, failure};
use crate::workspace::MAX_PATH;

impl Session {
    /// Starts a command as a run. Said again with the same id, for a run that can be resumed, it finds the run that there
    /// is.
    pub(crate) fn start_command(
        self: &Arc<Self>,
        id: &str,
        options: RunOptions,
        start: StartCommand,
    ) -> Result<Started, NotStarted> {
        if !self.extensions().contains(&"command") {
            let words = "the service of this session does not follow commands as runs; call its tool shell";
            return Err(failure("NotOffered", words).into());
        }
        if let Some(invalid) = start.invalid {
            return Err(failure("BadArguments", invalid).into());
        }
        if start.cwd.as_ref().is_some_and(|cwd| cwd.len() > MAX_PATH) {
            return Err(failure("BadArguments", format!("cwd must be a path of at most {MAX_PATH} bytes")).into());
        }
        let mut hasher = DefaultHasher::new();
        (&start.command, &start.cwd, &start.envs, start.terminal, start.detached).hash(&mut hasher);
        let program = hasher.finish();
        if let Some(found) = lock(&self.runs).find(id, program, options)? {
            return Ok(Started::Before(found));
        }
        let timeout = self.command_timeout(start.timeout_ms)?;
        let held = start.command.len() + start.cwd.as_ref().map_or(0, String::len) + environment_size(&start.envs);
        let activity = self.begin_run(held)?;
        let kind = RunKind::Command { detached: start.detached, terminal: start.terminal.is_some() };
        let record = RunRecord::new(kind, &start.command);
        let source = match self.upstream() {
            Some(upstream) => self.command_there(upstream, start),
            None => self.command_here(start, timeout)?,
        };
        self.start_run(id, options, (program, record), activity, source)
    }

    /// A command of this session's own workspace.
    fn command_here(&self, start: StartCommand, timeout: Duration) -> Result<NewSource, RunFailure> {
        let host = self.command_host()?;
        let spec = CommandSpec {
            command: start.command,
            cwd: start.cwd,
            envs: start.envs,
            timeout,
            stdin: start.stdin,
            terminal: start.terminal,
        };
        let meter = RunMeter::of_command(Arc::clone(&self.metrics));
        let spool = self.spool(host.workspace.folder().root());
        let start = move |feed| command::start(host, spec, feed, meter);
        Ok(NewSource { spool, start: Box::new(start) })
    }

    /// What a command has of this session.
    pub(crate) fn command_host(&self) -> Result<CommandHost, RunFailure> {
        let (config, image, options) = (Arc::clone(&self.config), self.image.clone(), self.options.clone());
        Ok(CommandHost { workspace: self.workspace()?, config, image, options })
    }

    /// Time for a command, as it asked for: what the server lets run at most when it does not say.
    fn command_timeout(&self, asked: Option<f64>) -> Result<Duration, RunFailure> {
        let most = self.config.limits.max_run_timeout;
        let Some(millis) = asked else { return Ok(most) };
        Duration::try_from_secs_f64(millis / 1000.0)
            .ok()
            .filter(|timeout| !timeout.is_zero() && *timeout <= most)
            .ok_or_else(|| {
                let most = most.as_millis();
                let words = format!("a timeout of {millis} ms cannot be had: give more than 0 and at most {most} ms");
                failure("InvalidTimeout", words)
            })
    }
}

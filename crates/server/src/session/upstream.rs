//! A gateway's session: its programs run elsewhere.

use std::sync::Arc;
use std::time::Duration;

use agb_protocol::Language;
use agb_protocol::command::StartCommand;
use agb_protocol::service::StartRun;

use super::{NewSource, Session, lock};
use crate::gateway::{Program, Upstream};
use crate::observe::RunMeter;
use crate::run::RunOptions;
use crate::settings::EXTENSIONS;

impl Session {
    /// Where its programs run, if not here.
    pub(crate) fn upstream(&self) -> Option<Upstream> {
        Some(lock(self.upstream.as_ref()?).clone())
    }

    /// The upstream described the session anew: its token may be another.
    pub(crate) fn take_up(&self, again: Upstream) {
        if let Some(upstream) = &self.upstream {
            let mut upstream = lock(upstream);
            if !upstream.is_like(&again) {
                again.count(&self.budget);
                *upstream = again;
            }
        }
    }

    /// What the server does beyond part 1 of the wire for it.
    pub(crate) fn extensions(&self) -> &'static [&'static str] {
        let own = if self.config.plain_wire { &[] } else { EXTENSIONS };
        self.upstream().map_or(own, |upstream| upstream.extensions())
    }

    /// A run of the upstream's.
    pub(super) fn source_there(
        &self,
        upstream: Upstream,
        language: Language,
        options: RunOptions,
        start: StartRun,
    ) -> NewSource {
        // A time limit that is none was refused before.
        let timeout = start.timeout_s.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let program = Program::Code { code: start.code, language, timeout, stdin: options.stdin };
        self.source_of(upstream, program, self.meter(language))
    }

    /// A command of the upstream's.
    pub(super) fn command_there(&self, upstream: Upstream, start: StartCommand) -> NewSource {
        self.source_of(upstream, Program::Command(start), RunMeter::of_command(Arc::clone(&self.metrics)))
    }

    fn source_of(&self, upstream: Upstream, program: Program, meter: RunMeter) -> NewSource {
        let start = move |feed| upstream.start(program, feed, meter);
        NewSource { spool: self.spool(self.pool.folder()), start: Box::new(start) }
    }
}

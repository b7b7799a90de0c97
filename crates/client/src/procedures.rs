//! Carries out the core's [procedures](agb_core::procedure): sends their calls and waits where they say so.

use agb_core::by_name::{Scope, by_name};
use agb_core::http::Answered;
use agb_core::operations::{CommandOutput, GetLink, RunCommand, SessionMetrics, Toolbox};
use agb_core::procedure::{Procedure, Step};
use serde_json::Value;

use crate::agb::Agb;
use crate::api::{Api, api_outcome};
use crate::command::Commands;
use crate::error::Error;
use crate::files::Files;
use crate::session::Session;
use crate::{contexts, random};

impl Api {
    pub(crate) async fn perform<P: Procedure>(&self, mut procedure: P) -> Result<Answered<P::Output>, Error> {
        let mut last = None;
        loop {
            last = match procedure.next(last) {
                Step::Call(call) => Some(api_outcome(self.call(&*call).await)?),
                Step::Wait(time) => {
                    tokio::time::sleep(time).await;
                    None
                }
                Step::Done(result) => return Ok(result?),
            };
        }
    }
}

impl Agb {
    /// Contexts: files that outlive sessions.
    #[must_use]
    pub fn contexts(&self) -> contexts::Contexts<'_> {
        contexts::Contexts::new(self)
    }

    /// Carries out a procedure.
    ///
    /// # Errors
    /// What the service, the network or the procedure says.
    pub async fn perform<P: Procedure>(&self, procedure: P) -> Result<Answered<P::Output>, Error> {
        self.api().perform(procedure).await
    }

    /// Carries out the procedure of a name, with JSON arguments; see [`by_name`]. For bindings of other languages.
    ///
    /// # Errors
    /// [`Error::Arguments`], and those of [`perform`](Self::perform).
    pub async fn invoke(&self, name: &str, arguments: &str) -> Result<Answered<Value>, Error> {
        self.perform(by_name(name, arguments, Scope::Account)?).await
    }
}

impl Session {
    /// Runs a shell command, each in a shell of its own. A command that fails is an answer: see
    /// [`CommandOutput::success`].
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn execute(&self, command: RunCommand) -> Result<CommandOutput, Error> {
        Ok(self.perform(|toolbox| command.on(toolbox)).await?.value)
    }

    /// Its commands, followed as runs.
    #[must_use]
    pub fn commands(&self) -> Commands<'_> {
        Commands::new(self)
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> Files<'_> {
        Files::new(self)
    }

    /// The contexts that it was created with.
    #[must_use]
    pub fn contexts(&self) -> contexts::SessionContexts<'_> {
        contexts::SessionContexts::new(self)
    }

    /// What it uses.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn metrics(&self) -> Result<SessionMetrics, Error> {
        Ok(self.perform(SessionMetrics::of).await?.value)
    }

    /// A URL at which a port of it can be reached.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn link(&self, protocol: Option<String>, port: Option<u16>) -> Result<String, Error> {
        Ok(self.call(&GetLink { session_id: self.id().to_owned(), protocol, port }).await?.value)
    }

    /// Carries out a procedure that calls its tools.
    ///
    /// # Errors
    /// What the service, the network or the procedure says.
    pub async fn perform<P: Procedure>(
        &self,
        make: impl FnOnce(&Toolbox<'_>) -> P,
    ) -> Result<Answered<P::Output>, Error> {
        let id = random::id();
        let procedure = make(&self.toolbox(&id));
        self.api().perform(procedure).await
    }

    /// Carries out the procedure of a name, with JSON arguments; see [`by_name`]. For bindings of other languages.
    ///
    /// # Errors
    /// [`Error::Arguments`], and those of [`perform`](Self::perform).
    pub async fn invoke(&self, name: &str, arguments: &str) -> Result<Answered<Value>, Error> {
        let id = random::id();
        let procedure = by_name(name, arguments, Scope::Session(self.toolbox(&id)))?;
        self.api().perform(procedure).await
    }

    fn toolbox<'a>(&'a self, id: &'a str) -> Toolbox<'a> {
        Toolbox { session: self.data(), is_guest: self.api().is_guest(), id }
    }
}

//! What a command has of its session: the workspace, the image and its variables.

use std::sync::Arc;

use agb_sandbox::{Command, Policy};

use super::env::CommandEnv;
use super::error::CommandError;
use super::place::{Cwd, working_directory};
use crate::images::Image;
use crate::settings::Config;
use crate::workspace::{ProgramOptions, Workspace};

/// What a command has of its session.
#[derive(Clone, Debug)]
pub(crate) struct CommandHost {
    pub(crate) workspace: Arc<Workspace>,
    pub(crate) config: Arc<Config>,
    pub(crate) image: Image,
    /// What the session's programs are given beyond those of other sessions.
    pub(crate) options: ProgramOptions,
}

impl CommandHost {
    /// What a command may do and what it finds. Looks at files.
    pub(super) fn prepare(
        &self,
        command: &str,
        cwd: Option<&str>,
        envs: Vec<(String, String)>,
    ) -> Result<(Policy, Command), CommandError> {
        let command = match working_directory(&self.workspace, cwd)? {
            Cwd::Below(dir) => Command::new("/bin/sh").args(["-c", command]).in_dir(dir),
            Cwd::At(path) => {
                let path = path.to_string_lossy();
                Command::new("/bin/sh").args(["-c", "cd -- \"$0\" && exec /bin/sh -c \"$1\"", path.as_ref(), command])
            }
        };
        let own = self.options.over(self.image.env());
        let CommandEnv { env, readonly, links } = CommandEnv::new(&self.config, &self.image, own, envs);
        let mut policy = self.workspace.policy(env, readonly);
        policy.links = links;
        self.workspace.check_background().map_err(CommandError::Background)?;
        Ok((policy, command.keep_background().share_processes().even_when_full()))
    }
}

//! The command `agb-server sessions`: the sessions of a server, and what their programs and commands printed.

use std::io::{self, Write};

use agb_client::agb_core::operations::AccessScope;
use agb_client::{Agb, CommandInfo, Error, ListSessions, ProgramInfo, Run, RunEvent, SessionData};
use clap::{Args, Subcommand};
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::out;
use super::remote::Remote;

/// Lists, ends and reads sessions of a server that runs.
#[derive(Args)]
pub(crate) struct SessionsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the sessions with their labels.
    Ls {
        #[command(flatten)]
        remote: Remote,
        /// Print the list as JSON.
        #[arg(long)]
        json: bool,
    },
    /// End sessions with everything that runs in them.
    Kill {
        #[command(flatten)]
        remote: Remote,
        /// The sessions' ids.
        #[arg(required = true)]
        sessions: Vec<String>,
    },
    /// Show what the programs and commands of a session printed, as far as the server keeps it. Takes nothing from their
    /// readers.
    Logs {
        #[command(flatten)]
        remote: Remote,
        /// The session's id.
        session: String,
        /// Only this run, a program's or a command's, by its id. One that goes on is followed to its end.
        run: Option<String>,
    },
}

impl SessionsCommand {
    pub(super) fn run(self) -> Result<(), String> {
        match self.action {
            Action::Ls { remote, json } => {
                let agb = remote.agb()?;
                let sessions = remote.block_on(list(&agb))?;
                if sessions.is_empty() {
                    // Not among the list, which may be read by a program.
                    eprintln!("this key has no sessions on the server");
                }
                out::print(&if json { format!("{:#}\n", to_json(&sessions)) } else { to_table(&sessions) });
                Ok(())
            }
            Action::Kill { remote, sessions } => {
                let agb = remote.agb()?;
                remote.block_on(async {
                    for id in &sessions {
                        // A session that is not there is an error here, where somebody has typed its name.
                        agb.get(id.as_str()).await?.delete().await?;
                        out::line(&format!("{id} is released"));
                    }
                    Ok(())
                })
            }
            Action::Logs { remote, session, run } => {
                let agb = remote.agb()?;
                remote.block_on(logs(&agb, &session, run.as_deref()))
            }
        }
    }
}

/// A session as it is listed.
struct Listed {
    id: String,
    status: String,
    labels: Vec<(String, String)>,
}

async fn list(agb: &Agb) -> Result<Vec<Listed>, Error> {
    const PAGE: u32 = 100; // the most that the service gives
    let mut all = Vec::new();
    let mut page = ListSessions { max_results: Some(PAGE), ..ListSessions::default() };
    loop {
        let answer = agb.list(&page).await?;
        for listing in answer.sessions {
            let id = listing.session_id;
            let mut data = SessionData::default();
            data.session_id.clone_from(&id);
            let session = agb.session(data);
            // It may have ended since.
            let labels = session.labels().await.unwrap_or_default();
            all.push(Listed { id, status: listing.status, labels });
        }
        match answer.next_token {
            Some(token) => page.next_token = Some(token),
            None => return Ok(all),
        }
    }
}

fn to_json(sessions: &[Listed]) -> Value {
    let labels = |labels: &[(String, String)]| -> Value {
        labels
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    sessions.iter().map(|it| json!({ "sessionId": it.id, "status": it.status, "labels": labels(&it.labels) })).collect()
}

fn to_table(sessions: &[Listed]) -> String {
    let width = sessions.iter().map(|session| session.id.len()).max().unwrap_or(0);
    let line = |session: &Listed| {
        let labels: Vec<String> = session.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        plain(format!("{:width$}  {:<8}  {}", session.id, session.status, labels.join(" ")).trim_end()) + "\n"
    };
    sessions.iter().map(line).collect()
}

/// One line that moves no terminal: names come from strangers.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

async fn logs(agb: &Agb, session: &str, run: Option<&str>) -> Result<(), Error> {
    let session = agb.get(session).await?;
    // With the right to read it is an observer, beside whoever follows the run.
    let access = session.grant_access(AccessScope::Read, None, None).await?.value;
    let observer = Agb::attach(access);
    if let Some(run) = run {
        return show(observer.code().attach(run, 0).stream()?).await;
    }
    let mut runs: Vec<Listing> = session.code().list().await?.into_iter().map(Listing::from).collect();
    // Another service behind a gateway may have programs only.
    if session.data().extensions.iter().any(|name| name == "command") {
        runs.extend(session.commands().list().await?.into_iter().map(Listing::from));
    }
    if runs.is_empty() {
        eprintln!("the session has no runs that are kept");
    }
    runs.sort_by_key(|run| run.started_at);
    for run in runs {
        eprintln!("{}", plain(&run.heading));
        if !run.goes_on {
            show(observer.code().attach(run.id, 0).stream()?).await?;
        }
    }
    Ok(())
}

/// A program or command, as its log is headed.
struct Listing {
    id: String,
    started_at: u64,
    goes_on: bool,
    heading: String,
}

impl Listing {
    /// `end` follows the status: what else there is to say of it; `kind` comes before it.
    fn new(id: String, started_at: u64, (kind, status, end): (&str, &str, &str), text: &str) -> Self {
        let goes_on = status == "running";
        let follow = if goes_on { "; follow it by its id" } else { "" };
        // A line is enough to know it by.
        let mut lines = text.trim().lines();
        let first = lines.next().unwrap_or_default();
        let more = if lines.next().is_some() { " …" } else { "" };
        let heading = format!("== {id}: {first}{more} ({kind}{status}{end}{follow})");
        Self { id, started_at, goes_on, heading }
    }
}

impl From<ProgramInfo> for Listing {
    fn from(ProgramInfo { id, code, language, status, started_at }: ProgramInfo) -> Self {
        Self::new(id, started_at, (&format!("{language}, "), &status, ""), &code)
    }
}

impl From<CommandInfo> for Listing {
    fn from(command: CommandInfo) -> Self {
        let end = match (&command.exit_code, &command.signal) {
            (_, Some(signal)) => format!(" by {signal}"),
            (Some(code), None) => format!(" with {code}"),
            (None, None) => String::new(),
        };
        Self::new(command.id, command.started_at, ("", &command.status, &end), &command.command)
    }
}

async fn show(mut run: Run) -> Result<(), Error> {
    while let Some(event) = run.next().await {
        match event {
            RunEvent::Stdout(text) => out::print(&text),
            RunEvent::Stderr(text) => drop(io::stderr().lock().write_all(text.as_bytes())),
            RunEvent::OutputDropped(bytes) => eprintln!("== {bytes} bytes were not kept"),
            _ => {}
        }
    }
    let end = run.finish().await;
    if !end.success {
        eprintln!("== {}", plain(&end.error_message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_runs_is_followed_by_its_id() {
        let program = |status: &str| ProgramInfo {
            id: "a-run".to_owned(),
            code: "one\ntwo".to_owned(),
            language: "python".to_owned(),
            status: status.to_owned(),
            started_at: 5,
        };
        let listing = Listing::from(program("running"));
        assert!(listing.goes_on);
        assert_eq!(listing.heading, "== a-run: one … (python, running; follow it by its id)");
        assert!(!Listing::from(program("finished")).goes_on);
    }
}

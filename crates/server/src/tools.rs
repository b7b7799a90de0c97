//! The tools of a session: what `callTool` calls.
//!
//! Each call is one request and one answer. What goes wrong within a tool (no such file, a program that raised) is an
//! answer as well, marked as an error; only an unknown tool is a wrong call.

mod answer;
mod apart;
mod args;
mod changes;
mod desktop;
mod difference;
mod edit_files;
mod error;
mod list_runs;
mod metrics;
mod read_files;
mod run_code;
mod search_files;
mod shell;

use std::sync::{Arc, LazyLock};

use agb_protocol::DEFAULT_TARGET;
use agb_protocol::fields::Fields;
use serde_json::{Map, Value, json};
use thiserror::Error;

pub(crate) use self::answer::ToolAnswer;
pub(crate) use self::apart::apart;
use self::args::Args;
pub(crate) use self::error::{CallError, ToolError};
use crate::budget::Charge;
use crate::session::{ListedRun, Session};
use crate::workspace::ActAs;

/// A tool of a session.
#[derive(Debug)]
pub(crate) struct Tool {
    name: &'static str,
    description: &'static str,
    server: &'static str,
    /// Name, JSON type, description; a name that begins with `?` is optional.
    parameters: &'static [(&'static str, &'static str, &'static str)],
}

/// A tool that this server does not have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum UnknownTool {
    /// It is not known, said together with those that are.
    #[error("tool {0:?} is not known to this server; known tools are {known}", known = names())]
    Name(String),
    /// It is known, and needs a desktop.
    #[error(
        "tool {0:?} needs a desktop, which code spaces do not have: use a session of an image with one, such as agb-computer-use-ubuntu-2204, at a service that offers it"
    )]
    Desktop(String),
}

const SHELL: &str = "wuying_shell";
const FILES: &str = "wuying_filesystem";

const TOOLS: &[Tool] = &[
    Tool {
        name: "run_code",
        description: "Runs a program; variables live on in the session",
        server: DEFAULT_TARGET,
        parameters: &[
            ("code", "string", "The program"),
            ("language", "string", "python, javascript, r or java"),
            ("?timeout_s", "number", "Seconds; 60 if not given"),
        ],
    },
    Tool {
        name: "shell",
        description: "Runs a command in sh; what it puts into the background lives on in the session",
        server: SHELL,
        parameters: &[
            ("command", "string", "The command"),
            ("?timeout_ms", "integer", "Milliseconds; 1000 if not given"),
            ("?cwd", "string", "Where; the session's working directory if not given"),
            ("?envs", "object", "Environment variables"),
        ],
    },
    Tool {
        name: "list_commands",
        description: "Lists the commands that are followed as runs, with their state, as JSON",
        server: SHELL,
        parameters: &[],
    },
    Tool {
        name: "list_programs",
        description: "Lists the programs that are followed as runs, with their state, as JSON",
        server: DEFAULT_TARGET,
        parameters: &[],
    },
    Tool {
        name: "create_directory",
        description: "Makes a directory, and those above it",
        server: FILES,
        parameters: &[("path", "string", "The directory")],
    },
    Tool {
        name: "edit_file",
        description: "Replaces texts in a file and answers the difference",
        server: FILES,
        parameters: &[
            ("path", "string", "The file"),
            ("edits", "array", "Objects with oldText and newText, applied in order"),
            ("?dryRun", "boolean", "Only answer the difference"),
        ],
    },
    Tool {
        name: "get_file_info",
        description: "Tells name, kind, size, owner, permissions and times, one a line",
        server: FILES,
        parameters: &[("path", "string", "The file or directory")],
    },
    Tool {
        name: "list_directory",
        description: "Lists a directory: [DIR] name or [FILE] name, one a line",
        server: FILES,
        parameters: &[("path", "string", "The directory")],
    },
    Tool {
        name: "move_file",
        description: "Moves or renames a file or directory; the destination must not exist",
        server: FILES,
        parameters: &[("source", "string", "What"), ("destination", "string", "Where to")],
    },
    Tool {
        name: "delete_file",
        description: "Deletes a file or a link; a directory is an error",
        server: FILES,
        parameters: &[("path", "string", "The file")],
    },
    Tool {
        name: "read_file",
        description: "Reads a file or a part of it",
        server: FILES,
        parameters: &[
            ("path", "string", "The file"),
            ("?offset", "integer", "First byte"),
            ("?length", "integer", "Bytes; 0 for all"),
            ("?format", "string", "text, or binary for base64"),
        ],
    },
    Tool {
        name: "read_multiple_files",
        description: "Reads several text files",
        server: FILES,
        parameters: &[("paths", "array", "The files")],
    },
    Tool {
        name: "write_file",
        description: "Writes a text into a file",
        server: FILES,
        parameters: &[
            ("path", "string", "The file"),
            ("content", "string", "The text"),
            ("?mode", "string", "overwrite, append or create_new"),
        ],
    },
    Tool {
        name: "search_files",
        description: "Finds files and directories by name or glob pattern, below a directory",
        server: FILES,
        parameters: &[
            ("path", "string", "The directory"),
            ("pattern", "string", "A glob pattern, or a part of a name"),
            ("?excludePatterns", "array", "What to leave out, and all below it"),
        ],
    },
    Tool {
        name: "get_file_change",
        description: "Tells what has changed below a directory since the last call for it",
        server: FILES,
        parameters: &[
            ("path", "string", "The directory"),
            ("?watcher", "string", "Any text: each has a comparison of its own"),
        ],
    },
    Tool {
        name: "get_metrics",
        description: "Tells processors, memory, disk and network traffic of the session, as JSON",
        server: SHELL,
        parameters: &[],
    },
];

/// The tool of this name.
pub(crate) fn find(name: &str) -> Result<&'static Tool, UnknownTool> {
    TOOLS.iter().find(|tool| tool.name == name).ok_or_else(|| {
        let shown = name.chars().take(80).collect();
        if desktop::has(name) { UnknownTool::Desktop(shown) } else { UnknownTool::Name(shown) }
    })
}

/// Whether the tool is about the session's runs, which this server knows also where the session is another service's.
pub(crate) fn is_of_runs(name: &str, session: &Session) -> bool {
    name == "list_programs" || name == "list_commands" && session.extensions().contains(&"command")
}

/// All tools, as the text in which the wire lists them: each new session's description has it.
pub(crate) fn list() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| TOOLS.iter().map(Tool::to_json).collect::<Value>().to_string());
    &TEXT
}

fn names() -> String {
    TOOLS.iter().map(|tool| tool.name).collect::<Vec<_>>().join(", ")
}

impl Tool {
    /// Calls the tool. A call that is dropped ends what it started.
    pub(crate) async fn call(&self, session: &Arc<Session>, args: Fields) -> Result<ToolAnswer, CallError> {
        let activity = session.begin(args.memory_size())?;
        let args = Args::new(self.name, args);
        let nothing = session.budget().nothing();
        let result = match self.name {
            "run_code" => run_code::run_code(session, &args).await,
            "shell" => shell::shell(session, &args).await,
            "list_commands" => list_of_runs(session, list_runs::list_commands).await,
            "list_programs" => list_of_runs(session, list_runs::list_programs).await,
            _ => {
                // Files may be on a slow disk, and large. A caller that goes away does not end what is being done.
                let held = (session.file_tool().await, activity);
                let session = Arc::clone(session);
                let name = self.name;
                let work = move || {
                    let _held = held;
                    file_tool(name, &session, &args, nothing)
                };
                tokio::task::spawn_blocking(work).await.map_err(|_| ToolError::Defect)
            }
        };
        match result {
            Ok(answer) => Ok(answer),
            Err(ToolError::NoRoom(over)) => Err(CallError::NoRoom(over)),
            Err(error) => Ok(ToolAnswer::text(error.to_string(), true, session.budget().nothing())),
        }
    }

    fn to_json(&self) -> Value {
        let properties: Map<String, Value> = self
            .parameters
            .iter()
            .map(|(name, kind, description)| {
                let name = name.trim_start_matches('?').to_owned();
                (name, json!({ "type": kind, "description": description }))
            })
            .collect();
        let required: Vec<_> =
            self.parameters.iter().map(|(name, ..)| *name).filter(|name| !name.starts_with('?')).collect();
        json!({
            "name": self.name,
            "description": self.description,
            "inputSchema": { "type": "object", "properties": properties, "required": required },
            "server": self.server,
            "tool": self.name,
        })
    }
}

/// A list of runs is made where long texts are, however few there are: of each, a copy of what ended it has some ten KiB.
async fn list_of_runs(session: &Arc<Session>, list: fn(&[ListedRun]) -> String) -> Result<ToolAnswer, ToolError> {
    let (own, mut memory) = (Arc::clone(session), session.budget().nothing());
    let make = move || {
        let text = list(&own.listed_runs());
        memory.grow_past_small(text.len()).map_err(ToolError::NoRoom)?;
        Ok(ToolAnswer::text(text, false, memory))
    };
    apart(session.budget(), apart::LONG, make).await.ok_or(ToolError::Defect)?
}

/// What a tool holds while it works is counted, and its answer after that.
fn file_tool(name: &str, session: &Session, args: &Args, mut memory: Charge) -> ToolAnswer {
    match call_file_tool(name, session, args, &mut memory) {
        Ok(text) => ToolAnswer::text(text, false, memory),
        Err(error) => ToolAnswer::text(error.to_string(), true, memory),
    }
}

fn call_file_tool(name: &str, session: &Session, args: &Args, memory: &mut Charge) -> Result<String, ToolError> {
    let workspace = session.workspace().map_err(ToolError::Run)?;
    // What a tool makes belongs to the session's programs, and what they may not open, a tool may not either.
    let _user = ActAs::user(workspace.slot().user()).map_err(|error| {
        ToolError::Report(format!("the session's files cannot be used in its programs' name: {error}"))
    })?;
    match name {
        "create_directory" => edit_files::create_directory(&workspace, args),
        "edit_file" => edit_files::edit_file(&workspace, args, memory),
        "move_file" => edit_files::move_file(&workspace, args),
        "delete_file" => edit_files::delete_file(&workspace, args),
        "write_file" => edit_files::write_file(&workspace, args),
        "get_file_info" => read_files::get_file_info(&workspace, args),
        "list_directory" => read_files::list_directory(&workspace, args, memory),
        "read_file" => read_files::read_file(&workspace, args, memory),
        "read_multiple_files" => read_files::read_multiple_files(&workspace, args, memory),
        "search_files" => search_files::search_files(&workspace, args, memory),
        "get_file_change" => changes::get_file_change(&workspace, args, memory),
        "get_metrics" => metrics::get_metrics(&workspace),
        _ => Err(ToolError::Defect),
    }
}

//! Everything the server promises, tried from outside over a real socket.

agb_sandbox::helper_before_main!();

mod address;
mod answers;
mod bad_input;
mod browser;
mod command;
mod command_line;
mod command_runs;
mod contexts;
mod credentials;
mod escape;
mod file_streams;
mod file_watch;
mod files;
mod flow;
mod gateway;
mod hostile;
mod hostile_load;
mod http_runs;
mod images;
mod limits;
mod links;
mod listener;
mod mounts;
mod network;
mod paths;
mod pool;
mod resume;
mod run_code;
mod session_options;
mod sessions;
mod shell;
mod stdin;
mod streaming;
mod support;
mod watch;

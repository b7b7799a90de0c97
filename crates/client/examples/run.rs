//! Runs a file, or the text behind `-c`, and shows what it prints while it runs.
//!
//! ```sh
//! AGB_ENDPOINT=local cargo run -p agb-client --example run -- python -c 'print("hello")'
//! ```

use std::io::Write;
use std::process::ExitCode;

use agb_client::{Agb, CreateSession, RunEvent, Session};
use futures_util::StreamExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (language, code) = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [language, "-c", code] => (*language, Ok((*code).to_owned())),
        [language, file] => (*language, std::fs::read_to_string(file)),
        _ => {
            eprintln!("usage: run LANGUAGE FILE | run LANGUAGE -c CODE");
            return ExitCode::from(2);
        }
    };
    let outcome = match code {
        Ok(code) => run(language, code).await.map_err(|error| format!("{error} ({})", error.code())),
        Err(error) => Err(format!("the file cannot be read: {error}")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

async fn run(language: &str, code: String) -> Result<bool, agb_client::Error> {
    let agb = Agb::from_env()?;
    let session = agb.create(CreateSession { image_id: "agb-code-space-1".into(), ..Default::default() }).await?;
    let outcome = follow(&session, language, code).await;
    session.delete().await?;
    outcome
}

async fn follow(session: &Session, language: &str, code: String) -> Result<bool, agb_client::Error> {
    let mut run = session.code().run(code, language).stream()?;
    let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
    while let Some(event) = run.next().await {
        // Whoever closes our output wants no more of it.
        let written = match event {
            RunEvent::Stdout(text) => stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()),
            RunEvent::Stderr(text) => stderr.write_all(text.as_bytes()),
            _ => Ok(()),
        };
        if written.is_err() {
            run.cancel();
            break;
        }
    }
    let result = run.finish().await;
    if !result.success {
        eprintln!("{}", result.error_message);
    }
    Ok(result.success)
}

//! Which server a command of the command line is about.

use agb_client::{Agb, Options};
use clap::Args;

/// A server that runs.
#[derive(Args)]
pub(super) struct Remote {
    /// The server's URL. Its API key is searched in the variable AGB_API_KEY and in a `.env` file.
    #[arg(long, env = "AGB_ENDPOINT", value_name = "URL")]
    endpoint: Option<String>,
}

impl Remote {
    /// The account there.
    pub(super) fn agb(&self) -> Result<Agb, String> {
        let endpoint = self.endpoint.as_deref().map(str::trim).filter(|endpoint| !endpoint.is_empty());
        let endpoint =
            endpoint.ok_or("which server is it? Give --endpoint or AGB_ENDPOINT the URL that `serve` printed")?;
        if endpoint.eq_ignore_ascii_case("local") {
            return Err(
                "the endpoint `local` is a server of its own for each process: give --endpoint the URL of one that runs"
                    .to_owned(),
            );
        }
        Agb::new(&Options::new().endpoint(endpoint)).map_err(|error| error.to_string())
    }

    /// Runs what asks the server something.
    pub(super) fn block_on<T>(&self, work: impl Future<Output = Result<T, agb_client::Error>>) -> Result<T, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no threads: {error}"))?;
        let result = runtime.block_on(work).map_err(|error| error.to_string());
        runtime.shutdown_background(); // a read from a terminal cannot be taken back
        result
    }
}

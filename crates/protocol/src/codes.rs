//! The stable codes of everything that can go wrong, in one table: what `code()` of each error says, in Rust, in Node and
//! in the browser. Messages may change, these do not.
//!
//! A service has codes of its own, such as `InvalidMcpSession.NotFound`, and an exception of a program has its name. The
//! TypeScript has the table as a type (`npm/sdk/src/error-codes.ts`), which a test here writes and compares.

/// Makes a constant of each code, and the table of all.
macro_rules! codes {
    ($($(#[doc = $words:literal])+ $code:ident,)+) => {
        $($(#[doc = $words])+ pub const $code: &str = stringify!($code);)+

        /// All codes, each with what it means.
        pub const ALL: &[(&str, &str)] = &[$(($code, concat!($($words),+))),+];
    };
}

codes! {
    /// What was given is not an access to a session.
    BAD_ACCESS,
    /// An argument is missing or of the wrong kind; nothing was sent.
    BAD_ARGUMENTS,
    /// The endpoint is neither a host nor a URL.
    BAD_ENDPOINT,
    /// The `.env` file that was named cannot be read.
    BAD_ENV_FILE,
    /// A proxy or a certificate that was given cannot be used.
    BAD_NETWORK,
    /// The time limit is not a positive number of milliseconds.
    BAD_TIMEOUT,
    /// Cancelled by the caller.
    CANCELLED,
    /// A context was not cleared within the time limit.
    CLEARANCE_TIMED_OUT,
    /// The session was closed during the run.
    CLOSED,
    /// A connection broke or fell silent; the run goes on and is looked for.
    CONNECTION_BROKEN,
    /// The service closed the connection; the run goes on and is looked for.
    CONNECTION_CLOSED,
    /// The service refused the connection; the run goes on and is looked for.
    CONNECTION_REFUSED,
    /// No connection could be made; the run goes on and is looked for.
    CONNECTION_UNREACHED,
    /// Input was not taken; the run goes on.
    INPUT_REFUSED,
    /// The connection was lost with input under way, and the service does not number input: it may be lost.
    INPUT_UNCERTAIN,
    /// What was sent can be followed no longer, mostly because the connection was lost: the outcome is unknown.
    INTERRUPTED,
    /// The service does not know the session's token (any more).
    INVALID_TOKEN,
    /// The program's interpreter died.
    KILLED,
    /// The local server did not start.
    LOCAL_SERVER_FAILED,
    /// The service's answer cannot be read.
    MALFORMED,
    /// There is no API key, or the one that there is cannot be sent.
    NO_API_KEY,
    /// The program of the local server was not found.
    NO_LOCAL_SERVER,
    /// There is no way to stream: the service gave the session none, or none gets through.
    NO_STREAMING,
    /// The session, image or tool does not exist (any more).
    NOT_FOUND,
    /// The service does not offer the extension that this takes.
    NOT_OFFERED,
    /// The service cannot do this at all.
    NOT_SUPPORTED,
    /// Output of a detached command was not kept: nobody took it, and there was no room.
    OUTPUT_DROPPED,
    /// More output waited unread than is allowed.
    OVERFLOW,
    /// The service broke the protocol.
    PROTOCOL,
    /// The service understood and said no, without a code of its own.
    REFUSED,
    /// The service ended the run with an error.
    REMOTE,
    /// The run is followed in this session already.
    RUN_TAKEN,
    /// The session was closed before.
    SESSION_CLOSED,
    /// The service made no session and did not say why.
    SESSION_NOT_CREATED,
    /// A context's files could not be carried to or from a session.
    SYNC_FAILED,
    /// The time limit passed.
    TIMED_OUT,
    /// Too much code waits to be sent.
    TOO_MUCH_UNSENT,
    /// A tool of the session failed.
    TOOL_FAILED,
    /// The service does not accept the key, or not for this.
    UNAUTHORIZED,
    /// No language that sessions run.
    UNKNOWN_LANGUAGE,
    /// No connection could be made: nothing was sent.
    UNREACHABLE,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(target_family = "wasm"))]
    const TYPESCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../npm/sdk/src/error-codes.ts");

    #[test]
    fn each_is_there_once_and_in_order() {
        assert!(ALL.is_sorted_by(|(one, _), (other, _)| one.replace('_', " ") < other.replace('_', " ")));
    }

    /// `UPDATE_SNAPSHOTS=1` writes it. There are no files to compare in WebAssembly.
    #[cfg(not(target_family = "wasm"))]
    #[test]
    fn typescript_knows_the_same() {
        let mut text = String::from(
            "/** Written by `UPDATE_SNAPSHOTS=1 cargo test -p agb-protocol codes`, from the table in `crates/protocol/src/codes.rs`. */\n\n\
             /** Codes of the native part. */\nexport type CoreErrorCode =\n",
        );
        let lines = ALL.iter().map(|(code, words)| format!("  /**{words} */\n  | \"{code}\""));
        text.push_str(&lines.collect::<Vec<_>>().join("\n"));
        text.push_str(";\n");
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(TYPESCRIPT, &text).expect("the repository can be written");
        }
        let there = std::fs::read_to_string(TYPESCRIPT).expect("the snapshot is in the repository");
        assert_eq!(there, text, "run it with UPDATE_SNAPSHOTS=1");
    }
}

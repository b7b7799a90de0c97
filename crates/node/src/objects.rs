//! The plain objects of `binding.ts`, both ways. Absent values are `null`.

use std::time::Duration;

use agb_client::agb_core::operations::SessionOptions;
use agb_client::agb_core::operations::files::Part;
use agb_client::{ClientInfo, CreateSession, KilledBy, Options, RichResult, RunFailure, SessionConfig};
use napi_derive::napi;
use serde_json::Value;

use crate::part_buffer::{PartBuffer, PartBytes};

/// `ClientOptions`.
#[napi(object, object_to_js = false, use_nullable = true)]
pub(crate) struct ClientOptions {
    /// The key.
    pub api_key: Option<String>,
    /// Host, URL or `local`.
    pub endpoint: Option<String>,
    /// Time limit of one HTTP call.
    pub timeout_ms: Option<f64>,
    /// Path of a `.env` file.
    pub env_file: Option<String>,
    /// The `AGB_*` variables.
    pub env: Vec<Vec<String>>,
    /// Program of the local server.
    pub local_server: Option<String>,
    /// A forward proxy; an empty text for none.
    pub proxy: Option<String>,
    /// Certificates of authorities, PEM.
    pub ca: Option<Vec<String>>,
    /// Limits of the sessions' connections.
    pub streaming: Option<StreamingLimits>,
}

/// `ConnectionOptions`.
#[napi(object, object_to_js = false, use_nullable = true)]
#[derive(Default)]
pub(crate) struct ConnectionOptions {
    /// Time limit of one HTTP call.
    pub timeout_ms: Option<f64>,
    /// A forward proxy; an empty text for none.
    pub proxy: Option<String>,
    /// Certificates of authorities, PEM.
    pub ca: Option<Vec<String>>,
    /// Limits of the session's connections.
    pub streaming: Option<StreamingLimits>,
}

impl ConnectionOptions {
    /// The options of a client with what was said of the network and its limits.
    pub(crate) fn into_options(self) -> Options {
        // Node has authorities of its own: those of Mozilla's list.
        let mut options = Options::new().bundled_certificates(true);
        if let Some(milliseconds) = self.timeout_ms {
            options = options.timeout_ms(milliseconds);
        }
        match self.proxy {
            Some(none) if none.is_empty() => options = options.no_proxy(),
            Some(url) => options = options.proxy(url),
            None => {}
        }
        for pem in self.ca.unwrap_or_default() {
            options = options.ca(pem);
        }
        if let Some(limits) = self.streaming {
            options = options.tune(move |config| limits.apply(config));
        }
        options
    }
}

/// `StreamingLimits`: what is not said keeps its default.
#[napi(object, object_to_js = false)]
#[derive(Clone)]
pub(crate) struct StreamingLimits {
    /// Seconds.
    pub heartbeat_s: Option<f64>,
    /// Seconds.
    pub silence_s: Option<f64>,
    /// Seconds.
    pub open_timeout_s: Option<f64>,
    /// WebSockets.
    pub socket_attempts: Option<u32>,
    /// Seconds.
    pub give_up_s: Option<f64>,
    /// Seconds.
    pub grace_s: Option<f64>,
    /// Seconds.
    pub cancel_wait_s: Option<f64>,
    /// Bytes.
    pub window_bytes: Option<f64>,
    /// Bytes.
    pub unread_limit_bytes: Option<f64>,
    /// Bytes.
    pub unsent_limit_bytes: Option<f64>,
    /// Bytes.
    pub input_limit_bytes: Option<f64>,
}

impl StreamingLimits {
    pub(crate) fn apply(&self, config: &mut SessionConfig) {
        for (given, limit) in [
            (self.heartbeat_s, &mut config.heartbeat),
            (self.silence_s, &mut config.silence),
            (self.open_timeout_s, &mut config.open_timeout),
            (self.give_up_s, &mut config.give_up),
            (self.grace_s, &mut config.grace),
            (self.cancel_wait_s, &mut config.cancel_wait),
        ] {
            // TypeScript has checked that they are numbers above 0.
            *limit = given.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(*limit);
        }
        for (given, limit) in [
            (self.window_bytes, &mut config.window),
            (self.unread_limit_bytes, &mut config.unread_limit),
            (self.unsent_limit_bytes, &mut config.unsent_limit),
            (self.input_limit_bytes, &mut config.input_limit),
        ] {
            *limit = given.map_or(*limit, |bytes| bytes as usize); // a cast saturates
        }
        config.socket_attempts = self.socket_attempts.unwrap_or(config.socket_attempts);
    }
}

/// `CreateParams`.
#[napi(object, object_to_js = false, use_nullable = true)]
pub(crate) struct CreateParams {
    /// The image.
    pub image_id: String,
    /// Labels, as pairs.
    pub labels: Option<Vec<Vec<String>>>,
    /// Seconds.
    pub idle_release_timeout: Option<f64>,
    /// A policy.
    pub mcp_policy_id: Option<String>,
    /// A context.
    pub context_id: Option<String>,
    /// `persistenceDataList`, as JSON text.
    pub persistence: Option<String>,
    /// `SessionOptions` of the core, as JSON text.
    pub options: Option<String>,
    /// Version of the npm package.
    pub sdk_version: String,
}

impl CreateParams {
    pub(crate) fn into_operation(self) -> CreateSession {
        CreateSession {
            image_id: self.image_id,
            labels: pairs(self.labels.unwrap_or_default()),
            // TypeScript has checked that it is a whole number; the cast saturates.
            idle_release: self.idle_release_timeout.map(|seconds| seconds as u64),
            mcp_policy_id: self.mcp_policy_id,
            context_id: self.context_id,
            // TypeScript has made it of its own objects.
            persistence: self.persistence.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            options: self.options.as_deref().and_then(SessionOptions::parse).unwrap_or_default(),
            client: ClientInfo { language: "typescript".into(), version: self.sdk_version, is_release: false },
            ..CreateSession::default()
        }
    }
}

/// `RunRequest`.
#[napi(object, object_to_js = false, use_nullable = true)]
pub(crate) struct RunRequest {
    /// The program.
    pub code: String,
    /// Its language, as given.
    pub language: String,
    /// Seconds.
    pub timeout_s: f64,
    /// Bytes of log kept per stream.
    pub log_limit: Option<f64>,
    /// Bytes of results kept.
    pub result_limit: Option<f64>,
    /// Deliveries say each piece's number and time.
    pub stamps: bool,
    /// Somebody answers when the program asks for input.
    pub stdin: bool,
}

/// `CommandRequest`.
#[napi(object, object_to_js = false, use_nullable = true)]
pub(crate) struct CommandRequest {
    /// What the shell reads.
    pub command: String,
    /// Milliseconds.
    pub timeout_ms: Option<f64>,
    /// Where it starts.
    pub cwd: Option<String>,
    /// Environment variables, as pairs.
    pub envs: Vec<Vec<String>>,
    /// Somebody writes input.
    pub stdin: bool,
    /// The size of its terminal: columns and rows.
    pub pty: Option<Vec<u32>>,
    /// It goes on without a reader.
    pub detached: bool,
    /// Bytes of log kept per stream.
    pub log_limit: Option<f64>,
    /// Deliveries say each piece's number and time.
    pub stamps: bool,
}

/// `AttachRequest`.
#[napi(object, object_to_js = false, use_nullable = true)]
pub(crate) struct AttachRequest {
    /// The run's id.
    pub id: String,
    /// What is behind this number is wanted.
    pub after_seq: f64,
    /// Bytes of log kept per stream.
    pub log_limit: Option<f64>,
    /// Bytes of results kept.
    pub result_limit: Option<f64>,
    /// As for a run that is begun here.
    pub stamps: bool,
}

/// `NativeExecutionResult`.
#[napi(object, object_from_js = false, use_nullable = true)]
pub(crate) struct NativeExecutionResult {
    /// `text/plain`
    pub text: Option<String>,
    /// `text/html`
    pub html: Option<String>,
    /// `text/markdown`
    pub markdown: Option<String>,
    /// Base64.
    pub png: Option<String>,
    /// Base64.
    pub jpeg: Option<String>,
    /// `image/svg+xml`
    pub svg: Option<String>,
    /// `text/latex`
    pub latex: Option<String>,
    /// JSON text.
    pub json: Option<String>,
    /// JSON text.
    pub chart: Option<String>,
    /// The value of the last expression.
    pub is_main_result: bool,
}

impl From<RichResult> for NativeExecutionResult {
    fn from(result: RichResult) -> Self {
        Self {
            text: result.text,
            html: result.html,
            markdown: result.markdown,
            png: result.png,
            jpeg: result.jpeg,
            svg: result.svg,
            latex: result.latex,
            json: result.json,
            chart: result.chart,
            is_main_result: result.is_main,
        }
    }
}

/// `NativeRunError`.
#[napi(object, object_from_js = false, use_nullable = true)]
pub(crate) struct NativeRunError {
    /// The exception's name.
    pub name: String,
    /// Its message.
    pub value: String,
    /// Its traceback.
    pub traceback: String,
    /// A stable code, of what is not the program's.
    pub code: Option<String>,
}

impl NativeRunError {
    pub(crate) fn new(failure: RunFailure, code: Option<&str>) -> Self {
        let RunFailure { name, value, traceback } = failure;
        Self { name, value, traceback, code: code.map(str::to_owned) }
    }
}

/// `NativeKilledBy`.
#[napi(object, object_from_js = false, use_nullable = true)]
pub(crate) struct NativeKilledBy {
    /// The interpreter's exit code.
    pub exit_code: Option<i32>,
    /// A signal's name.
    pub signal: Option<String>,
    /// Its memory was full.
    pub out_of_memory: bool,
}

impl From<KilledBy> for NativeKilledBy {
    fn from(KilledBy { exit_code, signal, out_of_memory }: KilledBy) -> Self {
        Self { exit_code, signal, out_of_memory }
    }
}

/// Pairs as TypeScript writes them. What is not a pair is left out; the types on the other side allow none.
pub(crate) fn pairs(pairs: Vec<Vec<String>>) -> Vec<(String, String)> {
    pairs.into_iter().filter_map(|pair| <[String; 2]>::try_from(pair).ok()).map(|[name, value]| (name, value)).collect()
}

/// `Transferred`.
#[napi(object, object_from_js = false)]
pub(crate) struct Transferred {
    /// What is known of the file, as JSON text.
    pub meta: String,
    /// The bytes that were read.
    pub bytes: PartBytes,
}

impl Transferred {
    /// What a part came to, with what was read into a buffer, if anything was.
    pub(crate) fn new(part: Part, buffer: Option<PartBuffer>) -> Self {
        Self { meta: Value::from(part).to_string(), bytes: PartBytes(buffer) }
    }
}

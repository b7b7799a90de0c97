/**
 * The contract between this package's TypeScript and the Rust core behind it.
 *
 * The Node addon (`crates/node`) and the browser's WebAssembly (`crates/wasm`) both satisfy it; nothing else in
 * this package names a native function. Absent values are `null`, never missing properties.
 *
 * @module
 */

import type { StreamingLimits } from "./streaming-limits.js";

/** A backend: the Node addon or the WebAssembly build. */
export interface Binding {
  /** Version of the Rust core. */
  readonly version: string;
  readonly Client: new (options: ClientOptions) => NativeClient;
  /**
   * A session without an account: `access` is the JSON text of what the procedure `session.access` gave, in this process
   * or another. Sends nothing. Throws an `Error` with the code `BAD_ACCESS` for what is none; a backend that
   * still loads may leave that to the session's first use. The addon's also throws `BAD_TIMEOUT` and `BAD_NETWORK`.
   */
  attach(access: string, options?: ConnectionOptions): NativeSession;
  /**
   * Where log lines of the core go, and from which level on. `sink` is called on the JavaScript thread.
   * Lines never contain keys, tokens or URL queries.
   */
  setLogger(level: NativeLogLevel, sink: (level: NativeLogLevel, target: string, message: string) => void): void;
}

export type NativeLogLevel = "off" | "error" | "warn" | "info" | "debug" | "trace";

/** What the constructor of {@link NativeClient} resolves: code first, then `env`, then the `.env` file, then defaults. */
export interface ClientOptions extends ConnectionOptions {
  readonly apiKey: string | null;
  /** Host, URL, or `local`. */
  readonly endpoint: string | null;
  /** Path of a `.env` file; `null` searches upward from the working directory. */
  readonly envFile: string | null;
  /** The `AGB_*` environment variables, as pairs. */
  readonly env: ReadonlyArray<readonly [name: string, value: string]>;
  /** Program for `endpoint: "local"`; `null` when none was found. */
  readonly localServer: string | null;
}

/** How a session's connections are made. */
export interface ConnectionOptions {
  /** Time limit of one HTTP call, milliseconds. */
  readonly timeoutMs: number | null;
  /** A forward proxy; an empty text for none. `null`: what the environment says. The addon's only. */
  readonly proxy: string | null;
  /** Certificates of authorities, PEM. The addon's only. */
  readonly ca: readonly string[] | null;
  /** Limits of the sessions' connections. The addon's only. */
  readonly streaming: StreamingLimits | null;
}

/** What every HTTP operation answers. It rejects for nothing that happens on the far side or on the way. */
export interface Answer<T> {
  readonly requestId: string;
  readonly success: boolean;
  /** Stable code of the failure, e.g. `InvalidMcpSession.NotFound`, `TIMED_OUT`, `UNREACHABLE`; `null` on success. */
  readonly code: string | null;
  /** Empty on success. */
  readonly errorMessage: string;
  readonly httpStatus: number | null;
  readonly data: T | null;
}

/** An operation under way. */
export type NativeCall<T> = Promise<Answer<T>> & {
  /** Stops it, if the backend can: nothing more is sent, and it rejects. Harmless afterwards. */
  readonly abort?: () => void;
};

/**
 * One account on one endpoint. Construction throws an `Error` with a `code` property: `NO_API_KEY`,
 * `BAD_ENDPOINT`, `BAD_TIMEOUT`, `BAD_ENV_FILE`, `NO_LOCAL_SERVER`.
 */
export interface NativeClient {
  /** Base URL of the service; `null` while a local server has not been started yet. */
  readonly endpoint: string | null;
  readonly timeoutMs: number;
  /** The API key; `null` with the endpoint `local`. A method, because whatever prints an object reads its getters. */
  apiKey(): string | null;
  createSession(params: CreateParams): NativeCall<NativeSession>;
  getSession(sessionId: string): NativeCall<NativeSession>;
  /** Releases a session and waits until it is gone. */
  deleteSession(sessionId: string): NativeCall<null>;
  /** Carries out a procedure of the core for the account; see {@link NativeSession.invoke}. */
  invoke(name: string, argsJson: string): NativeCall<string>;
}

export interface CreateParams {
  readonly imageId: string;
  readonly labels: ReadonlyArray<readonly [key: string, value: string]> | null;
  /** Seconds without use after which the service releases the session. */
  readonly idleReleaseTimeout: number | null;
  readonly mcpPolicyId: string | null;
  readonly contextId: string | null;
  /** `persistenceDataList`, as JSON text. */
  readonly persistence: string | null;
  /** `{envs, network, timeoutS}` as JSON text. */
  readonly options: string | null;
  readonly sdkVersion: string;
}

/** Arguments of the procedure `session.list`, which answers a {@link ListPage}. */
export interface ListParams {
  readonly labels: ReadonlyArray<readonly [key: string, value: string]> | null;
  readonly maxResults: number | null;
  readonly nextToken: string | null;
  readonly isAll: boolean | null;
}

export interface ListPage {
  readonly sessions: ReadonlyArray<{ readonly sessionId: string; readonly sessionStatus: string }>;
  readonly nextToken: string | null;
  readonly maxResults: number;
  readonly totalCount: number;
}

/** One entry of what `session.tools` and `image.tools` answer. */
export interface ToolDescription {
  readonly name: string;
  readonly description: string;
  /** JSON schema, as JSON text. */
  readonly inputSchema: string;
  readonly server: string;
  readonly tool: string;
}

/** A session that exists on the service. All runs of one `NativeSession` share one WebSocket. */
export interface NativeSession {
  readonly sessionId: string;
  readonly imageId: string | null;
  readonly resourceUrl: string | null;
  readonly appInstanceId: string | null;
  readonly resourceId: string | null;
  /** What the service offers beyond the documented wire, e.g. `flow`, `cancel`. */
  readonly extensions: ReadonlyArray<string>;

  /**
   * Carries out a procedure of the core (`crates/core/src/by_name.rs` has their names): `argsJson` is a JSON
   * object as text, and so is the answer. Wrong arguments are answered with the code `BAD_ARGUMENTS`.
   */
  invoke(name: string, argsJson: string): NativeCall<string>;
  /**
   * Carries a part of a file: `name` and `argsJson` are those of `transfer_by_name` in the core. `bytes` are those to
   * write; the backend has read them by the time the promise is settled, not before. Of a part that is read at most `most`
   * bytes come: the addon has memory for as many filled while they come.
   */
  transfer(name: string, argsJson: string, bytes: Uint8Array | null, most?: number): NativeCall<Transferred>;
  /** Room for a part of at most so many bytes that is to be written. The addon's only. */
  part?(size: number): NativePart;
  /** {@link SessionDescription} as JSON text. */
  describe(): string;
  delete(): NativeCall<null>;

  /**
   * All output comes with the result. A stream that nobody watches where the service has the extension `resume`, else one
   * HTTP call. Never rejects.
   */
  run(request: RunRequest): Promise<RunResult>;
  /**
   * Starts a run over the WebSocket. `wake` is called on the JavaScript thread when {@link NativeRun.take} has
   * something, and not again before `take` has returned `null`.
   */
  stream(request: RunRequest, wake: () => void): NativeRun;
  /** Starts a shell command over the WebSocket, as {@link NativeSession.stream} starts code. */
  command(request: CommandRequest, wake: () => void): NativeRun;
  /** Follows a run that was begun elsewhere, as if {@link NativeSession.stream} had begun it. */
  attach(request: AttachRequest, wake: () => void): NativeRun;
  /** Follows a command that was begun elsewhere: it is left, not stopped, when nobody reads it any more. */
  attachCommand(request: AttachRequest, wake: () => void): NativeRun;
}

/** Bytes of a part that is to be written, gathered in the memory that they are sent from. */
export interface NativePart {
  /** Puts bytes behind those that are there; they are copied. */
  push(bytes: Uint8Array): void;
  /** {@link NativeSession.transfer} with what is there. Afterwards it is empty, and of no more use. */
  send(name: string, argsJson: string): NativeCall<Transferred>;
}

/** What a transfer came to. */
export interface Transferred {
  /** What is known of the file, as JSON text. */
  readonly meta: string;
  /** The bytes that were read. */
  readonly bytes: Uint8Array;
}

/** What the service said of a session beside its ids. What it did not say is empty. */
export interface SessionDescription {
  readonly linkUrl: string;
  readonly wsUrl: string;
  readonly token: string;
  readonly status: string;
  readonly tools: readonly ToolDescription[];
}

/** Arguments of `session.access`, which answers a `SessionAccess`: the session is open to somebody else for a while. */
export interface AccessRequest {
  readonly scope: "run" | "read";
  /** How long it is to last, seconds; `null` for the service's default. */
  readonly lastsS: number | null;
  /** The token of an access that is to last longer, instead of a new one. */
  readonly renew: string | null;
}

/** Answer of `session.info`. */
export interface SessionDetails {
  readonly sessionId: string;
  readonly resourceUrl: string | null;
  readonly appId: string | null;
  readonly authCode: string | null;
  readonly connectionProperties: string | null;
  readonly resourceId: string | null;
  readonly resourceType: string | null;
  readonly ticket: string | null;
  /** `{envs, network, timeoutS}` as JSON text; `null` where the service does not say. */
  readonly options: string | null;
}

/** Answer of `session.callTool`. */
export interface ToolResult {
  readonly isError: boolean;
  /** Text parts joined by newlines. */
  readonly text: string;
  /** The whole content array, as JSON text. */
  readonly contentJson: string;
}

export interface RunRequest {
  readonly code: string;
  /** As given; the core knows the aliases and refuses unknown ones. */
  readonly language: string;
  /** Seconds. */
  readonly timeoutS: number;
  /** Bytes of log kept per stream for the result; `null` for the default. */
  readonly logLimit: number | null;
  /** Bytes of results kept; `null` for the default. */
  readonly resultLimit: number | null;
  /** Whether batches have {@link Batch.stamps}. */
  readonly stamps: boolean;
  /** Somebody answers when the program asks for input; otherwise it finds its input at its end. */
  readonly stdin: boolean;
}

export interface CommandRequest {
  readonly command: string;
  /** Milliseconds; `null`: as long as the service lets anything run. */
  readonly timeoutMs: number | null;
  readonly cwd: string | null;
  readonly envs: ReadonlyArray<readonly [name: string, value: string]>;
  /** Somebody writes input; otherwise the command finds its input at its end. */
  readonly stdin: boolean;
  /** The size of its terminal, if it is to have one. */
  readonly pty: readonly [cols: number, rows: number] | null;
  /** It goes on without a reader. */
  readonly detached: boolean;
  /** As in {@link RunRequest}. */
  readonly logLimit: number | null;
  /** As in {@link RunRequest}. */
  readonly stamps: boolean;
}

export interface AttachRequest {
  readonly id: string;
  /** Everything behind the event with this number comes. */
  readonly afterSeq: number;
  /** As in {@link RunRequest}. */
  readonly logLimit: number | null;
  /** As in {@link RunRequest}. */
  readonly resultLimit: number | null;
  /** As in {@link RunRequest}. */
  readonly stamps: boolean;
}

/**
 * A run that is going on. Backpressure is by not calling {@link NativeRun.take}: what JavaScript does not take is held
 * back, up to the program's own writes where the service knows `flow`. Other runs do not notice.
 */
export interface NativeRun {
  /** The invocation id on the wire. */
  readonly id: string;
  /** Everything that has arrived since the last call, or `null`: wait for `wake`. */
  take(): Batch | null;
  /** Stops the program where the service can, and ends the run with `Cancelled`. Harmless after the end. */
  cancel(): void;
  /** Gives the program input. Without effect after the end and where the service does not know `stdin`. */
  write(text: string): void;
  /** Ends the program's input. */
  endInput(): void;
  /** Sends a signal to a command's process group. */
  signal(name: string): void;
  /** Changes the size of a command's terminal. */
  resize(cols: number, rows: number): void;
  /** Follows the run no longer, and lets it go on: it ends here once the service has it. */
  leave(): void;
  /** After a batch with `ended`: what the run came to. Before it: `null`. */
  result(): RunResult | null;
}

/**
 * Pieces of a run's output in the order in which the service sent them. `marks` has one entry a piece: the two low
 * bits are its kind (0 stdout, 1 stderr, 2 the next entry of `events`), the rest is its length in UTF-16 units within
 * `text`.
 */
export interface Batch {
  readonly text: string;
  readonly marks: Uint32Array;
  /**
   * Three numbers a piece: the event's number, its time in milliseconds since the Unix epoch (0 where the service says
   * none), and 1 for output from before this run. `null` unless they were asked for.
   */
  readonly stamps: Float64Array | null;
  readonly events: ReadonlyArray<NativeRunEvent> | null;
  /** No more will come; {@link NativeRun.result} is there. */
  readonly ended: boolean;
}

/** What comes between chunks. */
export type NativeRunEvent =
  | { readonly type: "result"; readonly result: NativeExecutionResult }
  | { readonly type: "error"; readonly error: NativeRunError }
  | { readonly type: "inputRequest"; readonly prompt: string; readonly password?: boolean }
  /**
   * The connection is lost, and the run is being looked for; with `NO_STREAMING` it is made by a plain call; with
   * `INPUT_…` it goes on without a piece of its input.
   */
  | { readonly type: "trouble"; readonly code: string; readonly message: string }
  /** It was found; nothing is missing. */
  | { readonly type: "reconnected" };

export interface NativeExecutionResult {
  readonly text: string | null;
  readonly html: string | null;
  readonly markdown: string | null;
  readonly png: string | null;
  readonly jpeg: string | null;
  readonly svg: string | null;
  readonly latex: string | null;
  /** JSON text. */
  readonly json: string | null;
  /** JSON text. */
  readonly chart: string | null;
  readonly isMainResult: boolean;
}

export interface NativeRunError {
  readonly name: string;
  readonly value: string;
  readonly traceback: string;
  /** A stable code; `null` for what the program itself raised. A page's backend, where each byte counts, does not say it. */
  readonly code?: string | null;
}

export type NativeRunStatus = "finished" | "failed" | "timeout" | "cancelled" | "killed" | "interrupted" | "exited" | "signalled";

/** What ended an interpreter under its run. */
export interface NativeKilledBy {
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** Its memory was full. */
  readonly outOfMemory: boolean;
}

/** What a run came to. `logs` is a call because the text stays on the Rust side until it is asked for. */
export interface RunResult {
  readonly requestId: string;
  readonly success: boolean;
  readonly status: NativeRunStatus;
  readonly executionCount: number | null;
  /** Seconds. */
  readonly executionTime: number;
  readonly results: ReadonlyArray<NativeExecutionResult>;
  readonly error: NativeRunError | null;
  /** Empty on success. */
  readonly errorMessage: string;
  /** Logs were cut at the limit. */
  readonly truncated: boolean;
  /** How often the connection was lost and the run was found again. */
  readonly interruptions: number;
  /** The interpreter was restarted. */
  readonly stateLost: boolean;
  /** Of a command, as a shell tells it. */
  readonly exitCode: number | null;
  readonly killedBy: NativeKilledBy | null;
  /** Number of the end among the run's events; 0 for one that did not stream. */
  readonly seq: number;
  /** When it ended, as in {@link Batch.stamps}; `null` where nobody said. */
  readonly time: number | null;
  /** The chunks of stdout and stderr, as in {@link Batch}, without events. */
  logs(): { readonly text: string; readonly marks: Uint32Array };
}

/**
 * A backend in TypeScript that keeps the contract of `binding.ts` and lets a test say what arrives when.
 *
 * @module
 */

import assert from "node:assert/strict";
import type {
  Answer,
  AttachRequest,
  Batch,
  Binding,
  ClientOptions,
  CommandRequest,
  ConnectionOptions,
  CreateParams,
  ListPage,
  ListParams,
  NativeClient,
  NativeExecutionResult,
  NativeLogLevel,
  NativeRun,
  NativeRunError,
  NativeSession,
  NativeRunEvent,
  RunRequest,
  RunResult,
  SessionDescription,
  SessionDetails,
  ToolDescription,
  ToolResult,
  Transferred,
} from "../src/binding.js";
import { AGB, type Session } from "../src/index.js";
import { type Platform, plugPlatform } from "../src/platform.js";

/** What a fake session's `browserAccess` gives. */
export const ACCESS = {
  sessionId: "s-1",
  wsUrl: "wss://ws.example",
  linkUrl: "https://link.example",
  token: "page-token",
  expiresAt: "2026-11-23T04:00:00Z",
  scope: "run",
} as const;

const DETAILS: SessionDetails = {
  sessionId: "s-1",
  resourceUrl: "https://watch.example",
  appId: "app",
  authCode: null,
  connectionProperties: null,
  resourceId: null,
  resourceType: null,
  ticket: null,
  options: null,
};

const SHELL: ToolDescription = { name: "shell", description: "Runs a command", inputSchema: '{"type":"object"}', server: "srv", tool: "shell" };

/** One piece of a run, as tests write it down. */
export type Piece = (
  | { readonly out: string }
  | { readonly err: string }
  | { readonly error: NativeRunError }
  | { readonly result: NativeExecutionResult }
  | { readonly prompt: string; readonly password?: boolean }
  | { readonly lost: string }
  | { readonly found: true }
) & { readonly seq?: number; readonly time?: number; readonly background?: boolean };

/** Everything that the TypeScript above asked the backend for, and what the backend shall answer. */
export class FakeBackend implements Binding {
  readonly version = "0.0.0-fake";
  readonly clients: FakeClient[] = [];
  readonly Client: new (options: ClientOptions) => NativeClient;
  /** What constructing a client or taking a session up throws. */
  refusal: (Error & { code?: string }) | null = null;
  level: NativeLogLevel | null = null;
  sink: ((level: NativeLogLevel, target: string, message: string) => void) | null = null;
  env: Array<readonly [string, string]> = [];
  localServer: string | null = null;
  /** What `attach` was called with, and the session that it gave. */
  readonly attached: Array<{ readonly access: string; readonly options: ConnectionOptions | undefined; readonly session: FakeSession }> = [];
  readonly initialized: unknown[] = [];
  /** How often the event loop was left to others. */
  deferred = 0;

  constructor() {
    const backend = this;
    this.Client = class extends FakeClient {
      constructor(options: ClientOptions) {
        if (backend.refusal !== null) {
          throw backend.refusal;
        }
        super(options);
        backend.clients.push(this);
      }
    };
  }

  setLogger(level: NativeLogLevel, sink: (level: NativeLogLevel, target: string, message: string) => void): void {
    this.level = level;
    this.sink = sink;
  }

  attach(access: string, options?: ConnectionOptions): NativeSession {
    if (this.refusal !== null) {
      throw this.refusal;
    }
    const session = new FakeSession();
    this.attached.push({ access, options, session });
    return session;
  }

  /** Plugs this backend in below the public classes. */
  plug(overrides: Partial<Platform> = {}): this {
    plugPlatform({
      loadBinding: () => this,
      environment: () => this.env,
      findLocalServer: () => this.localServer,
      initialize: async (options) => void this.initialized.push(options),
      defer: (task) => {
        this.deferred += 1;
        setImmediate(task);
      },
      decodeBase64: (text) => Buffer.from(text, "base64"),
      bindContext: (task) => task,
      ...overrides,
    });
    return this;
  }

  /** A session of an account on this, and what is behind it. */
  async newSession(): Promise<{ session: Session; fake: FakeSession }> {
    const { session } = await new AGB("key").create({ imageId: "agb-code-space-1" });
    assert(session);
    return { session, fake: this.client.session };
  }

  get client(): FakeClient {
    const client = this.clients.at(-1);
    assert(client);
    return client;
  }
}

export class FakeClient implements NativeClient {
  readonly endpoint: string | null;
  readonly timeoutMs: number;
  readonly calls: Array<[name: string, argument: unknown]> = [];
  readonly session = new FakeSession();
  failure: Answer<never> | null = null;
  /** Pages of `listSessions`; the token of page n is `token-n`, counted from 0. */
  pages: string[][] = [["s-1", "s-2"]];

  constructor(readonly options: ClientOptions) {
    this.endpoint = options.endpoint;
    this.timeoutMs = options.timeoutMs ?? 60_000;
  }

  apiKey(): string | null {
    return this.options.apiKey;
  }

  async createSession(params: CreateParams): Promise<Answer<NativeSession>> {
    return this.#answer("createSession", params, this.session);
  }

  async getSession(sessionId: string): Promise<Answer<NativeSession>> {
    return this.#answer("getSession", sessionId, this.session);
  }

  async deleteSession(sessionId: string): Promise<Answer<null>> {
    return this.#answer("deleteSession", sessionId, null);
  }

  /** What `invoke` answers, by the procedure's name. */
  readonly procedures: Record<string, Answer<unknown>> = {};

  async invoke(name: string, argsJson: string): Promise<Answer<string>> {
    const args: unknown = JSON.parse(argsJson);
    this.calls.push([name, args]);
    const answer = name === "session.list" ? ok(this.#page(args as ListParams)) : this.procedures[name];
    return this.failure ?? asText(answer);
  }

  #page(params: ListParams): ListPage {
    const at = params.nextToken === null ? 0 : Number(params.nextToken.replace("token-", ""));
    return {
      sessions: (this.pages[at] ?? []).map((sessionId) => ({ sessionId, sessionStatus: "RUNNING" })),
      nextToken: at + 1 < this.pages.length ? `token-${at + 1}` : null,
      maxResults: params.maxResults ?? 10,
      totalCount: this.pages.flat().length,
    };
  }

  #answer<T>(name: string, argument: unknown, data: T): Answer<T> {
    this.calls.push([name, argument]);
    return this.failure ?? ok(data);
  }
}

export class FakeSession implements NativeSession {
  readonly sessionId = "s-1";
  readonly imageId = "agb-code-space-1";
  readonly resourceUrl = null;
  readonly appInstanceId = "app-1";
  readonly resourceId = null;
  extensions = ["flow", "cancel", "stdin", "resume"];
  readonly calls: Array<[name: string, argument: unknown]> = [];
  readonly requests: RunRequest[] = [];
  readonly attached: AttachRequest[] = [];
  readonly commands: CommandRequest[] = [];
  readonly runs: FakeRun[] = [];
  failure: Answer<never> | null = null;
  tool: ToolResult = { isError: false, text: "pong", contentJson: '[{"type":"text","text":"pong"}]' };
  /** Called with each run as it starts, still inside of `stream`. */
  onStream: (run: FakeRun) => void = () => {};
  /** What `run` resolves to or rejects with. */
  onRun: (request: RunRequest) => Promise<RunResult> = async () => runResult();

  delete = async (): Promise<Answer<null>> => this.#answer("delete", null, null);

  /** What `invoke` answers, by the procedure's name; a list is answered one by one. */
  readonly procedures: Record<string, Answer<unknown> | Array<Answer<unknown>>> = {
    "session.status": ok("RUNNING"),
    "session.labels": ok([["team", "blue"]]),
    "session.info": ok(DETAILS),
    "session.tools": ok([SHELL]),
    "session.access": ok(ACCESS),
  };
  description: SessionDescription = { linkUrl: "https://link.example", wsUrl: "wss://ws.example", token: "t-1", status: "", tools: [] };

  async invoke(name: string, argsJson: string): Promise<Answer<string>> {
    this.calls.push([name, JSON.parse(argsJson)]);
    const answer = name === "session.callTool" ? ok(this.tool) : this.procedures[name];
    return this.failure ?? asText(Array.isArray(answer) ? answer.shift() : answer);
  }

  /** What `transfer` answers. */
  onTransfer: (name: string, args: Record<string, unknown>, bytes: Uint8Array | null) => Answer<Transferred> | Promise<Answer<Transferred>> = () => ok({ meta: "{}", bytes: new Uint8Array(0) });

  async transfer(name: string, argsJson: string, bytes: Uint8Array | null): Promise<Answer<Transferred>> {
    const args = JSON.parse(argsJson) as Record<string, unknown>;
    this.calls.push([name, args]);
    return this.failure ?? this.onTransfer(name, args, bytes);
  }

  describe(): string {
    return JSON.stringify(this.description);
  }

  run(request: RunRequest): Promise<RunResult> {
    this.requests.push(request);
    return this.onRun(request);
  }

  stream(request: RunRequest, wake: () => void): FakeRun {
    this.requests.push(request);
    const run = new FakeRun(wake);
    this.runs.push(run);
    this.onStream(run);
    return run;
  }

  command(request: CommandRequest, wake: () => void): FakeRun {
    this.commands.push(request);
    const run = new FakeRun(wake);
    this.runs.push(run);
    this.onStream(run);
    return run;
  }

  attach(request: AttachRequest, wake: () => void): FakeRun {
    this.attached.push(request);
    const run = new FakeRun(wake);
    this.runs.push(run);
    this.onStream(run);
    return run;
  }

  attachCommand(request: AttachRequest, wake: () => void): FakeRun {
    return this.attach(request, wake);
  }

  #answer<T>(name: string, argument: unknown, data: T): Answer<T> {
    this.calls.push([name, argument]);
    return this.failure ?? ok(data);
  }
}

export class FakeRun implements NativeRun {
  readonly id = "0123456789abcdef0123456789abcdef";
  /** How often `take` was called, and how often it had something. */
  takes = 0;
  batches = 0;
  cancels = 0;
  wakes = 0;
  /** What was written; `null` is the end of input. */
  readonly input: Array<string | null> = [];
  /** What `take` throws. */
  fault: Error | null = null;
  /** What happens on `cancel`; by default the run ends with `Cancelled`. */
  onCancel: () => void = () => this.end([], runResult({ success: false, status: "cancelled", error: CANCELLED, errorMessage: "The run was cancelled" }));
  #ready: Batch[] = [];
  #wakePending = false;
  #result: RunResult | null = null;
  #handedOver = false;

  constructor(readonly wake: () => void) {}

  /** One batch arrives. */
  push(...pieces: Piece[]): void {
    this.#arrive(batchOf(pieces, false));
  }

  /** The last batch arrives. */
  end(pieces: Piece[] = [], result: RunResult = runResult()): void {
    if (this.#result === null) {
      this.#result = result;
      this.#arrive(batchOf(pieces, true));
    }
  }

  take(): Batch | null {
    this.takes += 1;
    if (this.fault !== null) {
      throw this.fault;
    }
    const batch = this.#ready.shift() ?? null;
    if (batch === null) {
      this.#wakePending = false;
    } else {
      this.batches += 1;
      this.#handedOver ||= batch.ended;
    }
    return batch;
  }

  cancel(): void {
    this.cancels += 1;
    this.onCancel();
  }

  write(text: string): void {
    this.input.push(text);
  }

  endInput(): void {
    this.input.push(null);
  }

  /** Signals and sizes that were sent. */
  readonly orders: string[] = [];
  leaves = 0;

  signal(name: string): void {
    this.orders.push(name);
  }

  resize(cols: number, rows: number): void {
    this.orders.push(`${cols}x${rows}`);
  }

  leave(): void {
    this.leaves += 1;
    this.end([], runResult({ success: false, status: "interrupted", errorMessage: "it goes on" }));
  }

  result(): RunResult | null {
    return this.#handedOver ? this.#result : null;
  }

  #arrive(batch: Batch): void {
    this.#ready.push(batch);
    if (!this.#wakePending) {
      this.#wakePending = true;
      setImmediate(() => {
        this.wakes += 1;
        this.wake();
      });
    }
  }
}

export const CANCELLED: NativeRunError = { name: "Cancelled", value: "The run was cancelled", traceback: "" };

export function ok<T>(data: T): Answer<T> {
  return { requestId: "r-1", success: true, code: null, errorMessage: "", httpStatus: 200, data };
}

/** As the core answers: the data as JSON text. */
function asText(answer: Answer<unknown> | undefined): Answer<string> {
  const { data, ...rest } = answer ?? ok(null);
  return { ...rest, data: rest.success ? JSON.stringify(data) : null };
}

export function failed(code: string, httpStatus: number | null, errorMessage: string): Answer<never> {
  return { requestId: "r-2", success: false, code, errorMessage, httpStatus, data: null };
}

export function runResult(overrides: Partial<RunResult> = {}): RunResult {
  return {
    requestId: "0123456789abcdef0123456789abcdef",
    success: true,
    status: "finished",
    executionCount: 1,
    executionTime: 0.25,
    results: [],
    error: null,
    errorMessage: "",
    truncated: false,
    interruptions: 0,
    stateLost: false,
    exitCode: null,
    killedBy: null,
    seq: 0,
    time: null,
    logs: () => ({ text: "", marks: new Uint32Array(0) }),
    ...overrides,
  };
}

export function batchOf(pieces: readonly Piece[], ended: boolean): Batch {
  const events: NativeRunEvent[] = [];
  const stamps: number[] = [];
  const marks: number[] = [];
  let text = "";
  for (const piece of pieces) {
    stamps.push(piece.seq ?? 0, piece.time ?? 0, piece.background === true ? 1 : 0);
    if ("out" in piece) {
      text += piece.out;
      marks.push((piece.out.length << 2) | 0);
    } else if ("err" in piece) {
      text += piece.err;
      marks.push((piece.err.length << 2) | 1);
    } else {
      events.push(eventOf(piece));
      marks.push(2);
    }
  }
  return {
    text,
    marks: Uint32Array.from(marks),
    stamps: stamps.some((number) => number !== 0) ? Float64Array.from(stamps) : null,
    events: events.length === 0 ? null : events,
    ended,
  };
}

function eventOf(piece: Exclude<Piece, { readonly out: string } | { readonly err: string }>): NativeRunEvent {
  if ("error" in piece) {
    return { type: "error", error: piece.error };
  }
  if ("result" in piece) {
    return { type: "result", result: piece.result };
  }
  if ("prompt" in piece) {
    return { type: "inputRequest", prompt: piece.prompt, password: piece.password === true };
  }
  return "lost" in piece ? { type: "trouble", code: "CONNECTION_BROKEN", message: piece.lost } : { type: "reconnected" };
}

/**
 * The WebAssembly in the shape of `binding.ts`. The WebAssembly loads asynchronously and the contract's constructors
 * are synchronous, so everything here can be used before it is there; what is called meanwhile waits for it.
 *
 * @module
 */

import type { Client as WasmClient, NativeSession as WasmSession } from "#account";
import type { NativeRun as WasmRun, NativeSession as StreamingSession } from "#wasm";
import type {
  AccessRequest,
  Answer,
  Batch,
  Binding,
  ClientOptions,
  CreateParams,
  ListPage,
  ListParams,
  NativeClient,
  NativeLogLevel,
  NativeRun,
  NativeSession,
  RunRequest,
  RunResult,
  SessionDetails,
  ToolDescription,
  ToolResult,
} from "../binding.js";
import { brokenRun } from "../execution-result.js";
import type { InitializeOptions } from "../initialize.js";
import { log } from "../log.js";
import { VERSION } from "../version.js";
import { type AccountWasm, builds, type Wasm } from "./wasm.js";

const LEVELS: readonly NativeLogLevel[] = ["off", "error", "warn", "info", "debug", "trace"];

let applyLogger: (wasm: Wasm) => void = () => {};
let hasWarned = false;

const { session, account } = builds((wasm) => applyLogger(wasm));

/** As documented for `AGBConfig.timeoutMs`; only shown until the core has said what it is. */
const DEFAULT_TIMEOUT_MS = 60_000;

/** Loads a build now, for `initialize`. */
export async function loadNow({ wasm, account: wantsAccount }: InitializeOptions): Promise<void> {
  await (wantsAccount === true ? account : session).load(wasm);
}

class BrowserClient implements NativeClient {
  readonly #options: ClientOptions;
  #client: WasmClient | null = null;

  constructor(options: ClientOptions) {
    this.#options = options;
    if (account.loaded !== null) {
      this.#make(account.loaded);
    }
    if (options.apiKey !== null && !hasWarned) {
      hasWarned = true;
      log(
        "warn",
        "this page holds an API key, which everybody who opens it can read. That is for local development only: let your" +
          " server create the session and give the page session.browserAccess() for Session.attach()",
      );
    }
  }

  get endpoint(): string | null {
    return this.#client?.endpoint ?? null;
  }

  get timeoutMs(): number {
    return this.#client?.timeoutMs ?? this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  }

  async createSession(params: CreateParams): Promise<Answer<NativeSession>> {
    const { imageId, labels, idleReleaseTimeout, mcpPolicyId, contextId, sdkVersion } = params;
    const client = await this.#ready();
    return adopted(
      await client.createSession(imageId, flat(labels), idleReleaseTimeout, mcpPolicyId, contextId, sdkVersion),
    );
  }

  async getSession(sessionId: string): Promise<Answer<NativeSession>> {
    return adopted(await (await this.#ready()).getSession(sessionId));
  }

  async listSessions({ labels, maxResults, nextToken, isAll }: ListParams): Promise<Answer<ListPage>> {
    return (await this.#ready()).listSessions(flat(labels), maxResults, nextToken, isAll);
  }

  async deleteSession(sessionId: string): Promise<Answer<null>> {
    return (await this.#ready()).deleteSession(sessionId);
  }

  async listTools(imageId: string): Promise<Answer<ToolDescription[]>> {
    return (await this.#ready()).listTools(imageId);
  }

  async #ready(): Promise<WasmClient> {
    return this.#client ?? this.#make(await account.load());
  }

  #make(wasm: AccountWasm): WasmClient {
    const { apiKey, endpoint, timeoutMs } = this.#options;
    this.#client = new wasm.Client(apiKey, endpoint, timeoutMs);
    return this.#client;
  }
}

/** A session of the account that this page has the key of. */
class AccountSession implements NativeSession {
  readonly #session: WasmSession;

  constructor(session: WasmSession) {
    this.#session = session;
  }

  get sessionId(): string {
    return this.#session.sessionId;
  }

  get imageId(): string | null {
    return this.#session.imageId ?? null;
  }

  get resourceUrl(): string | null {
    return this.#session.resourceUrl ?? null;
  }

  get appInstanceId(): string | null {
    return this.#session.appInstanceId ?? null;
  }

  get resourceId(): string | null {
    return this.#session.resourceId ?? null;
  }

  get extensions(): readonly string[] {
    return this.#session.extensions;
  }

  delete = (): Promise<Answer<null>> => this.#session.delete();
  getStatus = (): Promise<Answer<string>> => this.#session.getStatus();
  keepAlive = (): Promise<Answer<null>> => this.#session.keepAlive();
  getLabels = (): Promise<Answer<Array<[key: string, value: string]>>> => this.#session.getLabels();
  info = (): Promise<Answer<SessionDetails>> => this.#session.info();
  listTools = (): Promise<Answer<ToolDescription[]>> => this.#session.listTools();

  setLabels(labels: ReadonlyArray<readonly [key: string, value: string]>): Promise<Answer<null>> {
    return this.#session.setLabels(flat(labels));
  }

  callTool(name: string, argsJson: string): Promise<Answer<ToolResult>> {
    return this.#session.callTool(name, argsJson);
  }

  browserAccess({ scope, lastsS, renew }: AccessRequest): Promise<Answer<string>> {
    return this.#session.browserAccess(scope, lastsS, renew);
  }

  run({ code, language, timeoutS, logLimit }: RunRequest): Promise<RunResult> {
    return this.#session.run(code, language, timeoutS, logLimit);
  }

  stream(request: RunRequest, wake: () => void): NativeRun {
    return new BrowserRun(this.#session, request, wake);
  }
}

/** What a page without the API key gets from whatever needs it; nothing is loaded or sent for that. */
const needsKey = async (): Promise<Answer<never>> => ({
  requestId: "",
  success: false,
  code: "NO_API_KEY",
  errorMessage: "this page was let into the session by its server and holds no API key; ask that server to do it",
  httpStatus: null,
  data: null,
});

/** A session that this page was let into: it streams, and leaves its tools to the larger build. */
class GuestSession implements NativeSession {
  readonly sessionId: string;
  readonly extensions: readonly string[];
  readonly imageId = null;
  readonly resourceUrl = null;
  readonly appInstanceId = null;
  readonly resourceId = null;
  readonly #access: string;
  #session: StreamingSession | Promise<StreamingSession>;
  #full: Promise<AccountSession> | null = null;

  constructor(access: string) {
    const { sessionId, extensions } = JSON.parse(access) as { sessionId: string; extensions?: string[] };
    this.sessionId = sessionId;
    this.extensions = extensions ?? [];
    this.#access = access;
    const wasm = session.loaded ?? account.loaded;
    this.#session = wasm?.attach(access) ?? session.load().then(({ attach }) => (this.#session = attach(access)));
    if (this.#session instanceof Promise) {
      this.#session.catch(() => {}); // the first run says why
    }
  }

  readonly delete = needsKey;
  readonly getStatus = needsKey;
  readonly keepAlive = needsKey;
  readonly setLabels = needsKey;
  readonly getLabels = needsKey;
  readonly info = needsKey;
  readonly browserAccess = needsKey;
  listTools = async (): Promise<Answer<ToolDescription[]>> => (await this.#all()).listTools();

  async callTool(name: string, argsJson: string): Promise<Answer<ToolResult>> {
    return (await this.#all()).callTool(name, argsJson);
  }

  /** All output with the result: a stream that nobody watches. */
  run(request: RunRequest): Promise<RunResult> {
    return new Promise((resolve) => {
      const read = (): void => {
        for (let batch; (batch = run.take()) !== null; ) {
          if (batch.ended) {
            resolve(run.result() ?? brokenRun("the run ended without a result"));
          }
        }
      };
      // What wakes us before there is a run is found by reading once afterwards.
      let wake = (): void => {};
      const run = this.stream(request, () => wake());
      wake = read;
      read();
    });
  }

  stream(request: RunRequest, wake: () => void): NativeRun {
    return new BrowserRun(this.#session, request, wake);
  }

  #all(): Promise<AccountSession> {
    this.#full ??= account.load().then(({ attach }) => new AccountSession(attach(this.#access)));
    return this.#full;
  }
}

/** A run of the WebAssembly, one that waits for it, or one that was never sent. */
class BrowserRun implements NativeRun {
  #run: WasmRun | null = null;
  /** What a run came to that was never sent. */
  #refused: RunResult | null = null;
  #hasEnded = false;
  #isCancelled = false;

  constructor(session: StreamingSession | Promise<StreamingSession>, request: RunRequest, wake: () => void) {
    if (session instanceof Promise) {
      session.then(
        (ready) => {
          this.#start(ready, request, wake);
          wake();
        },
        (error: unknown) => {
          this.#refused = failedRun("NativeAddonError", error instanceof Error ? error.message : String(error));
          wake();
        },
      );
    } else {
      this.#start(session, request, wake);
    }
  }

  get id(): string {
    return this.#run?.id ?? "";
  }

  take(): Batch | null {
    if (this.#refused === null || this.#hasEnded) {
      return this.#run?.take() ?? null;
    }
    this.#hasEnded = true;
    return { text: "", marks: new Uint32Array(0), events: null, ended: true };
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#run?.cancel();
  }

  result(): RunResult | null {
    return this.#refused ?? this.#run?.result() ?? null;
  }

  #start(session: StreamingSession, { code, language, timeoutS, logLimit }: RunRequest, wake: () => void): void {
    if (this.#isCancelled) {
      this.#refused = failedRun("Cancelled", "cancelled before it began; the code was not run");
      return;
    }
    const started = session.stream(code, language, timeoutS, logLimit, wake);
    if ("take" in started) {
      this.#run = started;
    } else {
      this.#refused = started;
    }
  }
}

function failedRun(name: string, value: string): RunResult {
  return { ...brokenRun(value), error: { name, value, traceback: "" }, errorMessage: value };
}

function adopted(answer: Answer<WasmSession>): Answer<NativeSession> {
  const { data } = answer;
  return { ...answer, data: data === null ? null : new AccountSession(data) };
}

function flat(pairs: ReadonlyArray<readonly [string, string]> | null): string[] {
  return pairs?.flat() ?? [];
}

/** The binding that `browser.ts` plugs in. */
export const browserBinding: Binding = {
  version: VERSION,
  Client: BrowserClient,
  attach: (access) => new GuestSession(access),
  setLogger(level, sink) {
    applyLogger = (wasm) => wasm.setLogger(LEVELS.indexOf(level), sink);
    for (const { loaded } of [session, account]) {
      if (loaded !== null) {
        applyLogger(loaded);
      }
    }
  },
};

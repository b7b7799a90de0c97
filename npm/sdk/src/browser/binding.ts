/**
 * The WebAssembly in the shape of `binding.ts`. The WebAssembly loads asynchronously and the contract's constructors
 * are synchronous, so everything here can be used before it is there; what is called meanwhile waits for it.
 *
 * @module
 */

import type { NativeRun as WasmRun, NativeSession as WasmSession, Client as WasmClient } from "#wasm";
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
import { log } from "../log.js";
import { VERSION } from "../version.js";
import { load, loadedWasm, type Wasm } from "./wasm.js";

const LEVELS: readonly NativeLogLevel[] = ["off", "error", "warn", "info", "debug", "trace"];

let applyLogger: ((wasm: Wasm) => void) | null = null;
let hasWarned = false;

/** As documented for `AGBConfig.timeoutMs`; only shown until the core has said what it is. */
const DEFAULT_TIMEOUT_MS = 60_000;

async function ready(): Promise<Wasm> {
  const isFirst = loadedWasm() === null;
  const wasm = await load();
  if (isFirst) {
    applyLogger?.(wasm);
  }
  return wasm;
}

class BrowserClient implements NativeClient {
  readonly #options: ClientOptions;
  #client: WasmClient | null = null;

  constructor(options: ClientOptions) {
    this.#options = options;
    const wasm = loadedWasm();
    if (wasm !== null) {
      this.#make(wasm);
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
    return this.#client ?? this.#make(await ready());
  }

  #make(wasm: Wasm): WasmClient {
    const { apiKey, endpoint, timeoutMs } = this.#options;
    this.#client = new wasm.Client(apiKey, endpoint, timeoutMs);
    return this.#client;
  }
}

/** A session that the WebAssembly has, or will have once it is loaded. */
class BrowserSession implements NativeSession {
  readonly sessionId: string;
  readonly extensions: readonly string[];
  #session: WasmSession | null;
  readonly #attaching: Promise<WasmSession>;

  constructor(session: WasmSession | Promise<WasmSession>, known: Pick<NativeSession, "sessionId" | "extensions">) {
    this.sessionId = known.sessionId;
    this.extensions = known.extensions;
    this.#session = session instanceof Promise ? null : session;
    this.#attaching = Promise.resolve(session).then((ready) => (this.#session = ready));
    this.#attaching.catch(() => {}); // whoever uses it will hear of it
  }

  get imageId(): string | null {
    return this.#session?.imageId ?? null;
  }

  get resourceUrl(): string | null {
    return this.#session?.resourceUrl ?? null;
  }

  get appInstanceId(): string | null {
    return this.#session?.appInstanceId ?? null;
  }

  get resourceId(): string | null {
    return this.#session?.resourceId ?? null;
  }

  async delete(): Promise<Answer<null>> {
    return (await this.#attaching).delete();
  }

  async getStatus(): Promise<Answer<string>> {
    return (await this.#attaching).getStatus();
  }

  async keepAlive(): Promise<Answer<null>> {
    return (await this.#attaching).keepAlive();
  }

  async setLabels(labels: ReadonlyArray<readonly [key: string, value: string]>): Promise<Answer<null>> {
    return (await this.#attaching).setLabels(flat(labels));
  }

  async getLabels(): Promise<Answer<Array<[key: string, value: string]>>> {
    return (await this.#attaching).getLabels();
  }

  async info(): Promise<Answer<SessionDetails>> {
    return (await this.#attaching).info();
  }

  async callTool(name: string, argsJson: string): Promise<Answer<ToolResult>> {
    return (await this.#attaching).callTool(name, argsJson);
  }

  async listTools(): Promise<Answer<ToolDescription[]>> {
    return (await this.#attaching).listTools();
  }

  async browserAccess({ scope, lastsS, renew }: AccessRequest): Promise<Answer<string>> {
    return (await this.#attaching).browserAccess(scope, lastsS, renew);
  }

  async run({ code, language, timeoutS, logLimit }: RunRequest): Promise<RunResult> {
    return (await this.#attaching).run(code, language, timeoutS, logLimit);
  }

  stream(request: RunRequest, wake: () => void): NativeRun {
    return new BrowserRun(this.#session ?? this.#attaching, request, wake);
  }
}

/** A run of the WebAssembly, one that waits for it, or one that was never sent. */
class BrowserRun implements NativeRun {
  #run: WasmRun | null = null;
  /** What a run came to that was never sent. */
  #refused: RunResult | null = null;
  #hasEnded = false;
  #isCancelled = false;

  constructor(session: WasmSession | Promise<WasmSession>, request: RunRequest, wake: () => void) {
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

  #start(session: WasmSession, { code, language, timeoutS, logLimit }: RunRequest, wake: () => void): void {
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
  return { ...answer, data: data === null ? null : new BrowserSession(data, data) };
}

function flat(pairs: ReadonlyArray<readonly [string, string]> | null): string[] {
  return pairs?.flat() ?? [];
}

/** The binding that `browser.ts` plugs in. */
export const browserBinding: Binding = {
  version: VERSION,
  Client: BrowserClient,
  attach(access) {
    const wasm = loadedWasm();
    const session = wasm === null ? ready().then(({ attach }) => attach(access)) : wasm.attach(access);
    const { sessionId, extensions } = JSON.parse(access) as { sessionId: string; extensions?: string[] };
    return new BrowserSession(session, { sessionId, extensions: extensions ?? [] });
  },
  setLogger(level, sink) {
    applyLogger = (wasm) => wasm.setLogger(LEVELS.indexOf(level), sink);
    const wasm = loadedWasm();
    if (wasm !== null) {
      applyLogger(wasm);
    }
  },
};

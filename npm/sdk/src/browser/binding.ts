/**
 * The WebAssembly in the shape of `binding.ts`. The WebAssembly loads asynchronously and the contract's constructors
 * are synchronous, so everything here can be used before it is there; what is called meanwhile waits for it.
 *
 * @module
 */

import type { NativeSession as StreamingSession } from "#wasm";
import type {
  Answer,
  AttachRequest,
  Binding,
  ClientOptions,
  CommandRequest,
  CreateParams,
  NativeClient,
  NativeLogLevel,
  NativeRun,
  NativeSession,
  RunRequest,
  Transferred,
} from "../binding.js";
import type { InitializeOptions } from "../initialize-options.js";
import { log } from "../log.js";
import { VERSION } from "../version.js";
import { Guest } from "./guest.js";
import { loadFiles } from "./load-files.js";
import { BrowserRun, commands, type Fallback, finds, starts, takesInput } from "./run.js";
import type { AccountSession } from "./account.js";
import { type AccountWasm, builds, type Wasm } from "./wasm.js";

const LEVELS: readonly NativeLogLevel[] = ["off", "error", "warn", "info", "debug", "trace"];

let applyLogger: (wasm: Wasm) => void = () => {};
let hasWarned = false;

const { session, account } = builds((wasm) => applyLogger(wasm));

/** As documented for `AGBConfig.timeoutMs`; only shown until the core has said what it is. */
const DEFAULT_TIMEOUT_MS = 60_000;

/** Loads a build now, for `initialize`. */
export async function loadNow({ wasm, account: wantsAccount }: InitializeOptions): Promise<void> {
  await (wantsAccount === true ? Promise.all([account.load(wasm), loadFiles()]) : session.load(wasm));
}

/** The account of a build, which does not know its key. */
type LoadedClient = Omit<NativeClient, "apiKey">;

class BrowserClient implements NativeClient {
  readonly #options: ClientOptions;
  #client: LoadedClient | null = null;

  constructor(options: ClientOptions) {
    this.#options = options;
    if (account.loaded !== null) {
      this.#make(account.loaded);
    }
    if (options.apiKey !== null && !hasWarned) {
      hasWarned = true;
      log(
        "warn",
        "this page holds an API key, which everybody who opens it can read: for local development only. Let your server" +
          " create the session and give the page session.browserAccess()",
      );
    }
  }

  get endpoint(): string | null {
    return this.#client?.endpoint ?? null;
  }

  apiKey(): string | null {
    return this.#options.apiKey;
  }

  get timeoutMs(): number {
    return this.#client?.timeoutMs ?? this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  }

  createSession = async (params: CreateParams): Promise<Answer<NativeSession>> => (await this.#ready()).createSession(params);
  getSession = async (sessionId: string): Promise<Answer<NativeSession>> => (await this.#ready()).getSession(sessionId);
  deleteSession = async (sessionId: string): Promise<Answer<null>> => (await this.#ready()).deleteSession(sessionId);

  invoke = async (name: string, argsJson: string): Promise<Answer<string>> => (await this.#ready()).invoke(name, argsJson);

  async #ready(): Promise<LoadedClient> {
    return this.#client ?? this.#make(await account.load());
  }

  #make({ AccountClient }: AccountWasm): LoadedClient {
    this.#client = new AccountClient(this.#options);
    return this.#client;
  }
}

/** A session that this page was let into: it streams, and leaves its tools to the larger build. */
class GuestSession extends Guest {
  #session: StreamingSession | Promise<StreamingSession>;
  #full: Promise<AccountSession> | null = null;

  constructor(access: string) {
    super(access);
    const wasm = session.loaded ?? account.loaded;
    this.#session = wasm === null ? session.load().then((loaded) => (this.#session = this.#enter(loaded))) : this.#enter(wasm);
    if (this.#session instanceof Promise) {
      this.#session.catch(() => {}); // the first run says why
    }
  }

  protected async call(name: string, argsJson: string): Promise<Answer<string>> {
    return (await this.#all()).invoke(name, argsJson);
  }

  async transfer(name: string, argsJson: string, bytes: Uint8Array | null): Promise<Answer<Transferred>> {
    return (await this.#all()).transfer(name, argsJson, bytes);
  }

  stream(request: RunRequest, wake: () => void): NativeRun {
    const fallback: Fallback = async (why, wakeUp) => (await this.#all()).callPlainly(request, why, wakeUp);
    return new BrowserRun(this.#session, starts(request), wake, takesInput(this, request) ? null : fallback);
  }

  command(request: CommandRequest, wake: () => void): NativeRun {
    return new BrowserRun(this.#session, commands(request), wake);
  }

  attach(request: AttachRequest, wake: () => void): NativeRun {
    return new BrowserRun(this.#session, finds(request), wake);
  }

  attachCommand(request: AttachRequest, wake: () => void): NativeRun {
    return new BrowserRun(this.#session, finds(request, true), wake);
  }

  #all(): Promise<AccountSession> {
    this.#full ??= account.load().then((loaded) => new loaded.AccountSession(this.#enter(loaded)));
    return this.#full;
  }

  #enter<S>({ attach }: { attach(...access: Parameters<Wasm["attach"]>): S }): S {
    const { sessionId, wsUrl, linkUrl, token, target } = this.access;
    return attach(sessionId, wsUrl, linkUrl, token, this.extensions.join(" "), target);
  }
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

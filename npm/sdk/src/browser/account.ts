/**
 * Everything that a page can do with an API key, and calling tools: loaded, with the larger build of the WebAssembly,
 * when it is needed.
 *
 * @module
 */

import { Client, type NativeSession as WasmSession } from "#account";
import type {
  Answer,
  AttachRequest,
  ClientOptions,
  CommandRequest,
  CreateParams,
  NativeClient,
  NativeRun,
  NativeSession,
  RunRequest,
  RunResult,
  Transferred,
} from "../binding.js";
import { PlainRun } from "./plain.js";
import { BrowserRun, commands, type Fallback, finds, resultOf, starts, takesInput } from "./run.js";

export { attach, default as init, setLogger } from "#account";
export * as files from "../lazy-files.js";

/** An account at an endpoint. */
export class AccountClient implements Omit<NativeClient, "apiKey"> {
  readonly #client: Client;

  constructor({ apiKey, endpoint, timeoutMs }: ClientOptions) {
    this.#client = new Client(apiKey, endpoint, timeoutMs);
  }

  get endpoint(): string {
    return this.#client.endpoint;
  }

  get timeoutMs(): number {
    return this.#client.timeoutMs;
  }

  async createSession(params: CreateParams): Promise<Answer<NativeSession>> {
    const { imageId, labels, idleReleaseTimeout, mcpPolicyId, contextId, persistence, options, sdkVersion } = params;
    const rest = [mcpPolicyId, contextId, persistence, options, sdkVersion] as const;
    return adopted(await this.#client.createSession(imageId, flat(labels), idleReleaseTimeout, ...rest));
  }

  async getSession(sessionId: string): Promise<Answer<NativeSession>> {
    return adopted(await this.#client.getSession(sessionId));
  }

  deleteSession(sessionId: string): Promise<Answer<null>> {
    return this.#client.deleteSession(sessionId);
  }

  invoke(name: string, argsJson: string): Promise<Answer<string>> {
    return this.#client.invoke(name, argsJson);
  }
}

/** A session of the account that this page has the key of. */
export class AccountSession implements NativeSession {
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

  describe = (): string => this.#session.describe();
  delete = (): Promise<Answer<null>> => this.#session.delete();

  invoke(name: string, argsJson: string): Promise<Answer<string>> {
    return this.#session.invoke(name, argsJson);
  }

  transfer(name: string, argsJson: string, bytes: Uint8Array | null): Promise<Answer<Transferred>> {
    return this.#session.transfer(name, argsJson, bytes);
  }

  /** All output with the result: a stream that nobody watches, where it is found again after a lost connection. */
  run(request: RunRequest): Promise<RunResult> {
    return this.extensions.includes("resume") ? resultOf((wake) => this.stream(request, wake)) : this.#call(request);
  }

  #call({ code, language, timeoutS, logLimit, resultLimit }: RunRequest, unstreamed?: string): Promise<RunResult> {
    return this.#session.run(code, language, timeoutS, logLimit, resultLimit, unstreamed);
  }

  stream(request: RunRequest, wake: () => void): NativeRun {
    const fallback: Fallback = async (why, wakeUp) => this.callPlainly(request, why, wakeUp);
    return new BrowserRun(this.#session, starts(request), wake, takesInput(this, request) ? null : fallback);
  }

  /** Makes a run by a plain call, of which nothing was sent. */
  callPlainly(request: RunRequest, why: string, wake: () => void): NativeRun {
    return new PlainRun(this.#call(request, why), why, request.stamps, wake);
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
}

function adopted(answer: Answer<WasmSession>): Answer<NativeSession> {
  const { data } = answer;
  return { ...answer, data: data === null ? null : new AccountSession(data) };
}

function flat(pairs: ReadonlyArray<readonly [string, string]> | null): string[] {
  return pairs?.flat() ?? [];
}

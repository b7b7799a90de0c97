import { backend } from "./backend.js";
import type { Answer, ClientOptions, ListPage, ListParams, NativeClient, NativeSession } from "./binding.js";
import { call, type CallOptions } from "./call.js";
import {
  checkObject,
  checkOptionalCount,
  checkOptionalNumber,
  checkOptionalString,
  checkString,
  describe,
  labelPairs,
} from "./check.js";
import { type CreateSessionOptions, type CreateSessionParams, type Labels, toCreateParams } from "./create-session-params.js";
import { AGBError, AuthenticationError, ConfigurationError } from "./errors.js";
import { currentPlatform } from "./platform.js";
import {
  apiResult,
  type DeleteResult,
  type GetSessionResult,
  operationResult,
  present,
  type SessionListResult,
  type SessionResult,
} from "./results.js";
import { Session } from "./session.js";
import type { StreamingLimits } from "./streaming-limits.js";

/** Settings of the connection to the service. */
export interface AGBConfig {
  /**
   * Host (https), URL, or `local` for a server on this machine that starts with the first call and ends with this
   * process; it needs the package `agbcloud-local`. Default: `AGB_ENDPOINT`, else the public service.
   */
  readonly endpoint?: string | undefined;
  /** Time limit of one HTTP call, milliseconds. Default: `AGB_TIMEOUT_MS`, else 60000. */
  readonly timeoutMs?: number | undefined;
  /** Limits of the connections over which runs stream, in Node. */
  readonly streaming?: StreamingLimits | undefined;
}

/** What {@link AGB} can be told. What is left out comes from the environment, then from a `.env` file, then from defaults. */
export interface AGBOptions {
  /** Default: `AGB_API_KEY`. Not needed with `endpoint: "local"`. */
  readonly apiKey?: string | undefined;
  /** How to reach the service. */
  readonly config?: AGBConfig | undefined;
  /** Path of a `.env` file. Default: the first `.env` from the working directory upwards. */
  readonly envFile?: string | undefined;
}

/** Which page of {@link AGB.list}. */
export interface ListOptions extends CallOptions {
  /** Where the page begins: `nextToken` of the page before. */
  readonly nextToken?: string | undefined;
  /** Sessions a page; the service's default is 10. */
  readonly maxResults?: number | undefined;
  /** Sessions in every state, not only those that run. */
  readonly isAll?: boolean | undefined;
}

/**
 * One account at AGB: makes sessions and finds them again.
 *
 * ```ts
 * const agb = new AGB(); // AGB_API_KEY from the environment or a .env file
 * const { session } = await agb.create({ imageId: "agb-code-space-1" });
 * ```
 */
export class AGB {
  readonly #client: NativeClient;

  /**
   * Connects to nothing yet.
   *
   * @param options An API key, or {@link AGBOptions}.
   * @throws {@link AuthenticationError} (`NO_API_KEY`) when no key is to be found.
   * @throws {@link ConfigurationError} (`BAD_ENDPOINT`, `BAD_TIMEOUT`, `BAD_ENV_FILE`, `NO_LOCAL_SERVER`).
   * @throws {@link NativeAddonError} when the native part does not exist for this platform.
   * @throws TypeError when an option has the wrong type.
   */
  constructor(options?: string | AGBOptions) {
    const clientOptions = toClientOptions(options);
    const { Client } = backend();
    try {
      this.#client = new Client(clientOptions);
    } catch (error) {
      throw constructionError(error);
    }
  }

  /** Base URL of the service; `null` while a local server has not been started yet. */
  get endpoint(): string | null {
    return this.#client.endpoint;
  }

  /** Time limit of one HTTP call, milliseconds. */
  get timeoutMs(): number {
    return this.#client.timeoutMs;
  }

  /**
   * Makes a session. It lives until it is deleted or unused for too long. One that was made although the call was
   * aborted is released as soon as its answer comes.
   *
   * @throws TypeError (as a rejection) when a parameter has the wrong type; nothing is sent then.
   */
  async create(params: CreateSessionParams | CreateSessionOptions, options?: CallOptions): Promise<SessionResult> {
    const request = toCreateParams(params);
    const begin = () => this.#client.createSession(request);
    return sessionResult(await call(options, begin, (running) => void running.then(({ data }) => data?.delete(), () => {})));
  }

  /** Takes up a session that exists, e.g. one that another process made. */
  async get(sessionId: string, options?: CallOptions): Promise<SessionResult> {
    checkString("sessionId", sessionId);
    return sessionResult(await call(options, () => this.#client.getSession(sessionId)));
  }

  /** What the service knows of a session, without taking it up. */
  async getSession(sessionId: string, options?: CallOptions): Promise<GetSessionResult> {
    checkString("sessionId", sessionId);
    const answer = await call(options, () => this.#client.getSession(sessionId));
    return operationResult(answer, ({ sessionId: id, appInstanceId, resourceId, resourceUrl }) => ({
      sessionId: id,
      ...present({ appInstanceId, resourceId, resourceUrl }),
    }));
  }

  /**
   * Lists sessions, a page at a time.
   *
   * @param labels Only sessions that have all of these.
   * @param page Number of the page, from 1; or {@link ListOptions}, which reach a page in one call by its token, and
   * have a signal.
   * @param limit Sessions a page, with a page number; default 10.
   */
  async list(labels?: Labels | null, page: number | ListOptions | null = 1, limit?: number | null): Promise<SessionListResult> {
    const pairs = labels === undefined || labels === null ? null : labelPairs("labels", labels);
    if (typeof page === "object" && page !== null) {
      const params = toListParams(pairs, page);
      return listResult(await call(page, () => this.#client.listSessions(params)));
    }
    const number = checkOptionalCount("page", page, "pages") ?? 1;
    const maxResults = checkOptionalCount("limit", limit, "sessions");
    return this.#listPage({ labels: pairs, maxResults, nextToken: null, isAll: null }, number);
  }

  /**
   * Releases a session and waits until it is gone.
   *
   * @param session A {@link Session}, or the id of one.
   */
  async delete(session: Session | string, options?: CallOptions): Promise<DeleteResult> {
    if (session instanceof Session) {
      return session.delete(options);
    }
    if (typeof session !== "string") {
      throw new TypeError(`session must be a Session or the id of one, not ${describe(session)}`);
    }
    checkString("session", session);
    return apiResult(await call(options, () => this.#client.deleteSession(session)));
  }

  /** Pages have no numbers on the wire: goes from one to the next by their tokens. */
  async #listPage(params: ListParams, number: number): Promise<SessionListResult> {
    let result = listResult(await this.#client.listSessions(params));
    for (let at = 1; at < number && result.success; at += 1) {
      if (result.nextToken === "") {
        const errorMessage = `There is no page ${number}: page ${at} is the last one (${result.totalCount} sessions in all)`;
        return { ...result, success: false, errorMessage, code: "NO_SUCH_PAGE", sessionIds: [], sessions: [] };
      }
      result = listResult(await this.#client.listSessions({ ...params, nextToken: result.nextToken }));
    }
    return result;
  }
}

function toClientOptions(options: string | AGBOptions | undefined): ClientOptions {
  if (typeof options === "string") {
    return toClientOptions({ apiKey: options });
  }
  const { apiKey, config = {}, envFile } = checkedOptions(options);
  checkObject("config", config);
  const env = currentPlatform().environment();
  const endpoint = checkOptionalString("config.endpoint", config.endpoint);
  return {
    apiKey: checkOptionalString("apiKey", apiKey),
    endpoint,
    timeoutMs: checkOptionalNumber("config.timeoutMs", config.timeoutMs, "milliseconds"),
    envFile: checkOptionalString("envFile", envFile),
    streaming: currentPlatform().streamingLimits?.(config.streaming),
    env,
    localServer: mayBeLocal(endpoint, env) ? currentPlatform().findLocalServer() : null,
  };
}

function checkedOptions(options: AGBOptions | undefined | null): AGBOptions {
  if (options === undefined || options === null) {
    return {};
  }
  checkObject("options", options);
  return options;
}

/** Whether to look for a server program: not when code or environment name another endpoint. A `.env` file might. */
function mayBeLocal(endpoint: string | null, env: ClientOptions["env"]): boolean {
  const named = endpoint ?? env.find(([name, value]) => name === "AGB_ENDPOINT" && value !== "")?.[1];
  return named === undefined || named.trim().toLowerCase() === "local";
}

/** The typed error for what the backend's constructor threw. */
function constructionError(error: unknown): unknown {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") {
    return error;
  }
  switch (error.code) {
    case "NO_API_KEY":
      return new AuthenticationError(error.message, error.code);
    case "NO_LOCAL_SERVER":
      return new ConfigurationError(
        'The endpoint is "local", but no server program was found. Run `npm install agbcloud-local`, or let AGB_SERVER' +
          " name an agb-server program",
        error.code,
        { cause: error },
      );
    case "BAD_ENDPOINT":
    case "BAD_TIMEOUT":
    case "BAD_ENV_FILE":
      return new ConfigurationError(error.message, error.code);
    default:
      return new AGBError(error.message, error.code, { cause: error });
  }
}

function toListParams(labels: ListParams["labels"], options: ListOptions): ListParams {
  if (options.isAll !== undefined && typeof options.isAll !== "boolean") {
    throw new TypeError(`isAll must be true or false, not ${describe(options.isAll)}`);
  }
  return {
    labels,
    maxResults: checkOptionalCount("maxResults", options.maxResults, "sessions"),
    nextToken: checkOptionalString("nextToken", options.nextToken),
    isAll: options.isAll ?? null,
  };
}

function sessionResult(answer: Answer<NativeSession>): SessionResult {
  return answer.success && answer.data !== null
    ? { ...apiResult(answer), session: Session.fromNative(answer.data) }
    : apiResult(answer);
}

function listResult(answer: Answer<ListPage>): SessionListResult {
  const sessions = answer.data?.sessions.map(({ sessionId, sessionStatus }) => ({ sessionId, sessionStatus })) ?? [];
  return {
    ...apiResult(answer),
    sessionIds: sessions.map(({ sessionId }) => sessionId),
    sessions,
    nextToken: answer.data?.nextToken ?? "",
    maxResults: answer.data?.maxResults ?? 0,
    totalCount: answer.data?.totalCount ?? 0,
  };
}

import type {
  Answer,
  ListPage,
  ListParams,
  NativeClient,
  NativeSession,
  SessionDescription,
} from "./binding.js";
import { bindMethods } from "./bind-methods.js";
import { call, type CallOptions } from "./call.js";
import {
  checkOptionalCount,
  checkOptionalString,
  checkString,
  describe,
  labelPairs,
} from "./check.js";
import { type AGBOptions, makeClient } from "./client-options.js";
import { type Config, configOf } from "./config.js";
import { type CreateSessionOptions, type CreateSessionParams, type Labels, toCreateParams } from "./create-session-params.js";
import { ContextService } from "./context.js";
import type { ContextStatusData } from "./context-results.js";
import { invoke } from "./invoke.js";
import { log } from "./log.js";
import {
  apiResult,
  type DeleteResult,
  type GetSessionData,
  type GetSessionResult,
  operationResult,
  always,
  checkedOr,
  noAnswer,
  type SessionListResult,
} from "./results.js";
import { Session } from "./session.js";
import type { SessionResult } from "./session-result.js";

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
  /** Contexts: files that outlive sessions. */
  readonly context: ContextService;
  readonly #client: NativeClient;
  readonly #endpoint: string | undefined;

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
    this.#client = makeClient(options);
    this.#endpoint = typeof options === "object" ? options?.config?.endpoint : undefined;
    this.context = new ContextService(this.#client);
    bindMethods(this);
  }

  /** Base URL of the service; `null` while a local server has not been started yet. */
  get endpoint(): string | null {
    return this.#client.endpoint;
  }

  /** Time limit of one HTTP call, milliseconds. */
  get timeoutMs(): number {
    return this.#client.timeoutMs;
  }

  /** The API key, wherever it came from; empty with the endpoint `local`. Nothing that prints an account shows it. */
  get apiKey(): string {
    return this.#client.apiKey() ?? "";
  }

  /** How the service is reached. */
  get config(): Config {
    return configOf(this.#client, this.#endpoint);
  }

  /** Without the API key. */
  toJSON(): Config {
    return this.config;
  }

  /**
   * Makes a session. It lives until it is deleted or unused for too long. One that was made although the call was
   * aborted is released as soon as its answer comes.
   *
   * Wrong parameters resolve with the code `BAD_ARGUMENTS`, and nothing is sent. With `contextSync` it resolves when the
   * files of the contexts are there, or have failed to come: see `contexts` of the result.
   */
  async create(params: CreateSessionParams | CreateSessionOptions, options?: CallOptions): Promise<SessionResult> {
    const request = checkedOr(() => toCreateParams(params));
    if ("failure" in request) {
      return this.#sessionResult(request.failure);
    }
    const begin = () => this.#client.createSession(request.value);
    const release = (running: Promise<Answer<NativeSession>>) => void running.then(({ data }) => data?.delete(), () => {});
    const answer = await call(options, begin, release);
    const result = this.#sessionResult(answer);
    return answer.data === null || request.value.persistence === null ? result : withContexts(result, answer.data, options);
  }

  /** Takes up a session that exists, e.g. one that another process made. On failure `session` is `null`. */
  async get(sessionId: string, options?: CallOptions): Promise<SessionResult> {
    const id = checkedOr(() => checkString("sessionId", sessionId));
    const answer = "failure" in id ? id.failure : await call(options, () => this.#client.getSession(id.value));
    const result = this.#sessionResult(answer);
    return answer.success ? result : { ...result, session: null as unknown as Session };
  }

  /** What the service knows of a session, without taking it up. */
  async getSession(sessionId: string, options?: CallOptions): Promise<GetSessionResult> {
    const id = checkedOr(() => checkString("sessionId", sessionId));
    const answer = "failure" in id ? id.failure : await call(options, () => this.#client.getSession(id.value));
    return { ...operationResult(answer, toSessionData), ...always(answer) };
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
    const checked = checkedOr(() => {
      const pairs = labels === undefined || labels === null ? null : labelPairs("labels", labels);
      return typeof page === "object" && page !== null
        ? { params: toListParams(pairs, page), number: 0 }
        : {
            params: { labels: pairs, maxResults: checkOptionalCount("limit", limit, "sessions"), nextToken: null, isAll: null },
            number: checkOptionalCount("page", page, "pages") ?? 1,
          };
    });
    if ("failure" in checked) {
      return listResult(checked.failure);
    }
    const { params, number } = checked.value;
    if (typeof page === "object" && page !== null) {
      return listResult(await invoke<ListPage>(this.#client, "session.list", params, page));
    }
    return this.#listPage(params, number);
  }

  /**
   * Releases a session and waits until it is gone.
   *
   * @param session A {@link Session}, or the id of one.
   * @param syncContext Whether to carry the session's files into its contexts first, and wait for that; or the options of
   * the call. What a policy uploads by itself is carried in any case.
   *
   * Anything else, such as the `session` of a `create` that failed, resolves with the code `BAD_ARGUMENTS`.
   */
  async delete(session: Session | string | null | undefined, syncContext?: boolean | CallOptions, options?: CallOptions): Promise<DeleteResult> {
    if (session instanceof Session) {
      return session.delete(syncContext, options);
    }
    if (typeof session !== "string" || session.trim() === "") {
      return apiResult(noAnswer("BAD_ARGUMENTS", `session must be a Session or the id of one, not ${describe(session)}`));
    }
    const callOptions = typeof syncContext === "object" ? syncContext : options;
    if (syncContext === true) {
      const found = await this.get(session, callOptions);
      return found.success ? found.session.delete(true, callOptions) : apiResult(noAnswer(found.code ?? "UNKNOWN", found.errorMessage));
    }
    return apiResult(await call(callOptions, () => this.#client.deleteSession(session)));
  }

  #sessionResult(answer: Answer<NativeSession>): SessionResult {
    const result = apiResult(answer);
    // Only there on success; see the type.
    const found = answer.success && answer.data !== null ? { session: Session.fromNative(answer.data, this.#client) } : {};
    return { ...result, ...found } as SessionResult;
  }

  /** Pages have no numbers on the wire: goes from one to the next by their tokens. */
  async #listPage(params: ListParams, number: number): Promise<SessionListResult> {
    let result = listResult(await invoke<ListPage>(this.#client, "session.list", params));
    for (let at = 1; at < number && result.success; at += 1) {
      if (result.nextToken === "") {
        const errorMessage = `There is no page ${number}: page ${at} is the last one (${result.totalCount} sessions in all)`;
        return { ...result, success: false, errorMessage, code: "NO_SUCH_PAGE", sessionIds: [], sessions: [] };
      }
      result = listResult(await invoke<ListPage>(this.#client, "session.list", { ...params, nextToken: result.nextToken }));
    }
    return result;
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

/** Waits for the contexts of a new session. Whatever becomes of them, the session is there. */
async function withContexts(result: SessionResult, native: NativeSession, options?: CallOptions): Promise<SessionResult> {
  const settled = await invoke<ContextStatusData[]>(native, "context.settle", {}, options);
  const contexts = settled.data ?? [];
  const failed = contexts.filter(({ status }) => status !== "Success");
  if (!settled.success || failed.length > 0) {
    const words = failed.map(({ path, status, errorMessage }) => `${path}: ${errorMessage || status}`).join("; ");
    log("warn", `not all contexts of ${native.sessionId} came into the session: ${words || settled.errorMessage}`);
  }
  return { ...result, contexts };
}

function toSessionData(native: NativeSession): GetSessionData {
  const { linkUrl, wsUrl, token, status, tools } = JSON.parse(native.describe()) as SessionDescription;
  return {
    sessionId: native.sessionId,
    appInstanceId: native.appInstanceId ?? "",
    resourceId: native.resourceId ?? "",
    resourceUrl: native.resourceUrl ?? "",
    status,
    success: true,
    linkUrl,
    wsUrl,
    token,
    toolList: tools.length === 0 ? "" : JSON.stringify(tools),
  };
}

function listResult(answer: Answer<ListPage>): SessionListResult {
  const sessions = [...(answer.data?.sessions ?? [])];
  return {
    ...apiResult(answer),
    sessionIds: sessions.map(({ sessionId }) => sessionId),
    sessions,
    nextToken: answer.data?.nextToken ?? "",
    maxResults: answer.data?.maxResults ?? 0,
    totalCount: answer.data?.totalCount ?? 0,
  };
}

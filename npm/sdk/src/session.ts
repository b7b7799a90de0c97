import { backend } from "./backend.js";
import type {
  AccessRequest,
  Answer,
  NativeClient,
  NativeSession,
  SessionDescription,
  SessionDetails,
  ToolDescription,
  ToolResult,
} from "./binding.js";
import { bindMethods } from "./bind-methods.js";
import { checkObject, checkOptionalNumber, checkString, describe, labelPairs } from "./check.js";
import { call, type CallOptions } from "./call.js";
import { Code } from "./code.js";
import { Command } from "./command.js";
import { ContextManager } from "./context-manager.js";
import { asyncDispose } from "./dispose.js";
import { AGBError } from "./errors.js";
import { FileSystem } from "./file-system.js";
import type { Labels } from "./create-session-params.js";
import { invoke, parseJson, toJson } from "./invoke.js";
import { log } from "./log.js";
import { Browser } from "./modules/browser.js";
import { Computer } from "./modules/computer.js";
import {
  always,
  apiResult,
  checkedOr,
  type DeleteResult,
  type McpContent,
  type McpTool,
  type McpToolResult,
  type McpToolsResult,
  type OperationResult,
  operationResult,
  present,
  type SessionInfo,
  type SessionMetrics,
  type SessionMetricsResult,
  type SessionStatusResult,
} from "./results.js";
import { currentPlatform } from "./platform.js";
import type { AccessOptions, AccessResult, SessionAccess, SessionAttachOptions } from "./session-access.js";

/**
 * A session that exists on the service: a machine of its own with interpreters that keep their state from run to run.
 * Made by {@link AGB.create} and {@link AGB.get}.
 */
export class Session {
  /** Runs code in the session. */
  readonly code: Code;
  /** Runs shell commands in the session. */
  readonly command: Command;
  /** Reads, writes and watches files of the session. */
  readonly file: FileSystem;
  /** The session's desktop, if its image has one. */
  readonly computer: Computer;
  /** The session's browser. There is none; see {@link Browser}. */
  readonly browser: Browser;
  /** The contexts that the session was created with. */
  readonly context: ContextManager;
  readonly #native: NativeSession;
  /** Of the account; `null` for a session that was taken up without one. */
  readonly #client: NativeClient | null;

  private constructor(native: NativeSession, client: NativeClient | null) {
    this.#native = native;
    this.#client = client;
    this.code = Code.fromNative(native);
    this.context = new ContextManager(native);
    this.computer = new Computer(native);
    this.browser = new Browser(native.imageId ?? "");
    this.command = new Command(native);
    this.file = new FileSystem(native);
    bindMethods(this);
  }

  /** @internal */
  static fromNative(native: NativeSession, client: NativeClient | null): Session {
    return new Session(native, client);
  }

  /**
   * Takes up a session with what its owner's {@link Session.browserAccess} gave. Sends nothing yet.
   *
   * ```ts
   * const access = await (await fetch("/api/session", { method: "POST" })).json(); // from your own server
   * const session = Session.attach(access);
   * await session.code.run(code, "python", 60, { onStdout: (chunk) => terminal.write(chunk) });
   * ```
   *
   * In Node it may also say how the service is reached, with what {@link AGB} takes:
   *
   * ```ts
   * const session = Session.attach(access, { config: { proxy: "http://proxy.corp:3128", ca: await readFile("corp.pem", "utf8") } });
   * ```
   *
   * It can run code and call tools; what needs the API key resolves with the code `NO_API_KEY`. An access that is
   * expired, for another session or only for watching is refused by the service: the run's result says so.
   *
   * @throws TypeError when it is not an access at all, or an option has the wrong type; {@link AGBError} (`BAD_ACCESS`) when
   * something is missing in it; {@link ConfigurationError} (`BAD_NETWORK`, `BAD_TIMEOUT`) for a setting that cannot be used.
   */
  static attach(access: SessionAccess, options?: SessionAttachOptions): Session {
    checkObject("access", access);
    for (const name of ["sessionId", "wsUrl", "token", "expiresAt"] as const) {
      if (typeof access[name] !== "string" || access[name] === "") {
        throw new AGBError(
          `the access has no ${name}: pass what session.browserAccess() resolved to, as it is`,
          "BAD_ACCESS",
        );
      }
    }
    const text = JSON.stringify(access);
    return new Session(currentPlatform().attach?.(text, options) ?? backend().attach(text), null);
  }

  /** Id of the session, by which {@link AGB.get} finds it again. */
  get sessionId(): string {
    return this.#native.sessionId;
  }

  /** {@link Session.sessionId}. */
  getSessionId(): string {
    return this.sessionId;
  }

  /** Image that the session was started from; empty when the service did not say. */
  get imageId(): string {
    return this.#native.imageId ?? "";
  }

  /** Page on which a person can watch the session; empty when it has none. */
  get resourceUrl(): string {
    return this.#native.resourceUrl ?? "";
  }

  /** The service's id of the machine behind the session; empty when it did not say. */
  get appInstanceId(): string {
    return this.#native.appInstanceId ?? "";
  }

  /** The service's id of what a person can watch; empty when it did not say. */
  get resourceId(): string {
    return this.#native.resourceId ?? "";
  }

  /** Where the session's tools are called; empty when the service did not say. */
  get linkUrl(): string {
    return this.#describe().linkUrl;
  }

  /** Where the session's runs stream; empty when the service did not say. */
  get wsUrl(): string {
    return this.#describe().wsUrl;
  }

  /** Lets its holder into the session: keep it out of logs. Empty when the service gave none. */
  get token(): string {
    return this.#describe().token;
  }

  /** The tools that the session came with. */
  get mcpTools(): McpTool[] {
    return this.#describe().tools.map(toTool);
  }

  /** {@link Session.mcpTools} as JSON text; empty when the service did not say. */
  get toolList(): string {
    const { tools } = this.#describe();
    return tools.length === 0 ? "" : JSON.stringify(tools);
  }

  /** What the service offers beyond the documented wire, e.g. `flow`, `cancel`; usually nothing to care about. */
  get extensions(): readonly string[] {
    return Array.from(this.#native.extensions);
  }

  /**
   * Releases the session and waits until it is gone. What still runs in it ends with an error.
   *
   * @param syncContext Whether to carry the session's files into its contexts first, and wait for that; or the options of
   * the call. What a policy uploads by itself is carried in any case.
   */
  async delete(syncContext?: boolean | CallOptions | null, options?: CallOptions): Promise<DeleteResult> {
    const callOptions = typeof syncContext === "object" && syncContext !== null ? syncContext : options;
    if (syncContext === true) {
      const synced = await this.context.sync(null, null, null, undefined, undefined, null, callOptions);
      if (!synced.success) {
        log("warn", `${this.sessionId} is released, though its contexts could not be synchronized: ${synced.errorMessage}`);
      }
    }
    return apiResult(await call(callOptions, () => this.#native.delete()));
  }

  /** Its ids, without the token. */
  toJSON(): Record<"sessionId" | "resourceUrl" | "imageId" | "appInstanceId" | "resourceId", string> {
    const { sessionId, resourceUrl, imageId, appInstanceId, resourceId } = this;
    return { sessionId, resourceUrl, imageId, appInstanceId, resourceId };
  }

  /** For `await using`: {@link Session.delete}. Where that fails the service releases the session when it is idle. */
  async [asyncDispose](): Promise<void> {
    await this.delete();
  }

  /**
   * Lets a web page into this session without the API key. Call it on your server and hand `access` to the page:
   *
   * ```ts
   * const { access } = throwIfFailed(await session.browserAccess());
   * response.end(JSON.stringify(access));
   * ```
   *
   * A service that does not give such accesses answers with the code `NOT_SUPPORTED`.
   *
   * @throws TypeError (as a rejection) when an option has the wrong type; nothing is sent then.
   */
  async browserAccess(options: AccessOptions = {}): Promise<AccessResult> {
    const request = checkedAccess(options);
    const answer = await invoke<SessionAccess>(this.#native, "session.access", request, options);
    return answer.success && answer.data !== null ? { ...apiResult(answer), access: answer.data } : apiResult(answer);
  }

  /** Asks the service for the session's state. */
  async getStatus(options?: CallOptions): Promise<SessionStatusResult> {
    const answer = await invoke<string>(this.#native, "session.status", {}, options);
    return { ...apiResult(answer), status: answer.data ?? "", ...always(answer) };
  }

  /** Starts the idle time anew, after which the service would release the session. */
  async keepAlive(options?: CallOptions): Promise<OperationResult> {
    return apiResult(await invoke(this.#native, "session.keepAlive", {}, options));
  }

  /**
   * Replaces the session's labels. At least one is needed, and neither names nor values may be blank: otherwise it
   * resolves with the code `BAD_ARGUMENTS`, and nothing is sent.
   */
  async setLabels(labels: Labels, options?: CallOptions): Promise<OperationResult> {
    const pairs = checkedOr(() => checkedLabels(labels));
    return apiResult("failure" in pairs ? pairs.failure : await invoke(this.#native, "session.setLabels", { labels: pairs.value }, options));
  }

  /** The session's labels. */
  async getLabels(options?: CallOptions): Promise<OperationResult<Record<string, string>>> {
    const answer = await invoke<Array<[name: string, value: string]>>(this.#native, "session.labels", {}, options);
    return operationResult(answer, (pairs) => Object.fromEntries(pairs));
  }

  /** Where and how the session can be reached. `authCode` and `ticket` are secrets: keep them out of logs. */
  async info(options?: CallOptions): Promise<OperationResult<SessionInfo>> {
    return operationResult(await invoke<SessionDetails>(this.#native, "session.info", {}, options), toSessionInfo);
  }

  /**
   * Calls one of the session's tools.
   *
   * @param name As in {@link Session.listMcpTools}.
   * @param args The tool's arguments; must be expressible as JSON.
   * @param readTimeout Milliseconds to wait for the answer, at most as long as `timeoutMs` of {@link AGB}; or the options
   * of the call.
   * @param _connectTimeout Not used: connecting has a time limit of its own.
   *
   * A wrong `name` or wrong `args` resolve with the code `BAD_ARGUMENTS`, and nothing is sent.
   */
  async callMcpTool(
    name: string,
    args: object = {},
    readTimeout?: number | CallOptions | null,
    _connectTimeout?: number | null,
  ): Promise<McpToolResult> {
    const checked = checkedOr(() => {
      checkString("name", name);
      checkObject("args", args);
      return timedOptions(readTimeout);
    });
    const answer = "failure" in checked ? checked.failure : await this.#callTool(name, args, checked.value);
    if (!answer.success || answer.data === null) {
      return { ...apiResult(answer), data: "", content: [] };
    }
    return toToolResult(apiResult(answer), answer.data, name);
  }

  /**
   * The tools that {@link Session.callMcpTool} can call.
   *
   * @param imageId Of this image instead; or the options of the call.
   */
  async listMcpTools(imageId?: string | CallOptions | null, options?: CallOptions): Promise<McpToolsResult> {
    const callOptions = typeof imageId === "object" && imageId !== null ? imageId : options;
    const client = this.#client;
    const answer = typeof imageId === "string" && imageId.trim() !== "" && client !== null
      ? await invoke<ToolDescription[]>(client, "image.tools", { imageId }, callOptions)
      : await invoke<ToolDescription[]>(this.#native, "session.tools", {}, callOptions);
    return { ...apiResult(answer), tools: (answer.data ?? []).map(toTool) };
  }

  /**
   * A URL at which a port of the session can be reached from outside.
   *
   * @param protocolType E.g. `https` or `wss`; the service's default when absent.
   * @param port Port inside the session. Services take 30100 to 30199.
   */
  async getLink(protocolType?: string | null, port?: number | null, options?: CallOptions): Promise<OperationResult<string>> {
    const answer = await invoke<string>(this.#native, "session.link", { protocolType, port }, options);
    return operationResult(answer, (url) => url);
  }

  /**
   * What the session uses: processors, memory, disk and network.
   *
   * @param readTimeout Milliseconds to wait for the answer; or the options of the call.
   * @param _connectTimeout Not used: connecting has a time limit of its own.
   */
  async getMetrics(readTimeout?: number | CallOptions | null, _connectTimeout?: number | null): Promise<SessionMetricsResult> {
    type Measured = { readonly metrics: SessionMetrics; readonly raw: Record<string, unknown> };
    const timed = checkedOr(() => timedOptions(readTimeout));
    const answer = "failure" in timed ? timed.failure : await invoke<Measured>(this.#native, "session.metrics", {}, timed.value);
    return { ...apiResult(answer), raw: {}, ...answer.data };
  }

  async #callTool(name: string, args: object, options: CallOptions | undefined): Promise<Answer<ToolResult>> {
    const argsJson = toJson(args);
    return "failure" in argsJson ? argsJson.failure : invoke<ToolResult>(this.#native, "session.callTool", { name, argsJson: argsJson.value }, options);
  }

  #describe(): SessionDescription {
    return JSON.parse(this.#native.describe()) as SessionDescription;
  }
}

/**
 * The documented position of a time limit, where options are taken, too.
 *
 * @throws TypeError for what is neither.
 */
function timedOptions(readTimeout: number | CallOptions | null | undefined): CallOptions | undefined {
  return typeof readTimeout === "object" ? (readTimeout ?? undefined) : { timeoutMs: checkOptionalNumber("readTimeout", readTimeout, "milliseconds") };
}

function checkedLabels(labels: unknown): Array<[key: string, value: string]> {
  const pairs = labelPairs("labels", labels);
  if (pairs.length === 0) {
    throw new TypeError("labels must not be empty");
  }
  const blank = pairs.find(([name, value]) => name.trim() === "" || value.trim() === "");
  if (blank !== undefined) {
    throw new TypeError(`labels must have names and values that are not blank: ${JSON.stringify(blank[0])} has not`);
  }
  return pairs;
}

function checkedAccess(options: AccessOptions): AccessRequest {
  checkObject("options", options);
  const { scope = "run", lastsS, renew } = options;
  if (scope !== "run" && scope !== "read") {
    throw new TypeError(`scope must be "run" or "read", not ${describe(scope)}`);
  }
  if (renew !== undefined) {
    checkObject("renew", renew);
  }
  return {
    scope,
    lastsS: checkOptionalNumber("lastsS", lastsS, "seconds"),
    renew: renew === undefined ? null : checkString("renew.token", renew.token),
  };
}

function toSessionInfo({ sessionId, connectionProperties, options, ...details }: SessionDetails): SessionInfo {
  const properties = connectionProperties === null ? null : toObject(connectionProperties);
  return { sessionId, ...present({ ...details, connectionProperties: properties }), ...present(toObject(options ?? "{}")) };
}

function toToolResult(result: OperationResult, tool: ToolResult, name: string): McpToolResult {
  const content = parseJson(tool.contentJson);
  const parts = Array.isArray(content) ? (content as McpContent[]) : [];
  if (!tool.isError) {
    return { ...result, data: tool.text, content: parts };
  }
  const errorMessage = tool.text === "" ? `The tool ${name} failed and did not say why` : tool.text;
  return { ...result, success: false, code: "TOOL_FAILED", errorMessage, data: "", content: parts };
}

function toTool({ name, description, inputSchema, server, tool }: ToolDescription): McpTool {
  return { name, description, inputSchema: toObject(inputSchema), server, tool };
}

/** A peer's JSON object. */
function toObject(text: string): Record<string, unknown> {
  const value = parseJson(text);
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

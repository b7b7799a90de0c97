import { backend } from "./backend.js";
import type { AccessRequest, NativeSession, SessionDetails, ToolDescription, ToolResult } from "./binding.js";
import { checkObject, checkOptionalNumber, checkString, describe, labelPairs } from "./check.js";
import { call, type CallOptions } from "./call.js";
import { Code } from "./code.js";
import { Command } from "./command.js";
import { asyncDispose } from "./dispose.js";
import { AGBError } from "./errors.js";
import { FileSystem } from "./file-system.js";
import type { Labels } from "./create-session-params.js";
import {
  type ApiResult,
  apiResult,
  type DeleteResult,
  type McpContent,
  type McpTool,
  type McpToolResult,
  type McpToolsResult,
  type OperationResult,
  operationResult,
  present,
  type SessionInfo,
  type SessionStatusResult,
} from "./results.js";

/**
 * A way into one session for a while, without the API key: what {@link Session.browserAccess} gives on a server and
 * {@link Session.attach} takes in a page. Plain JSON; `token` is a secret of whoever it is for.
 */
export interface SessionAccess {
  readonly sessionId: string;
  readonly wsUrl: string;
  readonly linkUrl?: string;
  readonly token: string;
  /** When it ends, as in `2026-11-23T04:00:00Z`. Renewed with {@link AccessOptions.renew}. */
  readonly expiresAt: string;
  /** `run` to run code; `read` only to watch, by {@link Code.attach}. */
  readonly scope: "run" | "read";
  readonly extensions?: readonly string[];
  readonly target?: string;
}

/** What {@link Session.browserAccess} comes to. */
export interface AccessResult extends ApiResult {
  /** Present on success. */
  readonly access?: SessionAccess;
}

/** Options of {@link Session.browserAccess}. */
export interface AccessOptions extends CallOptions {
  /**
   * What its holder may do: `run` (default) code, or only `read` what others run: watch a run with {@link Code.attach},
   * by the `run.id` that its owner hands on.
   */
  readonly scope?: "run" | "read" | undefined;
  /** How long it lasts, seconds; the service's default is 15 minutes. */
  readonly lastsS?: number | undefined;
  /** An access that is to last longer: its holder's token stays as it is, and so do its connections. */
  readonly renew?: Pick<SessionAccess, "token"> | undefined;
}

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
  readonly #native: NativeSession;

  private constructor(native: NativeSession) {
    this.#native = native;
    this.code = Code.fromNative(native);
    this.command = new Command(native);
    this.file = new FileSystem(native);
  }

  /** @internal */
  static fromNative(native: NativeSession): Session {
    return new Session(native);
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
   * It can run code and call tools; what needs the API key resolves with the code `NO_API_KEY`. An access that is
   * expired, for another session or only for watching is refused by the service: the run's result says so.
   *
   * @throws TypeError when it is no access at all; {@link AGBError} (`BAD_ACCESS`) when something is missing in it.
   */
  static attach(access: SessionAccess): Session {
    checkObject("access", access);
    for (const name of ["sessionId", "wsUrl", "token", "expiresAt"] as const) {
      if (typeof access[name] !== "string" || access[name] === "") {
        throw new AGBError(
          `the access has no ${name}: pass what session.browserAccess() resolved to, as it is`,
          "BAD_ACCESS",
        );
      }
    }
    return new Session(backend().attach(JSON.stringify(access)));
  }

  /** Id of the session, by which {@link AGB.get} finds it again. */
  get sessionId(): string {
    return this.#native.sessionId;
  }

  /** Image that the session was started from; absent when the service did not say. */
  get imageId(): string | undefined {
    return this.#native.imageId ?? undefined;
  }

  /** Page on which a person can watch the session; absent when it has none. */
  get resourceUrl(): string | undefined {
    return this.#native.resourceUrl ?? undefined;
  }

  /** The service's id of the machine behind the session; absent when it did not say. */
  get appInstanceId(): string | undefined {
    return this.#native.appInstanceId ?? undefined;
  }

  /** The service's id of what a person can watch; absent when it did not say. */
  get resourceId(): string | undefined {
    return this.#native.resourceId ?? undefined;
  }

  /** What the service offers beyond the documented wire, e.g. `flow`, `cancel`; usually nothing to care about. */
  get extensions(): readonly string[] {
    return this.#native.extensions;
  }

  /** Releases the session and waits until it is gone. What still runs in it ends with an error. */
  async delete(options?: CallOptions): Promise<DeleteResult> {
    return apiResult(await call(options, () => this.#native.delete()));
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
    const answer = await call(options, () => this.#native.browserAccess(request));
    return answer.success && answer.data !== null
      ? { ...apiResult(answer), access: JSON.parse(answer.data) as SessionAccess }
      : apiResult(answer);
  }

  /** Asks the service for the session's state. */
  async getStatus(options?: CallOptions): Promise<SessionStatusResult> {
    const answer = await call(options, () => this.#native.getStatus());
    return answer.success && answer.data !== null ? { ...apiResult(answer), status: answer.data } : apiResult(answer);
  }

  /** Starts the idle time anew, after which the service would release the session. */
  async keepAlive(options?: CallOptions): Promise<OperationResult> {
    return apiResult(await call(options, () => this.#native.keepAlive()));
  }

  /** Replaces the session's labels. */
  async setLabels(labels: Labels, options?: CallOptions): Promise<OperationResult> {
    const pairs = labelPairs("labels", labels);
    return apiResult(await call(options, () => this.#native.setLabels(pairs)));
  }

  /** The session's labels. */
  async getLabels(options?: CallOptions): Promise<OperationResult<Record<string, string>>> {
    return operationResult(await call(options, () => this.#native.getLabels()), (pairs) => Object.fromEntries(pairs));
  }

  /** Where and how the session can be reached. `authCode` and `ticket` are secrets: keep them out of logs. */
  async info(options?: CallOptions): Promise<OperationResult<SessionInfo>> {
    return operationResult(await call(options, () => this.#native.info()), toSessionInfo);
  }

  /**
   * Calls one of the session's tools.
   *
   * @param name As in {@link Session.listMcpTools}.
   * @param args The tool's arguments; must be expressible as JSON.
   */
  async callMcpTool(name: string, args: object = {}, options?: CallOptions): Promise<McpToolResult> {
    checkString("name", name);
    checkObject("args", args);
    const argsJson = JSON.stringify(args);
    const answer = await call(options, () => this.#native.callTool(name, argsJson));
    if (!answer.success || answer.data === null) {
      return { ...apiResult(answer), data: "", content: [] };
    }
    return toToolResult(apiResult(answer), answer.data, name);
  }

  /** The tools that {@link Session.callMcpTool} can call. */
  async listMcpTools(options?: CallOptions): Promise<McpToolsResult> {
    const answer = await call(options, () => this.#native.listTools());
    return { ...apiResult(answer), tools: (answer.data ?? []).map(toTool) };
  }
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

function toSessionInfo({ sessionId, ...details }: SessionDetails): SessionInfo {
  return { sessionId, ...present(details) };
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
  return { name, description, inputSchema: parseJson(inputSchema), server, tool };
}

/** A peer's JSON; what is none stays text. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

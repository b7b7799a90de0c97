import type { NativeSession, SessionDetails, ToolDescription, ToolResult } from "./binding.js";
import { checkObject, checkString, labelPairs } from "./check.js";
import { Code } from "./code.js";
import type { Labels } from "./create-session-params.js";
import {
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
 * A session that exists on the service: a machine of its own with interpreters that keep their state from run to run.
 * Made by {@link AGB.create} and {@link AGB.get}.
 */
export class Session {
  /** Runs code in the session. */
  readonly code: Code;
  readonly #native: NativeSession;

  private constructor(native: NativeSession) {
    this.#native = native;
    this.code = Code.fromNative(native);
  }

  /** @internal */
  static fromNative(native: NativeSession): Session {
    return new Session(native);
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
  async delete(): Promise<DeleteResult> {
    return apiResult(await this.#native.delete());
  }

  /** Asks the service for the session's state. */
  async getStatus(): Promise<SessionStatusResult> {
    const answer = await this.#native.getStatus();
    return answer.success && answer.data !== null ? { ...apiResult(answer), status: answer.data } : apiResult(answer);
  }

  /** Starts the idle time anew, after which the service would release the session. */
  async keepAlive(): Promise<OperationResult> {
    return apiResult(await this.#native.keepAlive());
  }

  /** Replaces the session's labels. */
  async setLabels(labels: Labels): Promise<OperationResult> {
    return apiResult(await this.#native.setLabels(labelPairs("labels", labels)));
  }

  /** The session's labels. */
  async getLabels(): Promise<OperationResult<Record<string, string>>> {
    return operationResult(await this.#native.getLabels(), (pairs) => Object.fromEntries(pairs));
  }

  /** Where and how the session can be reached. `authCode` and `ticket` are secrets: keep them out of logs. */
  async info(): Promise<OperationResult<SessionInfo>> {
    return operationResult(await this.#native.info(), toSessionInfo);
  }

  /**
   * Calls one of the session's tools.
   *
   * @param name As in {@link Session.listMcpTools}.
   * @param args The tool's arguments; must be expressible as JSON.
   */
  async callMcpTool(name: string, args: object = {}): Promise<McpToolResult> {
    checkString("name", name);
    checkObject("args", args);
    const answer = await this.#native.callTool(name, JSON.stringify(args));
    if (!answer.success || answer.data === null) {
      return { ...apiResult(answer), data: "", content: [] };
    }
    return toToolResult(apiResult(answer), answer.data, name);
  }

  /** The tools that {@link Session.callMcpTool} can call. */
  async listMcpTools(): Promise<McpToolsResult> {
    const answer = await this.#native.listTools();
    return { ...apiResult(answer), tools: (answer.data ?? []).map(toTool) };
  }
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

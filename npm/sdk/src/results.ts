/**
 * What operations resolve to. Failures of the service and of the network are results with `success: false`, not
 * rejections; see `throwIfFailed` for the other style.
 *
 * @module
 */

import type { Answer } from "./binding.js";

/** What every answer of the service has, as far as it has come. */
export type ApiResponse = { readonly requestId?: string };

/** Fields of every result. */
export interface ApiResult {
  /** Id that the service gave the call; quote it to the service's support. Empty when there was no answer. */
  readonly requestId: string;
  /** Whether the operation did what it was to do. */
  readonly success: boolean;
  /** What happened, to what, and what to do about it; empty on success. */
  readonly errorMessage: string;
  /** Stable code of the failure, e.g. `InvalidMcpSession.NotFound`, `TIMED_OUT`, `UNREACHABLE`; absent on success. */
  readonly code?: string;
  /** HTTP status of the answer; absent when there was none. */
  readonly httpStatus?: number;
}

/** Result of an operation with something to tell. */
export interface OperationResult<T = unknown> extends ApiResult {
  /** Absent on failure, and where there is nothing to tell. */
  readonly data?: T;
}

/** Result of {@link AGB.delete} and {@link Session.delete}. */
export interface DeleteResult extends ApiResult {}

/** Result of {@link AGB.list}: one page. */
export interface SessionListResult extends ApiResult {
  /** Empty on failure. */
  readonly sessionIds: string[];
  /** The same sessions with their state, e.g. `RUNNING`. */
  readonly sessions: SessionListEntry[];
  /** Where the next page begins; empty on the last one. */
  readonly nextToken: string;
  /** Sessions a page. */
  readonly maxResults: number;
  /** Sessions on all pages. */
  readonly totalCount: number;
}

/** One session in a {@link SessionListResult}. */
export interface SessionListEntry {
  readonly sessionId: string;
  /** As in {@link Session.getStatus}. */
  readonly sessionStatus: SessionStatus;
}

/** Result of {@link AGB.getSession}: what the service knows of a session, without a {@link Session} to work with. */
export interface GetSessionResult extends OperationResult<GetSessionData> {
  /** Stable code of a failure; empty on success. */
  readonly code: string;
  /** The same as `httpStatus`; 0 when there was no answer. */
  readonly httpStatusCode: number;
}

/** Data of a {@link GetSessionResult}. What the service did not say is empty. */
export type GetSessionData = {
  readonly sessionId: string;
  readonly appInstanceId: string;
  readonly resourceId: string;
  readonly resourceUrl: string;
  readonly status: SessionStatus;
  readonly success: true;
  readonly linkUrl: string;
  readonly wsUrl: string;
  /** Lets its holder into the session: keep it out of logs. */
  readonly token: string;
  /** The session's tools, as JSON text. */
  readonly toolList: string;
};

/** State of a session: `RUNNING`, `FINISH`, `DELETING`, `DELETED`, or what else the service says. */
export type SessionStatus = "RUNNING" | "FINISH" | "DELETING" | "DELETED" | (string & {});

/** Result of {@link Session.getStatus}. */
export interface SessionStatusResult extends ApiResult {
  /** Empty on failure. */
  readonly status: SessionStatus;
  /** Stable code of a failure; empty on success. */
  readonly code: string;
  /** The same as `httpStatus`; 0 when there was no answer. */
  readonly httpStatusCode: number;
}

/** Data of {@link Session.info}. What the service did not tell is absent. */
export type SessionInfo = {
  readonly sessionId: string;
  readonly resourceUrl?: string;
  readonly appId?: string;
  readonly authCode?: string;
  readonly connectionProperties?: Record<string, unknown>;
  readonly resourceId?: string;
  readonly resourceType?: string;
  readonly ticket?: string;
  /** Environment variables that the session was created with. */
  readonly envs?: Record<string, string>;
  /** What its programs reach; `host` for everything that the service's machine reaches. */
  readonly network?: SessionNetwork | "host";
  /** Seconds after which it is released, whatever goes on in it. */
  readonly timeoutS?: number;
};

/** What programs of a session reach over the network: nothing, or these domains by HTTP and HTTPS. */
export type SessionNetwork = "none" | { readonly allow: readonly string[] };

/** What a session uses. A number that the service does not say is 0. */
export type SessionMetrics = {
  readonly cpuCount: number;
  /** From 0 to 100. */
  readonly cpuUsedPct: number;
  /** Bytes. */
  readonly memTotal: number;
  /** Bytes. */
  readonly memUsed: number;
  /** Bytes. */
  readonly diskTotal: number;
  /** Bytes. */
  readonly diskUsed: number;
  readonly rxRateKbytePerS: number;
  readonly txRateKbytePerS: number;
  readonly rxUsedKbyte: number;
  readonly txUsedKbyte: number;
  /** When it was measured, as the service writes it. */
  readonly timestamp: string;
};

/** Result of {@link Session.getMetrics}. */
export interface SessionMetricsResult extends ApiResult {
  /** Absent on failure. */
  readonly metrics?: SessionMetrics;
  /** All that the service said; empty on failure. */
  readonly raw: Record<string, unknown>;
}

/** Result of {@link Session.callMcpTool}. */
export interface McpToolResult extends ApiResult {
  /** The text the tool answered; empty on failure. A tool's own error is in `errorMessage`. */
  readonly data: string;
  /** All parts of the answer, images and other binary ones among them; empty on failure. */
  readonly content: McpContent[];
}

/** One part of a tool's answer. Text has `text`; binary parts have base64 in `data` or `blob`. */
export interface McpContent {
  readonly type: string;
  readonly text?: string;
  readonly data?: string;
  readonly blob?: string;
  readonly mimeType?: string;
}

/** Result of {@link Session.listMcpTools}. */
export interface McpToolsResult extends ApiResult {
  /** Empty on failure. */
  readonly tools: McpTool[];
}

/** A tool of a session. */
export type McpTool = {
  readonly name: string;
  readonly description: string;
  /** JSON schema of the arguments, parsed. */
  readonly inputSchema: Record<string, unknown>;
  /** Which of the session's servers has it. */
  readonly server: string;
  /** Its name on that server. */
  readonly tool: string;
};

/** @internal The fields that every result takes from the backend's answer. */
export function apiResult(answer: Answer<unknown>): ApiResult {
  return {
    requestId: answer.requestId,
    success: answer.success,
    errorMessage: answer.errorMessage,
    ...present({ code: answer.code, httpStatus: answer.httpStatus }),
  };
}

/** @internal The code and the status of a result for which both are always there. */
export function always(answer: Answer<unknown>): { readonly code: string; readonly httpStatusCode: number } {
  return { code: answer.code ?? "", httpStatusCode: answer.httpStatus ?? 0 };
}

/** @internal What `checks` gives, or the failure that its `TypeError` stands for: nothing is sent then. */
export function checkedOr<T>(checks: () => T): { readonly value: T } | { readonly failure: Answer<never> } {
  try {
    return { value: checks() };
  } catch (error) {
    if (error instanceof TypeError) {
      return { failure: noAnswer("BAD_ARGUMENTS", error.message) };
    }
    throw error;
  }
}

/** @internal What a call comes to that got no answer. */
export function noAnswer(code: string, errorMessage: string): Answer<never> {
  return { requestId: "", success: false, code, errorMessage, httpStatus: null, data: null };
}

/** @internal {@link apiResult} with `data` converted when there is some. */
export function operationResult<T, U>(answer: Answer<T>, convert: (data: T) => U): OperationResult<U> {
  return answer.success && answer.data !== null
    ? { ...apiResult(answer), data: convert(answer.data) }
    : apiResult(answer);
}

/** The properties that are not `null`: the backend has `null` for what is absent, the public API nothing at all. */
type Present<T> = { [K in keyof T]?: Exclude<T[K], null> };

/** @internal Leaves out what is `null`. */
export function present<T extends object>(fields: T): Present<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)) as Present<T>;
}

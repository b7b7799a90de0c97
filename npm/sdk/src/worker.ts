/**
 * `agbcloud-sdk/worker`, for browsers: {@link Session.attach} and everything behind it, with the WebSocket, the
 * WebAssembly and all reading in a worker that the SDK makes and keeps. Only what is shown comes to the page's main
 * thread: callbacks, events, results, backpressure and `AbortSignal` are as in `agbcloud-sdk`.
 *
 * ```ts
 * import { Session } from "agbcloud-sdk/worker";
 *
 * const session = Session.attach(access);
 * await session.code.run(code, "python", 60, { onStdout: (chunk) => terminal.write(chunk) });
 * ```
 *
 * For pages that show much output. What is not in it: `AGB`, which a page needs only for an API key of its own; and
 * `initialize({ account })`. A file that the page loads beside it, `worker-thread.js`, is the worker; where a
 * Content-Security-Policy names `worker-src`, it must allow the origin of that. Classes are those of this entry: use it
 * or `agbcloud-sdk` in one page, not both.
 *
 * @module
 */

export { Code } from "./code.js";
export { CodeRun } from "./code-run.js";
export { AGBError, CodeExecutionError, NativeAddonError, throwIfFailed } from "./errors.js";
export type { AGBErrorCode } from "./errors.js";
export { initialize } from "./initialize.js";
export type { InitializeOptions } from "./initialize-options.js";
export { type Logger, type LogLevel, setLogger, setLogLevel } from "./log.js";
export type * from "./run-events.js";
export type * from "./run-options.js";
export type { StopSignal } from "./stop-signal.js";
export type {
  EnhancedCodeExecutionResult,
  ExecutionError,
  ExecutionLogs,
  ExecutionResult,
  KilledBy,
  RunStatus,
} from "./execution-result.js";
export type { McpContent, McpTool, McpToolResult, McpToolsResult } from "./results.js";
export { Session } from "./session.js";
export type { SessionAccess, SessionAttachOptions } from "./session-access.js";
export { VERSION } from "./version.js";

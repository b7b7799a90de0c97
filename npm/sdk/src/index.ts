/**
 * Run code in AGB cloud sessions and watch its output as it is printed.
 *
 * @module
 */

export * from "./agb.js";
export type { AGBConfig, AGBOptions } from "./client-options.js";
export { type Config, type ConfigOptions, defaultConfig, loadConfig } from "./config.js";
export * from "./context.js";
export * from "./context-manager.js";
export type * from "./context-results.js";
export type {
  ContextInfoResult as ContextInfoResultType,
  ContextStatusData as ContextStatusDataType,
  ContextSyncResult as ContextSyncResultType,
} from "./context-results.js";
export * from "./context-sync.js";
export type { CallOptions } from "./call.js";
export * from "./code.js";
export * from "./code-run.js";
export { CreateSessionParams, type CreateSessionOptions, type CreateSessionParamsOptions, type Labels } from "./create-session-params.js";
export type {
  EndEvent,
  ErrorEvent,
  EventStamp,
  InputRequestEvent,
  OutputEvent,
  ReconnectedEvent,
  ResultEvent,
  RunEvent,
} from "./run-events.js";
export type {
  AttachOptions,
  ErrorCallback,
  FollowOptions,
  Language,
  OutputCallback,
  ResultCallback,
  RunOptions,
  StreamOptions,
} from "./run-options.js";
export * from "./errors.js";
export type {
  EnhancedCodeExecutionResult,
  ExecutionError,
  ExecutionLogs,
  ExecutionResult,
  KilledBy,
  RunStatus,
} from "./execution-result.js";
export * from "./initialize.js";
export type * from "./initialize-options.js";
export {
  getLogLevel,
  logDebug,
  logError,
  type Logger,
  logInfo,
  LogLevel,
  logWarn,
  setLogger,
  setLogLevel,
} from "./log.js";
export type {
  ApiResponse,
  ApiResult,
  DeleteResult,
  GetSessionData,
  GetSessionResult,
  McpContent,
  McpTool,
  McpToolResult,
  McpToolsResult,
  OperationResult,
  SessionInfo,
  SessionNetwork,
  SessionListEntry,
  SessionListResult,
  SessionMetrics,
  SessionMetricsResult,
  SessionStatus,
  SessionStatusResult,
} from "./results.js";
export * from "./session.js";
export type * from "./session-access.js";
export type * from "./session-result.js";
export type { StopSignal } from "./stop-signal.js";
export type * from "./streaming-limits.js";
export * from "./version.js";
export {
  Command,
  type CommandAttachOptions,
  type CommandInfo,
  type CommandListResult,
  type CommandOptions,
  type CommandStreamOptions,
} from "./command.js";
export type { CommandResult, CommandRunResult, CommandStatus } from "./command-result.js";
export { type CommandEndEvent, type CommandEvent, CommandRun } from "./command-run.js";
export type { WatchOptions } from "./file-events.js";
export type { FileChunk } from "./file-parts.js";
export type { FolderStreamOptions, ReadStreamOptions, WriteStreamOptions } from "./file-stream.js";
export * from "./file-system.js";
export type * from "./file-results.js";
export type { BlobSource, ByteStream, UploadSource } from "./byte-transfer.js";
export type { DownloadOptions, UploadOptions } from "./file-transfer.js";
export * from "./modules/browser.js";
export * from "./modules/computer.js";

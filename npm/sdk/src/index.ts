/**
 * Run code in AGB cloud sessions and watch its output as it is printed.
 *
 * @module
 */

export { AGB, type AGBConfig, type AGBOptions, type ListOptions } from "./agb.js";
export type { CallOptions } from "./call.js";
export { Code } from "./code.js";
export { CodeRun } from "./code-run.js";
export { CreateSessionParams, type CreateSessionOptions, type Labels } from "./create-session-params.js";
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
export {
  AGBError,
  type AGBErrorCode,
  APIError,
  AuthenticationError,
  CodeExecutionError,
  ConfigurationError,
  NativeAddonError,
  SessionError,
  throwIfFailed,
} from "./errors.js";
export type {
  EnhancedCodeExecutionResult,
  ExecutionError,
  ExecutionLogs,
  ExecutionResult,
  KilledBy,
  RunStatus,
} from "./execution-result.js";
export { initialize, type InitializeOptions } from "./initialize.js";
export { type Logger, type LogLevel, setLogger, setLogLevel } from "./log.js";
export type {
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
  SessionListEntry,
  SessionListResult,
  SessionResult,
  SessionStatus,
  SessionStatusResult,
} from "./results.js";
export { type AccessOptions, type AccessResult, Session, type SessionAccess } from "./session.js";
export type { StopSignal } from "./stop-signal.js";
export type { StreamingLimits } from "./streaming-limits.js";
export { VERSION } from "./version.js";
export { Command, type CommandOptions, type CommandResult } from "./command.js";
export { type DirectoryWatch, type FileEdit, FileSystem, type ReadFileOptions, type WriteMode } from "./file-system.js";
export type {
  BinaryFileContentResult,
  BoolResult,
  DirectoryEntry,
  DirectoryListResult,
  DownloadResult,
  FileChangeEvent,
  FileChangeResult,
  FileContentResult,
  FileInfo,
  FileInfoResult,
  FileSearchResult,
  MultipleFileContentResult,
  UploadResult,
} from "./file-results.js";
export type { DownloadOptions, UploadOptions } from "./file-transfer.js";

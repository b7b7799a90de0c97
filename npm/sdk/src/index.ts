/**
 * Run code in AGB cloud sessions and watch its output as it is printed.
 *
 * @module
 */

export { AGB, type ListOptions } from "./agb.js";
export type { AGBConfig, AGBOptions } from "./client-options.js";
export { type Config, type ConfigOptions, defaultConfig, loadConfig } from "./config.js";
export { Context, ContextService } from "./context.js";
export { ContextManager } from "./context-manager.js";
export type {
  ClearContextResult,
  ContextChangeResult,
  ContextData,
  ContextFileEntry,
  ContextFileListResult,
  ContextInfoResult,
  ContextInfoResult as ContextInfoResultType,
  ContextListParams,
  ContextListResult,
  ContextResult,
  ContextStatusData,
  ContextStatusData as ContextStatusDataType,
  ContextSyncResult,
  ContextSyncResult as ContextSyncResultType,
  FileUrlResult,
} from "./context-results.js";
export {
  type BWList,
  type ContextMount,
  ContextSync,
  type DeletePolicy,
  type DownloadPolicy,
  DownloadStrategy,
  type ExtractPolicy,
  type FullSyncPolicy,
  Lifecycle,
  type MappingPolicy,
  newDeletePolicy,
  newDownloadPolicy,
  newExtractPolicy,
  newRecyclePolicy,
  newSyncPolicy,
  newUploadPolicy,
  type RecyclePolicy,
  type SyncPolicy,
  syncPolicyToDict,
  UploadMode,
  type UploadPolicy,
  UploadStrategy,
  type WhiteList,
} from "./context-sync.js";
export type { CallOptions } from "./call.js";
export { Code } from "./code.js";
export { CodeRun } from "./code-run.js";
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
export {
  AGBError,
  type AGBErrorCode,
  APIError,
  ApplicationError,
  AuthenticationError,
  BrowserError,
  ClearanceTimeoutError,
  CodeExecutionError,
  CommandError,
  ConfigurationError,
  FileError,
  NativeAddonError,
  ScreenError,
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
export { initialize } from "./initialize.js";
export type { InitializeOptions } from "./initialize-options.js";
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
export { Session } from "./session.js";
export type { AccessOptions, AccessResult, SessionAccess } from "./session-access.js";
export type { SessionResult } from "./session-result.js";
export type { StopSignal } from "./stop-signal.js";
export type { StreamingLimits } from "./streaming-limits.js";
export { getSdkVersion, isReleaseVersion, VERSION } from "./version.js";
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
export type { FileWatch, WatchOptions } from "./file-events.js";
export type { FileChunk, ReadStreamOptions, WriteStreamOptions } from "./file-stream.js";
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
export type { UploadSource } from "./byte-transfer.js";
export type { DownloadOptions, UploadOptions } from "./file-transfer.js";
export {
  type ActOptions,
  type ActResult,
  Browser,
  BrowserAgent,
  BrowserContext,
  type BrowserFingerprint,
  BrowserFingerprintContext,
  BrowserFingerprintGenerator,
  type BrowserOption,
  BrowserOptionClass,
  type BrowserProxy,
  BrowserProxyClass,
  type BrowserProxyStrategy,
  type BrowserProxyType,
  type BrowserScreen,
  type BrowserViewport,
  type Brand,
  Extension,
  ExtensionOption,
  ExtensionsService,
  type ExtraProperties,
  type ExtractOptions,
  type ExtractResult,
  type Fingerprint,
  FingerprintFormat,
  type NavigatorFingerprint,
  type ObserveOptions,
  type ObserveResult,
  type ScreenFingerprint,
  type UserAgentData,
  type VideoCard,
} from "./modules/browser.js";
export {
  ApplicationManager,
  type AppOperationResult,
  Computer,
  type CursorPosition,
  type InstalledAppInfo,
  type InstalledAppListResult,
  KeyboardController,
  MouseButton,
  MouseController,
  type ProcessInfo,
  type ProcessListResult,
  ScreenController,
  type ScreenshotResult,
  type ScreenSize,
  ScrollDirection,
  type WindowInfo,
  type WindowInfoResult,
  type WindowListResult,
  WindowManager,
} from "./modules/computer.js";

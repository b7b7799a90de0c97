/**
 * What operations on contexts resolve to.
 *
 * @module
 */

import type { ApiResult, OperationResult } from "./results.js";

/** What there is to know of a context. */
export type ContextData = {
  id: string;
  name: string;
  /** When it was made, as the service writes it. */
  createdAt?: string | undefined;
  /** When it was last used, as the service writes it. */
  lastUsedAt?: string | undefined;
};

/** Which page of {@link ContextService.list}. */
export type ContextListParams = {
  /** Contexts a page. Default 10. */
  maxResults?: number | undefined;
  /** `nextToken` of the page before. */
  nextToken?: string | undefined;
};

/** Result of {@link ContextService.get} and {@link ContextService.create}. */
export interface ContextResult extends ApiResult {
  /** Id of the context; empty on failure. */
  readonly contextId: string;
  /** Absent on failure. */
  readonly context?: ContextData;
}

/** Result of {@link ContextService.list}: one page. */
export interface ContextListResult extends ApiResult {
  /** Empty on failure. */
  readonly contexts: ContextData[];
  /** Where the next page begins; absent on the last one. */
  readonly nextToken?: string;
  /** Contexts a page. */
  readonly maxResults?: number;
  /** Contexts on all pages, where the service says so. */
  readonly totalCount?: number;
}

/** Result of {@link ContextService.update} and {@link ContextService.delete}. */
export type ContextChangeResult = OperationResult<{ readonly context_id: string }>;

/** Result of clearing a context. */
export interface ClearContextResult extends ApiResult {
  /** `clearing`, then `available`; absent on failure. */
  readonly state?: string;
  /** The same as `state`. */
  readonly status?: string;
  readonly contextId?: string;
}

/** Result of {@link ContextService.getFileUploadUrl} and {@link ContextService.getFileDownloadUrl}. */
export interface FileUrlResult extends ApiResult {
  /** Whoever has it may use it: keep it out of logs. Empty on failure. */
  readonly url: string;
  /** When it ends, as the service writes it. */
  readonly expireTime?: string;
}

/** One file of a context. Some fields have two names. */
export type ContextFileEntry = {
  readonly fileId?: string;
  readonly name: string;
  readonly path: string;
  readonly type: string;
  readonly createdTime?: string;
  readonly modifiedTime?: string;
  readonly size?: number;
  readonly status?: string;
  readonly fileName: string;
  readonly filePath: string;
  readonly fileType: string;
  readonly gmtCreate?: string;
  readonly gmtModified?: string;
};

/** Result of {@link ContextService.listFiles}: one page. */
export interface ContextFileListResult extends ApiResult {
  /** Empty on failure. */
  readonly files: ContextFileEntry[];
  /** The same as `files`. */
  readonly entries: ContextFileEntry[];
  /** Files on all pages, where the service says so. */
  readonly count?: number;
}

/** One task that carries files between a session and a context. */
export type ContextStatusData = {
  readonly contextId: string;
  /** Where the context is in the session. */
  readonly path: string;
  /** Empty unless it failed. */
  readonly errorMessage: string;
  /** `Success`, `Failed`; anything else is under way. */
  readonly status: string;
  /** Seconds since the Unix epoch. */
  readonly startTime: number;
  /** Seconds since the Unix epoch. */
  readonly finishTime: number;
  /** `upload` or `download`. */
  readonly taskType: string;
};

/** Result of {@link ContextManager.info}. */
export interface ContextInfoResult extends ApiResult {
  /** Empty on failure. */
  readonly items: ContextStatusData[];
  /** The same as `items`. */
  readonly data: ContextStatusData[];
}

/** Result of {@link ContextManager.sync}. */
export interface ContextSyncResult extends ApiResult {}

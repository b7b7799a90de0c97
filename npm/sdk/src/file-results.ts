/**
 * What operations on files resolve to.
 *
 * @module
 */

import type { Bytes } from "./node/bytes.js";
import type { ApiResult, OperationResult } from "./results.js";

/** Result of an operation that answers nothing but that it was done. */
export type BoolResult = OperationResult<boolean>;

/** Result of {@link FileSystem.readFile}. */
export interface FileContentResult extends ApiResult {
  /** The file as text; empty on failure. Bytes that are not UTF-8 are replaced. */
  readonly content: string;
}

/** Result of {@link FileSystem.readFile} with `format: "bytes"`. */
export interface BinaryFileContentResult extends ApiResult {
  /** The file; empty on failure. A `Buffer` in Node, a `Uint8Array` in a page. */
  readonly content: Bytes;
  /** Bytes of the file; absent on failure. */
  readonly size?: number;
}

/** Result of {@link FileSystem.readMultipleFiles}. */
export interface MultipleFileContentResult extends ApiResult {
  /** Texts by path; a file that cannot be read is a text that begins with `Error - `. Empty on failure. */
  readonly files: Record<string, string>;
}

/** What there is to know of a file or directory. What the service does not say is empty. */
export type FileInfo = {
  /** Last part of the path. */
  readonly name: string;
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly isDirectory: boolean;
  /** `file`, `directory`, or another kind that the service names. */
  readonly type: string;
  /** When it was last changed, as the service writes it. */
  readonly modTime: string;
  /** Its permissions, as the service writes them, e.g. `644`. */
  readonly mode: string;
  readonly owner?: string;
  readonly group?: string;
};

/** Result of {@link FileSystem.getFileInfo}. */
export interface FileInfoResult extends ApiResult {
  /** Absent on failure. */
  readonly fileInfo?: FileInfo;
}

/** One entry of a directory. */
export type DirectoryEntry = {
  readonly type: "file" | "directory";
  readonly name: string;
};

/** Result of {@link FileSystem.listDirectory}. */
export interface DirectoryListResult extends ApiResult {
  /** In the service's order; empty on failure. */
  readonly entries: DirectoryEntry[];
}

/** Result of {@link FileSystem.searchFiles}. */
export interface FileSearchResult extends ApiResult {
  /** Paths; absent on failure. */
  readonly matches?: string[];
}

/** One change below a directory. */
export type FileChangeEvent = {
  /** `create`, `modify` or `delete`; `overflow` when changes were lost: look at the files anew. */
  readonly eventType: string;
  readonly path: string;
  /** `file` or `directory`. */
  readonly pathType: string;
};

/** Result of {@link FileSystem.getFileChange}. */
export interface FileChangeResult extends ApiResult {
  /** Changes since the last look; empty on failure. */
  readonly events: FileChangeEvent[];
  /** The answer as the service wrote it; absent on failure. */
  readonly rawData?: string;
}

/** Result of {@link FileSystem.upload}. */
export type UploadResult = {
  readonly success: boolean;
  /** Id of the call that gave the address to upload to. */
  readonly requestIdUploadUrl?: string;
  /** Id of the call that carried the file into the session. */
  readonly requestIdSync?: string;
  /** Status of the upload itself. */
  readonly httpStatus?: number;
  /** The service's tag of the content. */
  readonly etag?: string;
  readonly bytesSent: number;
  /** Path of the file in the session. */
  readonly path: string;
  /** Empty on success. */
  readonly errorMessage: string;
};

/** Result of {@link FileSystem.download}. */
export type DownloadResult = {
  readonly success: boolean;
  /** Id of the call that gave the address to download from. */
  readonly requestIdDownloadUrl?: string;
  /** Id of the call that carried the file out of the session. */
  readonly requestIdSync?: string;
  /** Status of the download itself. */
  readonly httpStatus?: number;
  readonly bytesReceived: number;
  /** Path of the file in the session. */
  readonly path: string;
  /** Path of the file on this machine. */
  readonly localPath: string;
  /** Empty on success. */
  readonly errorMessage: string;
};

/** A watch of {@link FileSystem.watch}: events one by one, as they happen. */
export interface FileWatch extends AsyncIterableIterator<FileChangeEvent> {
  /** Resolves when the watch has begun: everything that happens from then on is told. Rejects where it cannot begin. */
  readonly ready: Promise<void>;
  /** Ends the watch. */
  return(): Promise<IteratorResult<FileChangeEvent>>;
}

import type { Answer, NativeSession } from "./binding.js";
import type { UploadSource } from "./byte-transfer.js";
import { bindMethods } from "./bind-methods.js";
import type { Bytes } from "./node/bytes.js";
import type { CallOptions } from "./call.js";
import { checkOptionalNumber, checkString, describe } from "./check.js";
import type {
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
  FileWatch,
  MultipleFileContentResult,
  UploadResult,
} from "./file-results.js";
import type { DownloadOptions, FileTransfer, UploadOptions } from "./file-transfer.js";
import { watchFiles, type WatchOptions } from "./file-events.js";
import type { FileChunk, WriteMode } from "./file-parts.js";
import {
  folderStream,
  type FolderStreamOptions,
  readStream,
  type ReadStreamOptions,
  writeStream,
  type WriteStreamOptions,
} from "./file-stream.js";
import type { WatchCallback } from "./file-watch.js";
import { messageOf } from "./errors.js";
import { invoke } from "./invoke.js";
import { loadFiles } from "./load-files.js";
import { log } from "./log.js";
import { currentPlatform } from "./platform.js";
import { apiResult, present } from "./results.js";
import { checkedSignal, type StopSignal } from "./stop-signal.js";

export type { WriteMode } from "./file-parts.js";

/** One replacement of {@link FileSystem.editFile}. */
export type FileEdit = {
  /** Replaced wherever it occurs. */
  oldText: string;
  newText: string;
};

/** Options of {@link FileSystem.readFile}. */
export interface ReadFileOptions extends CallOptions {
  /** `text` (default) or `bytes`. */
  format?: "text" | "bytes" | undefined;
}

/** A watch of {@link FileSystem.watchDir}. */
export interface DirectoryWatch {
  /** Ends the watch at once. */
  stop(): void;
}

const DEFAULT_INTERVAL_MS = 1000;

/** Reads, writes and watches files of a session; see {@link Session.file}. */
export class FileSystem {
  /** Bytes of a file that one call reads or writes. Longer files are read and written in parts. */
  static readonly DEFAULT_CHUNK_SIZE = 51_200;
  readonly #native: NativeSession;
  #transfer: FileTransfer | null = null;

  /** @internal */
  constructor(native: NativeSession) {
    this.#native = native;
    bindMethods(this);
  }

  /** Makes a directory. */
  createDirectory(path: string, options?: CallOptions | null): Promise<BoolResult> {
    return this.#done("file.createDirectory", { path }, options);
  }

  /** Deletes a file. A directory is an error. */
  deleteFile(path: string, options?: CallOptions | null): Promise<BoolResult> {
    return this.#done("file.delete", { path }, options);
  }

  /**
   * Replaces texts in a file, one edit after the other. A text that does not occur is an error, and nothing is written.
   *
   * @param dryRun Only look whether the edits could be made.
   */
  editFile(path: string, edits: readonly FileEdit[], dryRun = false, options?: CallOptions | null): Promise<BoolResult> {
    return this.#done("file.edit", { path, edits, dryRun }, options);
  }

  /** What there is to know of a file or directory. */
  async getFileInfo(path: string, options?: CallOptions | null): Promise<FileInfoResult> {
    const answer = await this.#invoke<FileInfo>("file.info", { path }, options);
    return answer.data === null ? apiResult(answer) : { ...apiResult(answer), fileInfo: present(answer.data) as FileInfo };
  }

  /** What is in a directory. */
  async listDirectory(path: string, options?: CallOptions | null): Promise<DirectoryListResult> {
    const answer = await this.#invoke<DirectoryEntry[]>("file.list", { path }, options);
    return { ...apiResult(answer), entries: answer.data ?? [] };
  }

  /** Moves or renames a file or directory. A destination that exists is an error. */
  moveFile(source: string, destination: string, options?: CallOptions | null): Promise<BoolResult> {
    return this.#done("file.move", { source, destination }, options);
  }

  /**
   * Reads a file, whatever its size.
   *
   * ```ts
   * const { content } = await session.file.read("/tmp/data.csv");
   * const { content: bytes } = await session.file.read("/tmp/plot.png", { format: "bytes" });
   * ```
   */
  readFile(path: string, options: ReadFileOptions & { readonly format: "bytes" }): Promise<BinaryFileContentResult>;
  readFile(path: string, options?: (ReadFileOptions & { readonly format?: "text" | undefined }) | null): Promise<FileContentResult>;
  async readFile(path: string, options?: ReadFileOptions | null): Promise<FileContentResult | BinaryFileContentResult> {
    const format: unknown = options?.format ?? "text";
    if (format === "bytes") {
      return this.readBytes(path, options);
    }
    const answer = format === "text"
      ? await this.#invoke<{ readonly content: string }>("file.read", { path }, options)
      : await this.#invoke<never>("file.read", { path: null }, options);
    const words = format === "text" ? {} : { errorMessage: `format must be "text" or "bytes", not ${describe(format)}` };
    return { ...apiResult(answer), ...words, content: answer.data?.content ?? "" };
  }

  /** Reads a file as bytes; {@link FileSystem.readFile} with `format: "bytes"`. */
  async readBytes(path: string, options?: CallOptions | null): Promise<BinaryFileContentResult> {
    const answer = await this.#invoke<{ readonly content: string; readonly size: number }>("file.readBytes", { path }, options);
    const content = currentPlatform().decodeBase64(answer.data?.content ?? "") as Bytes;
    return { ...apiResult(answer), content, ...(answer.data === null ? {} : { size: answer.data.size }) };
  }

  /** Writes a text, whatever its length. If a part of it cannot be written, the parts before it stay. */
  writeFile(path: string, content: string, mode: WriteMode = "overwrite", options?: CallOptions | null): Promise<BoolResult> {
    return this.#done("file.write", { path, content, mode }, options);
  }

  /** Reads texts in one call. A file that cannot be read is a text that begins with `Error - `. */
  async readMultipleFiles(paths: readonly string[], options?: CallOptions | null): Promise<MultipleFileContentResult> {
    const answer = await this.#invoke<Record<string, string>>("file.readMany", { paths }, options);
    return { ...apiResult(answer), files: answer.data ?? {} };
  }

  /**
   * Finds files and directories below a directory by name.
   *
   * @param pattern A glob, e.g. `*.py`, or a part of the name.
   * @param excludePatterns What is left out, with everything below it.
   */
  async searchFiles(
    path: string,
    pattern: string,
    excludePatterns?: readonly string[] | null,
    options?: CallOptions | null,
  ): Promise<FileSearchResult> {
    const answer = await this.#invoke<string[]>("file.search", { path, pattern, excludePatterns }, options);
    return answer.data === null ? apiResult(answer) : { ...apiResult(answer), matches: answer.data };
  }

  /** What has changed below a directory since the last call for it in this session, whoever made that. */
  async getFileChange(path: string, options?: CallOptions | null): Promise<FileChangeResult> {
    const answer = await this.#invoke<{ readonly events: FileChangeEvent[]; readonly rawData: string }>("file.changes", { path }, options);
    return { ...apiResult(answer), ...(answer.data ?? { events: [] }) };
  }

  /**
   * Calls back with changes below a directory until `signal` is aborted or the session is gone. What the callback throws
   * is logged, and the watch goes on.
   *
   * The service tells of changes as they happen. Where it does not, the directory is looked at again and again, and two
   * watches of one path take each other's changes.
   *
   * @param interval Milliseconds between two looks, where there are any.
   * @throws TypeError (as a rejection) when an argument has the wrong type.
   */
  async watchDirectory(
    path: string,
    callback: WatchCallback,
    interval: number | null = DEFAULT_INTERVAL_MS,
    signal?: StopSignal | null,
  ): Promise<void> {
    const watched = checkString("path", path);
    const rest = [checkedCallback(callback), checkedInterval(interval), checkedSignal(signal)] as const;
    const { watch } = await loadFiles();
    await watch(this.#native, watched, ...rest);
  }

  /**
   * {@link FileSystem.watchDirectory} in the background.
   *
   * @throws TypeError when an argument has the wrong type.
   */
  watchDir(dirPath: string, callback: WatchCallback, interval: number | null = DEFAULT_INTERVAL_MS): DirectoryWatch {
    const stop = new AbortController();
    const watched = checkString("dirPath", dirPath);
    const rest = [checkedCallback(callback), checkedInterval(interval), stop.signal] as const;
    void loadFiles().then(
      ({ watch }) => watch(this.#native, watched, ...rest),
      (error: unknown) => log("warn", `watching ${watched} ends: ${messageOf(error)}`),
    );
    return { stop: () => stop.abort() };
  }

  /**
   * Reads a file as a Web stream, of any size in bounded memory. A lost connection is repaired without a trace; a file
   * that changes meanwhile ends the stream with the code `InvalidFile.Changed`, so that no two states are ever mixed.
   *
   * A stream that fails says why in its error's `code` and `message`. Chromium's `new Response(stream)` puts its own
   * `TypeError: Failed to fetch` in their place: read the stream itself where you need to know.
   *
   * ```ts
   * for await (const bytes of session.file.readStream("/tmp/large.bin")) hash.update(bytes);
   * await session.file.readStream("/tmp/large.bin", { start: 0, end: 1024 }).pipeTo(destination);
   * ```
   *
   * @throws TypeError when an argument has the wrong type.
   */
  readStream(path: string, options?: ReadStreamOptions | null): ReadableStream<Uint8Array> {
    return readStream(this.#native, path, options);
  }

  /**
   * Writes a file as a Web stream, of any size in bounded memory. The file takes its place as a whole when the stream is
   * closed; a stream that is aborted or fails leaves what was there.
   *
   * ```ts
   * await response.body.pipeTo(session.file.writeStream("/tmp/data.csv"));
   * ```
   *
   * A service that carries no bytes gets the documented calls: UTF-8 only, and what was written before a failure stays.
   *
   * @throws TypeError when an argument has the wrong type.
   */
  writeStream(path: string, options?: WriteStreamOptions | null): WritableStream<FileChunk> {
    return writeStream(this.#native, path, options);
  }

  /**
   * Reads a folder as a tar archive, as a Web stream of any size in bounded memory; see also {@link FileSystem.download}. The
   * service packs it into a file of the session first, which takes as much of its disk. Sockets, pipes and devices are left
   * out, and a line of the log says how many.
   *
   * ```ts
   * await session.file.folderStream("/home/user/project").pipeTo(destination);
   * ```
   *
   * @throws TypeError when an argument has the wrong type.
   */
  folderStream(path: string, options?: FolderStreamOptions | null): ReadableStream<Uint8Array> {
    return folderStream(this.#native, path, options);
  }

  /**
   * Watches a file or folder: the service tells of changes as they happen, also after a lost connection. An event
   * `overflow` says that some were lost: look at the files anew. The iteration ends with the session, or when what is
   * watched is gone.
   *
   * ```ts
   * for await (const { eventType, path } of session.file.watch("/home/user", { recursive: true })) console.log(eventType, path);
   * ```
   *
   * @throws TypeError when an argument has the wrong type.
   */
  watch(path: string, options?: WatchOptions | null): FileWatch {
    return watchFiles(this.#native, path, options);
  }

  /** Folder of the session below which {@link FileSystem.upload} can put files; `undefined` when the service has none. */
  async transferPath(): Promise<string | undefined> {
    return (await this.#transfers()).path();
  }

  /**
   * Copies a file or folder of this machine into the session, or in a page the contents of a `File` or `Blob`. It takes its
   * place as a whole or not at all, and a lost connection is repaired.
   *
   * A folder goes as a tar stream, with its links and permissions; what the session's folder has beside them stays. Links
   * that lead out of the folder are refused. A page sends an archive that it has: `upload(tar, folder, { unpack: true })`.
   *
   * @param source Path of a file or folder of this machine; or bytes, a `Blob`, `File` or `ReadableStream`.
   * @param remotePath Where it goes. A service that carries no bytes takes paths below {@link FileSystem.transferPath}, and of
   * what is not a path texts only.
   */
  async upload(source: string | UploadSource, remotePath: string, options?: UploadOptions | null): Promise<UploadResult> {
    try {
      return await (await this.#transfers()).upload(source, remotePath, options);
    } catch (error) {
      return { success: false, bytesSent: 0, path: String(remotePath), errorMessage: messageOf(error) };
    }
  }

  /**
   * Copies a file or folder of the session to this machine. Folders above `localPath` are made. A folder that is there keeps
   * what it has beside the session's files.
   */
  async download(remotePath: string, localPath: string, options?: DownloadOptions | null): Promise<DownloadResult> {
    try {
      return await (await this.#transfers()).download(remotePath, localPath, options);
    } catch (error) {
      const paths = { path: String(remotePath), localPath: String(localPath) };
      return { success: false, bytesReceived: 0, ...paths, errorMessage: messageOf(error) };
    }
  }

  /** Without anything that could hold a secret. */
  toJSON(): { sessionId: string } {
    return { sessionId: this.#native.sessionId };
  }

  /** {@link FileSystem.createDirectory}. */
  get mkdir(): FileSystem["createDirectory"] {
    return this.createDirectory;
  }

  /** {@link FileSystem.deleteFile}. */
  get delete(): FileSystem["deleteFile"] {
    return this.deleteFile;
  }

  /** {@link FileSystem.deleteFile}. */
  get remove(): FileSystem["deleteFile"] {
    return this.deleteFile;
  }

  /** {@link FileSystem.deleteFile}. */
  get rm(): FileSystem["deleteFile"] {
    return this.deleteFile;
  }

  /** {@link FileSystem.editFile}. */
  get edit(): FileSystem["editFile"] {
    return this.editFile;
  }

  /** {@link FileSystem.getFileInfo}. */
  get info(): FileSystem["getFileInfo"] {
    return this.getFileInfo;
  }

  /** {@link FileSystem.listDirectory}. */
  get list(): FileSystem["listDirectory"] {
    return this.listDirectory;
  }

  /** {@link FileSystem.listDirectory}. */
  get ls(): FileSystem["listDirectory"] {
    return this.listDirectory;
  }

  /** {@link FileSystem.moveFile}. */
  get move(): FileSystem["moveFile"] {
    return this.moveFile;
  }

  /** {@link FileSystem.readFile}. */
  get read(): FileSystem["readFile"] {
    return this.readFile;
  }

  /** {@link FileSystem.writeFile}. */
  get write(): FileSystem["writeFile"] {
    return this.writeFile;
  }

  /** {@link FileSystem.readMultipleFiles}. */
  get readBatch(): FileSystem["readMultipleFiles"] {
    return this.readMultipleFiles;
  }

  /** {@link FileSystem.searchFiles}. */
  get search(): FileSystem["searchFiles"] {
    return this.searchFiles;
  }

  async #transfers(): Promise<FileTransfer> {
    const { FileTransfer } = await loadFiles();
    return (this.#transfer ??= new FileTransfer(this.#native));
  }

  #invoke<T>(name: string, args: object, options?: CallOptions | null): Promise<Answer<T>> {
    return invoke<T>(this.#native, name, args, options);
  }

  async #done(name: string, args: object, options?: CallOptions | null): Promise<BoolResult> {
    const answer = await this.#invoke<null>(name, args, options);
    return answer.success ? { ...apiResult(answer), data: true } : apiResult(answer);
  }
}

function checkedCallback(callback: unknown): WatchCallback {
  if (typeof callback !== "function") {
    throw new TypeError(`callback must be a function, not ${describe(callback)}`);
  }
  return callback as WatchCallback;
}

function checkedInterval(interval: unknown): number {
  return checkOptionalNumber("interval", interval, "milliseconds") ?? DEFAULT_INTERVAL_MS;
}

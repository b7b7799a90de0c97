/**
 * Copies files between this machine and a session: as plain bytes where the service carries them, else by way of the
 * session's own context for that.
 *
 * @module
 */

import type { Answer, NativeSession } from "./binding.js";
import { downloadBytes, downloadFolder, type Mutable, piecesOf, uploadBytes, type UploadSource } from "./byte-transfer.js";
import type { CallOptions } from "./call.js";
import { checkObject, checkOptionalCount, checkOptionalFlag, checkOptionalString, checkString } from "./check.js";
import { carriesBytes, carriesFolders } from "./extensions.js";
import { checkedSignal, type StopSignal } from "./stop-signal.js";
import { AGBError, messageOf } from "./errors.js";
import type { DownloadResult, UploadResult } from "./file-results.js";
import { invoke } from "./invoke.js";
import { log } from "./log.js";
import { currentPlatform, type LocalFiles } from "./platform.js";
import { checkedCallback } from "./run-options.js";

/** Options of both directions. */
export interface TransferOptions extends CallOptions {
  /** Whether to wait until the service has carried the file on, where that takes a step of its own. Default `true`. */
  wait?: boolean | undefined;
  /** Milliseconds to wait at most. Default 30000. */
  waitTimeout?: number | undefined;
  /** Milliseconds between two looks whether it has. Default 1500. */
  pollInterval?: number | undefined;
  /** Gets how many bytes have gone so far, again and again. A promise is awaited; what it throws ends the transfer. */
  progressCallback?: ((bytes: number) => unknown) | null | undefined;
}

/** Options of {@link FileSystem.upload}. */
export interface UploadOptions extends TransferOptions {
  /** Sent as the file's content type. */
  contentType?: string | undefined;
  /** The source is a tar archive: its files take their places in the folder `remotePath`, all or none. Default `false`. */
  unpack?: boolean | undefined;
}

/** Options of {@link FileSystem.download}. */
export interface DownloadOptions extends TransferOptions {
  /** Whether a local file that exists is replaced. Default `true`. */
  overwrite?: boolean | undefined;
}

interface TransferContext {
  readonly contextId: string;
  readonly path: string;
}

interface Url {
  readonly url: string;
}

/** A step that failed, and what is known of the file's way until then. */
class Failure extends Error {}

/** Carries the files of one session. */
export class FileTransfer {
  readonly #native: NativeSession;
  #context: Promise<TransferContext> | null = null;

  constructor(native: NativeSession) {
    this.#native = native;
  }

  async path(): Promise<string | undefined> {
    try {
      return (await this.#loadContext()).path;
    } catch (error) {
      log("debug", `the session has no folder for files on their way: ${messageOf(error)}`);
      return undefined;
    }
  }

  async upload(source: string | UploadSource, remotePath: string, given: UploadOptions | null | undefined): Promise<UploadResult> {
    const result: Mutable<UploadResult> = { success: false, bytesSent: 0, path: String(remotePath), errorMessage: "" };
    try {
      if (typeof source !== "string") {
        const options = checkedOptions(remotePath, given);
        const unpack = this.#unpacks(options);
        await uploadBytes(this.#native, piecesOf(source), remotePath, result, telling(options), unpack);
        return { ...result, success: true };
      }
      const [files, localPath] = [localFiles(), source];
      const options = checkedOptions(remotePath, given);
      const signal = checkedSignal(options.signal);
      const size = await files.size(localPath);
      if (size === null && carriesFolders(this.#native) && (await files.isFolder(localPath))) {
        const leftOut = (path: string): void => log("warn", `${path} is left out: it is neither a file nor a folder nor a link`);
        await uploadBytes(this.#native, files.pack(localPath, leftOut), remotePath, result, telling(options), true);
        return { ...result, success: true };
      }
      if (size === null) {
        throw new Failure(`Local file not found: ${String(localPath)} is not a file`);
      }
      const unpack = this.#unpacks(options);
      if (carriesBytes(this.#native)) {
        await uploadBytes(this.#native, files.read(localPath), remotePath, result, telling(options), unpack);
        return { ...result, success: true };
      }
      const context = await this.#loadContext();
      const folder = parentOf(remotePath, context);
      const url = await this.#step<Url>("context.uploadUrl", { contextId: context.contextId, filePath: remotePath }, signal);
      result.requestIdUploadUrl = url.requestId;
      const sent = await files.put(url.data.url, localPath, size, request(options, signal, (bytes) => (result.bytesSent = bytes)));
      result.httpStatus = sent.status;
      if (!isFine(sent.status)) {
        throw new Failure(`The upload of ${localPath} was refused with the HTTP status ${sent.status}`);
      }
      result.bytesSent = size;
      if (sent.etag !== null) {
        result.etag = sent.etag;
      }
      result.requestIdSync = await this.#carry(context, folder, "download", options, signal);
      result.success = true;
    } catch (error) {
      result.errorMessage = messageOf(error);
    }
    return result;
  }

  async download(remotePath: string, localPath: string, given: DownloadOptions | null | undefined): Promise<DownloadResult> {
    const result: Mutable<DownloadResult> = {
      success: false,
      bytesReceived: 0,
      path: String(remotePath),
      localPath: String(localPath),
      errorMessage: "",
    };
    try {
      const files = localFiles();
      const options = checkedOptions(remotePath, given);
      checkString("localPath", localPath);
      const signal = checkedSignal(options.signal);
      if (options.overwrite === false && (await files.exists(localPath))) {
        throw new Failure(`Destination exists and overwrite is false: ${localPath}`);
      }
      if (carriesBytes(this.#native)) {
        const overwrite = options.overwrite !== false;
        try {
          await downloadBytes(this.#native, remotePath, files, localPath, overwrite, result, telling(options));
        } catch (error) {
          if (!isKind(error) || !carriesFolders(this.#native)) {
            throw error;
          }
          await downloadFolder(this.#native, remotePath, files, localPath, result, telling(options)).catch((second: unknown) => {
            throw isKind(second) ? error : second; // neither a file nor a folder, which the first said better
          });
        }
        return { ...result, success: true };
      }
      const context = await this.#loadContext();
      result.requestIdSync = await this.#carry(context, parentOf(remotePath, context), "upload", options, signal);
      const file = { contextId: context.contextId, filePath: remotePath };
      const url = await this.#step<Url>("context.downloadUrl", file, signal);
      result.requestIdDownloadUrl = url.requestId;
      const onBytes = (bytes: number): void => void (result.bytesReceived = bytes);
      const got = await files.get(url.data.url, localPath, request(options, signal, onBytes), options.overwrite !== false);
      result.httpStatus = got.status;
      if (!isFine(got.status)) {
        throw new Failure(`The download of ${remotePath} was refused with the HTTP status ${got.status}`);
      }
      result.bytesReceived = got.bytes;
      result.success = true;
      const removed = await invoke<null>(this.#native, "context.deleteFile", file);
      if (!removed.success) {
        log("debug", `the copy of ${remotePath} stays in its context: ${removed.errorMessage}`);
      }
    } catch (error) {
      result.errorMessage = messageOf(error);
    }
    return result;
  }

  /** Whether the source is an archive. */
  #unpacks({ unpack = false }: UploadOptions): boolean {
    if (unpack && !carriesFolders(this.#native)) {
      throw new Failure("The service does not unpack archives: upload the files one by one, or unpack the archive by a command");
    }
    return unpack;
  }

  /** Once a session; after a failure the next call asks again. */
  #loadContext(): Promise<TransferContext> {
    this.#context ??= this.#step<TransferContext | null>("context.transfer", {}, null).then(({ data }) => {
      if (data === null) {
        throw new Failure("Context ID not available: the service gave the session no context for files on their way");
      }
      return data;
    });
    this.#context.catch(() => (this.#context = null));
    return this.#context;
  }

  /** Has the service carry the folder on, and waits for that if asked to. Gives the id of the call. */
  async #carry(
    { contextId }: TransferContext,
    path: string,
    mode: "upload" | "download",
    { wait = true, waitTimeout, pollInterval }: TransferOptions,
    signal: StopSignal | null,
  ): Promise<string> {
    const begun = await this.#step<null>("context.beginSync", { contextId, path, mode }, signal);
    if (wait) {
      const args = { contextId, path, taskType: mode, waitTimeout, pollInterval };
      await this.#step<null>("context.await", args, signal);
    }
    return begun.requestId;
  }

  async #step<T>(name: string, args: object, signal: StopSignal | null): Promise<Answer<T> & { readonly data: T }> {
    const answer = await invoke<T>(this.#native, name, args, { signal });
    if (!answer.success) {
      throw new Failure(answer.errorMessage);
    }
    return answer as Answer<T> & { readonly data: T };
  }
}

/** Milliseconds that an upload or download may take without a byte moving, and the way there. */
const QUIET_MS = 60_000;

/** What a copy of bytes tells, and what ends it. */
function telling({ signal, progressCallback }: TransferOptions): Parameters<typeof uploadBytes>[4] {
  return { signal: checkedSignal(signal), onBytes: (bytes) => progressCallback?.(bytes) };
}

function request(options: UploadOptions, signal: StopSignal | null, onBytes: (bytes: number) => void): Parameters<LocalFiles["get"]>[2] {
  const { progressCallback, contentType = null } = options;
  const tell = (bytes: number): unknown => {
    onBytes(bytes);
    return progressCallback?.(bytes);
  };
  return { contentType, signal, quietMs: QUIET_MS, onBytes: tell };
}

/** @throws TypeError when something has the wrong type. */
function checkedOptions(remotePath: unknown, given: unknown): UploadOptions & DownloadOptions {
  checkString("remotePath", remotePath);
  const options = given ?? {};
  checkObject("options", options);
  const checked: UploadOptions & DownloadOptions = options;
  checkOptionalString("contentType", checked.contentType);
  checkOptionalCount("waitTimeout", checked.waitTimeout, "milliseconds");
  checkOptionalCount("pollInterval", checked.pollInterval, "milliseconds");
  for (const name of ["wait", "overwrite", "unpack"] as const) {
    checkOptionalFlag(name, checked[name]);
  }
  checkedCallback("progressCallback", checked.progressCallback);
  return checked;
}

function localFiles(): LocalFiles {
  const { localFiles: files } = currentPlatform();
  if (files === undefined) {
    throw new Failure("A page has no local files: read and write contents with session.file.read and session.file.write");
  }
  return files;
}

/** The folder that is carried: the parent of the path, or for one without, the whole of what is on its way. */
function parentOf(remotePath: string, context: TransferContext): string {
  const path = String(remotePath).replaceAll("\\", "/");
  const end = path.lastIndexOf("/");
  return end < 0 ? context.path : path.slice(0, end) || "/";
}

/** Whether the service said that a path is not one of a file. */
const isKind = (error: unknown): boolean => error instanceof AGBError && error.code === "InvalidFile.Kind";

const isFine = (status: number): boolean => status >= 200 && status < 300;

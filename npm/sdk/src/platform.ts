/**
 * The seam between the public classes and where they run. An entry (`node.ts`, later a browser one) plugs its
 * {@link Platform} in once; everything else in this package asks for it here and names neither Node nor a browser.
 *
 * @module
 */

import type { Binding, NativeSession } from "./binding.js";
import type { InitializeOptions } from "./initialize-options.js";
import type { StopSignal } from "./stop-signal.js";
import type { StreamingLimits } from "./streaming-limits.js";

/** What an entry provides. */
export interface Platform {
  /** Loads the backend. Called at the first use, not at import; throws `NativeAddonError` when there is none. */
  loadBinding(): Binding;
  /** Loads the backend now, with everything that it would otherwise load later. */
  initialize(options: InitializeOptions): Promise<void>;
  /** The `AGB_*` environment variables. */
  environment(): Array<readonly [name: string, value: string]>;
  /** Path of the program for `endpoint: "local"`; `null` when there is none. */
  findLocalServer(): string | null;
  /** Checks what was said of the connections' limits; absent where they cannot be set. */
  streamingLimits?(value: unknown): StreamingLimits | null;
  /** Takes up a session with settings of its own (`SessionAttachOptions`); absent where connections have none. */
  attach?(access: string, options: unknown): NativeSession;
  /** Runs `task` after the event loop has had a turn for everything else. */
  defer(task: () => void): void;
  /** Bytes from base64. */
  decodeBase64(text: string): Uint8Array;
  /** Files of this machine; absent in a page. */
  readonly localFiles?: LocalFiles;
  /** Ties `task` to the caller's asynchronous context (`AsyncLocalStorage` in Node). */
  bindContext(task: () => void): () => void;
}

/** Files of this machine, and carrying them over HTTP. */
export interface LocalFiles {
  /** Bytes of a regular file; `null` for everything else. */
  size(path: string): Promise<number | null>;
  exists(path: string): Promise<boolean>;
  /** The bytes of a file. */
  read(path: string): AsyncIterable<Uint8Array>;
  /** Writes bytes into a file, and makes the folders above it. Nothing is left half written. */
  write(path: string, bytes: AsyncIterable<Uint8Array>, overwrite: boolean): Promise<void>;
  isFolder(path: string): Promise<boolean>;
  /** A folder as a tar archive. `leftOut` gets each path that an archive cannot have. */
  pack(path: string, leftOut: (path: string) => void): AsyncIterable<Uint8Array>;
  /** Writes a tar archive's files into a folder, and makes those above it. Nothing is left half written. */
  unpack(path: string, bytes: AsyncIterable<Uint8Array>): Promise<void>;
  /** Sends a file's bytes with `PUT`. */
  put(url: string, path: string, size: number, request: TransferRequest): Promise<{ readonly status: number; readonly etag: string | null }>;
  /** Writes what `GET` answers, if that is a success. Nothing is left half written. */
  get(url: string, path: string, request: TransferRequest, overwrite: boolean): Promise<{ readonly status: number; readonly bytes: number }>;
}

/** How bytes are carried. */
export interface TransferRequest {
  readonly contentType: string | null;
  readonly signal: StopSignal | null;
  /** Milliseconds that may pass without a byte moving. */
  readonly quietMs: number;
  /** Gets the bytes so far. */
  onBytes(bytes: number): unknown;
}

let plugged: Platform | null = null;

/** Called by an entry, once, before anything else. */
export function plugPlatform(platform: Platform): void {
  plugged = platform;
}

/** The platform that the entry plugged in. */
export function currentPlatform(): Platform {
  if (plugged === null) {
    throw new Error("agbcloud-sdk was loaded past its entry: import \"agbcloud-sdk\", not a file inside of it");
  }
  return plugged;
}

/**
 * Copies files between this side and a session as plain bytes, where the service carries them.
 *
 * @module
 */

import type { NativeSession } from "./binding.js";
import type { DownloadResult, UploadResult } from "./file-results.js";
import { bytesOf, type FileChunk, FileReader, FileWriter, FolderReader } from "./file-parts.js";
import type { LocalFiles } from "./platform.js";
import type { StopSignal } from "./stop-signal.js";

/** What can be uploaded beside a path of this machine: what it holds goes into the session's file. */
export type UploadSource = BlobSource | ByteStream | FileChunk;

/** A `ReadableStream` of bytes or texts, from whichever library. */
export interface ByteStream {
  getReader(): { read(): Promise<{ readonly done: boolean; readonly value?: FileChunk | undefined }>; cancel(reason?: unknown): Promise<void> };
}

/** A `Blob` or `File`, from whichever library. */
export interface BlobSource {
  readonly size: number;
  slice(start: number, end: number): { arrayBuffer(): Promise<ArrayBuffer> };
  arrayBuffer(): Promise<ArrayBuffer>;
}

/** How one copy is told of. */
interface Telling {
  readonly signal: StopSignal | null;
  onBytes(bytes: number): unknown;
}

export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Bytes of a `Blob` that are read at once. */
const SLICE = 1 << 20;

/** @internal Writes what comes into a file of the session, or an archive's files into a folder: as a whole, or not at all. */
export async function uploadBytes(
  native: NativeSession,
  pieces: AsyncIterable<Uint8Array>,
  remotePath: string,
  result: Mutable<UploadResult>,
  { signal, onBytes }: Telling,
  isArchive = false,
): Promise<void> {
  const writer = new FileWriter(native, remotePath, "overwrite", signal, isArchive);
  try {
    for await (const piece of pieces) {
      await writer.write(piece);
      result.bytesSent += piece.length;
      await onBytes(result.bytesSent);
    }
    const { etag } = await writer.finish();
    if (etag !== "") {
      result.etag = etag;
    }
  } catch (error) {
    void writer.discard().catch(() => {}); // the first error is the one to report
    throw error;
  }
  result.httpStatus = 200;
}

/** @internal Writes a file of the session into one of this machine: as a whole, or not at all. */
export async function downloadBytes(
  native: NativeSession,
  remotePath: string,
  files: LocalFiles,
  localPath: string,
  overwrite: boolean,
  result: Mutable<DownloadResult>,
  { signal, onBytes }: Telling,
): Promise<void> {
  const reader = new FileReader(native, remotePath, 0, Number.MAX_SAFE_INTEGER, signal);
  try {
    await files.write(localPath, counted(reader, result, onBytes), overwrite);
  } finally {
    reader.stop();
  }
  result.httpStatus = 200;
}

/** @internal Writes a folder of the session into one of this machine: as a whole, or not at all. */
export async function downloadFolder(
  native: NativeSession,
  remotePath: string,
  files: LocalFiles,
  localPath: string,
  result: Mutable<DownloadResult>,
  { signal, onBytes }: Telling,
): Promise<void> {
  const reader = new FolderReader(native, remotePath, signal);
  try {
    await files.unpack(localPath, counted(reader, result, onBytes));
  } finally {
    reader.stop();
  }
  result.httpStatus = 200;
}

async function* counted(
  reader: FileReader | FolderReader,
  result: Mutable<DownloadResult>,
  onBytes: Telling["onBytes"],
): AsyncGenerator<Uint8Array> {
  for (let bytes; (bytes = await reader.next()) !== null; ) {
    yield bytes;
    result.bytesReceived += bytes.length;
    await onBytes(result.bytesReceived);
  }
}

/** @internal The bytes of what is not a path. */
export async function* piecesOf(source: UploadSource): AsyncGenerator<Uint8Array> {
  if (isStream(source)) {
    const reader = source.getReader();
    let isOver = false;
    try {
      for (let next; !(next = await reader.read()).done; ) {
        yield bytesOf(next.value as FileChunk);
      }
      isOver = true;
    } finally {
      if (!isOver) {
        await reader.cancel().catch(() => {}); // nobody reads it any more
      }
    }
  } else if (isBlob(source)) {
    for (let at = 0; at < source.size; at += SLICE) {
      yield new Uint8Array(await source.slice(at, at + SLICE).arrayBuffer());
    }
  } else {
    yield bytesOf(source);
  }
}

function isStream(source: unknown): source is ByteStream {
  return typeof source === "object" && source !== null && "getReader" in source && typeof source.getReader === "function";
}

/** Also one of another realm. */
function isBlob(source: unknown): source is BlobSource {
  return typeof source === "object" && source !== null && "slice" in source && "size" in source && "arrayBuffer" in source;
}

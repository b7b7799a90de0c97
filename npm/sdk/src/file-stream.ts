/**
 * Files of a session as Web streams, of any size in bounded memory.
 *
 * @module
 */

import type { NativeSession } from "./binding.js";
import { checkObject, checkString, describe } from "./check.js";
import type { FileChunk, FileReader, FileWriter, WriteMode } from "./file-parts.js";
import { type FileParts, loadFiles } from "./load-files.js";
import { checkedCount } from "./run-options.js";
import { checkedSignal, type StopSignal } from "./stop-signal.js";

declare global {
  // It is there already where the program's own types have it; the two declarations then are one.
  interface WritableStream<W = any> {}
}

/** Options of {@link FileSystem.readStream}. */
export interface ReadStreamOptions {
  /** First byte. Default 0. */
  start?: number | undefined;
  /** Behind the last byte, as in `Blob.slice`. Default: the end of the file. */
  end?: number | undefined;
  /** Ends the stream with an error when it is aborted. */
  signal?: StopSignal | null | undefined;
}

/** Options of {@link FileSystem.folderStream}. */
export interface FolderStreamOptions {
  /** Ends the stream with an error when it is aborted. */
  signal?: StopSignal | null | undefined;
}

/** Options of {@link FileSystem.writeStream}. */
export interface WriteStreamOptions {
  /** What becomes of a file that is there. Default `overwrite`. */
  mode?: WriteMode | undefined;
  /** Ends the stream with an error when it is aborted. */
  signal?: StopSignal | null | undefined;
}

/**
 * @internal
 * @throws TypeError when an argument has the wrong type.
 */
export function readStream(native: NativeSession, path: string, options: ReadStreamOptions | null | undefined): ReadableStream<Uint8Array> {
  const given = options ?? {};
  checkObject("options", given);
  const start = checkedCount("start", given.start, "bytes") ?? 0;
  const end = checkedCount("end", given.end, "bytes") ?? Number.MAX_SAFE_INTEGER;
  const file = checkString("path", path);
  const signal = checkedSignal(given.signal);
  return streamOf(({ FileReader }) => new FileReader(native, file, start, end, signal));
}

/**
 * @internal
 * @throws TypeError when an argument has the wrong type.
 */
export function folderStream(native: NativeSession, path: string, options: FolderStreamOptions | null | undefined): ReadableStream<Uint8Array> {
  const given = options ?? {};
  checkObject("options", given);
  const folder = checkString("path", path);
  const signal = checkedSignal(given.signal);
  return streamOf(({ FolderReader }) => new FolderReader(native, folder, signal));
}

/** What a stream reads from. */
type Reader = Pick<FileReader, "next" | "stop">;

function streamOf(open: (parts: FileParts) => Reader): ReadableStream<Uint8Array> {
  let reader: Reader | undefined;
  return new ReadableStream<Uint8Array>(
    {
      async start() {
        reader = open(await loadFiles());
      },
      async pull(controller) {
        const bytes = (await reader?.next()) ?? null;
        if (bytes === null) {
          controller.close();
        } else {
          controller.enqueue(bytes);
        }
      },
      cancel: () => reader?.stop(),
    },
    { highWaterMark: 0 }, // the reader itself is one part ahead
  );
}

/**
 * @internal
 * @throws TypeError when an argument has the wrong type.
 */
export function writeStream(native: NativeSession, path: string, options: WriteStreamOptions | null | undefined): WritableStream<FileChunk> {
  const given = options ?? {};
  checkObject("options", given);
  const { mode = "overwrite" } = given;
  if (!["overwrite", "append", "create_new"].includes(mode)) {
    throw new TypeError(`mode must be "overwrite", "append" or "create_new", not ${describe(mode)}`);
  }
  const file = checkString("path", path);
  const signal = checkedSignal(given.signal);
  let parts: FileParts;
  let writer: FileWriter;
  const orDiscard = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      void writer.discard().catch(() => {}); // the first error is the one to report
      throw error;
    }
  };
  return new WritableStream<FileChunk>({
    async start() {
      parts = await loadFiles();
      writer = new parts.FileWriter(native, file, mode, signal);
    },
    write: (chunk) => orDiscard(() => writer.write(parts.bytesOf(chunk))),
    close: () => orDiscard(async () => void (await writer.finish())),
    abort: () => writer.discard(),
  });
}

/**
 * Files of a session part by part: what streams, uploads and downloads are made of.
 *
 * @module
 */

import type { Answer, NativeCall, NativePart, NativeSession, Transferred } from "./binding.js";
import { call } from "./call.js";
import { describe } from "./check.js";
import { AGBError, throwIfFailed } from "./errors.js";
import { carriesBytes, carriesFolders } from "./extensions.js";
import { invoke } from "./invoke.js";
import { log } from "./log.js";
import { currentPlatform } from "./platform.js";
import { apiResult, noAnswer } from "./results.js";
import type { StopSignal } from "./stop-signal.js";

/** What becomes of a file that is there: it is replaced, the text goes behind what it has, or the call fails. */
export type WriteMode = "overwrite" | "append" | "create_new";

/** What a {@link FileSystem.writeStream} takes. Texts are written as UTF-8. */
export type FileChunk = string | ArrayBuffer | ArrayBufferView;

/** @internal What is known of a file after a part of it has gone through. */
export interface Part {
  readonly size: number;
  readonly etag: string;
  readonly isLast: boolean;
}

/**
 * Bytes that one call reads or writes: large enough that the cost of a call does not show beside them. Three parts are in
 * memory while a file is read, one in hand and two on their way, and some until the collector has found them.
 */
const PART = 4 << 20;

/** The same with the documented tools. */
const CHUNK = 51_200;

/** @internal A failed answer as the error that a stream ends with. */
export function failed(answer: Answer<unknown>): Error {
  try {
    throwIfFailed(apiResult(answer));
  } catch (error) {
    return error as Error;
  }
  return new AGBError("the service's answer has no data", "MALFORMED");
}

/** @internal What an answer holds; one without it throws as {@link failed} says. */
export function dataOf<T>(answer: Answer<T>): T {
  if (!answer.success || answer.data === null) {
    throw failed(answer);
  }
  return answer.data;
}

/** @internal Carries bytes one way: what `begin`, a transfer of the core, comes to. */
async function carry(
  begin: () => NativeCall<Transferred>,
  signal: StopSignal | null,
): Promise<{ readonly part: Part; readonly bytes: Uint8Array }> {
  const { meta, bytes } = dataOf(await call({ signal }, begin));
  return { part: JSON.parse(meta) as Part, bytes };
}

/**
 * @internal The bytes of a file, part by part; while one is used, the next one is on its way, and while one is waited for,
 * so that the line is never idle. Two are on their way at most.
 */
export class FileReader {
  readonly #native: NativeSession;
  readonly #path: string;
  readonly #signal: StopSignal | null;
  readonly #end: number;
  #at: number;
  #isOver: boolean;
  #ahead: Promise<{ readonly part: Part; readonly bytes: Uint8Array }> | null = null;
  #etag: string | null = null;
  /** Bytes of the file, once it has said so; nothing is asked for beyond them. */
  #size = 0;

  constructor(native: NativeSession, path: string, start: number, end: number, signal: StopSignal | null) {
    this.#native = native;
    this.#path = path;
    this.#at = start;
    this.#end = end;
    this.#isOver = start >= end;
    this.#signal = signal;
  }

  /** The next bytes; `null` at the end. */
  async next(): Promise<Uint8Array | null> {
    if (this.#isOver) {
      return null;
    }
    const fetched = this.#ahead ?? this.#fetch(this.#at);
    this.#ahead = null;
    const behind = this.#at + PART;
    const ahead = behind < Math.min(this.#size, this.#end) ? this.#fetch(behind) : null;
    const { part, bytes } = await fetched;
    this.#at += bytes.length;
    this.#size = part.size;
    this.#etag = part.etag === "" ? null : part.etag;
    this.#isOver ||= part.isLast || this.#at >= this.#end || bytes.length === 0;
    if (!this.#isOver) {
      this.#ahead = (this.#at === behind && ahead) || this.#fetch(this.#at);
    }
    return bytes.length === 0 ? null : bytes;
  }

  /** Nobody reads any more. */
  stop(): void {
    this.#isOver = true;
  }

  #fetch(at: number): Promise<{ readonly part: Part; readonly bytes: Uint8Array }> {
    const fetched = this.#ask(at);
    fetched.catch(() => {}); // whoever takes it hears of it
    return fetched;
  }

  async #ask(offset: number): Promise<{ readonly part: Part; readonly bytes: Uint8Array }> {
    const left = this.#end - offset;
    if (carriesBytes(this.#native)) {
      // As much as there is, where the file has said it: that much memory is filled.
      const there = this.#size > offset ? this.#size - offset : PART;
      const length = Math.min(left, there, PART);
      const json = JSON.stringify({ path: this.#path, offset, length, etag: this.#etag });
      return carry(() => this.#native.transfer("file.readPart", json, null, length), this.#signal);
    }
    const length = Math.min(left, CHUNK);
    const args = { path: this.#path, offset, length };
    const answer = await invoke<{ readonly content: string }>(this.#native, "file.readChunk", args, { signal: this.#signal });
    const bytes = currentPlatform().decodeBase64(dataOf(answer).content);
    // Nobody says the size: a chunk that is not full is the last one.
    return { part: { size: 0, etag: "", isLast: bytes.length < length }, bytes };
  }
}

interface Packed {
  readonly path: string;
  readonly leftOut: number;
}

/** @internal The bytes of a folder as a tar archive: the service packs it first, so that a lost connection can be repaired. */
export class FolderReader {
  readonly #native: NativeSession;
  readonly #path: string;
  readonly #signal: StopSignal | null;
  readonly #upload = uploadId();
  #reader: FileReader | null = null;

  constructor(native: NativeSession, path: string, signal: StopSignal | null) {
    this.#native = native;
    this.#path = path;
    this.#signal = signal;
  }

  /** The next bytes; `null` at the end. */
  async next(): Promise<Uint8Array | null> {
    try {
      this.#reader ??= await this.#pack();
      const bytes = await this.#reader.next();
      if (bytes === null) {
        this.stop();
      }
      return bytes;
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  /** Nobody reads any more: what was packed is removed. */
  stop(): void {
    this.#reader?.stop();
    const args = { path: this.#path, upload: this.#upload, archive: true };
    void invoke(this.#native, "file.discard", args).catch(() => {}); // it goes with its session
  }

  async #pack(): Promise<FileReader> {
    if (!carriesFolders(this.#native)) {
      throw failed(noAnswer("NOT_SUPPORTED", "the service does not pack folders: pack it by a command, and read the archive"));
    }
    const args = { path: this.#path, upload: this.#upload };
    const packed = dataOf(await invoke<Packed>(this.#native, "file.pack", args, { signal: this.#signal }));
    if (packed.leftOut > 0) {
      log("warn", `${packed.leftOut} sockets, pipes or devices of ${this.#path} are left out of its archive`);
    }
    return new FileReader(this.#native, packed.path, 0, Number.MAX_SAFE_INTEGER, this.#signal);
  }
}

/** @internal Writes a file, part by part; while one is on its way, the next one is filled. */
export class FileWriter {
  readonly #native: NativeSession;
  readonly #path: string;
  readonly #mode: WriteMode;
  readonly #signal: StopSignal | null;
  /** What every request says of an archive, whose files go into the folder. */
  readonly #archive: { archive?: true };
  readonly #upload = uploadId();
  /** Where the backend gathers a part by itself: what it has of the one that is filled. */
  #part: NativePart | null = null;
  /** Elsewhere two, so that one is filled while the other is on its way. */
  #buffers: [Uint8Array, Uint8Array] | null = null;
  #filled = 0;
  #sent = 0;
  #sending: Promise<Part> | null = null;

  constructor(native: NativeSession, path: string, mode: WriteMode, signal: StopSignal | null, isArchive = false) {
    this.#native = native;
    this.#path = path;
    this.#mode = mode;
    this.#signal = signal;
    this.#archive = isArchive ? { archive: true } : {};
  }

  /** Resolves as soon as there is room for more. */
  async write(bytes: Uint8Array): Promise<void> {
    const size = carriesBytes(this.#native) ? PART : CHUNK;
    for (let at = 0; at < bytes.length; ) {
      const taken = bytes.subarray(at, at + size - this.#filled);
      this.#take(taken, size);
      this.#filled += taken.length;
      at += taken.length;
      if (this.#filled === size) {
        await this.#send(false);
      }
    }
  }

  /** Writes what is left, and puts the file in its place. */
  async finish(): Promise<Part> {
    await this.#send(true);
    return this.#settle();
  }

  /** Gives it up: what was there stays, and what has arrived is removed. */
  async discard(): Promise<void> {
    await this.#sending?.catch(() => {});
    if (carriesBytes(this.#native)) {
      await invoke(this.#native, "file.discard", { path: this.#path, upload: this.#upload, ...this.#archive });
    }
  }

  #take(bytes: Uint8Array, size: number): void {
    if (size === PART && this.#native.part !== undefined) {
      this.#part ??= this.#native.part(size);
      this.#part.push(bytes);
    } else {
      this.#buffers ??= [new Uint8Array(size), new Uint8Array(size)];
      this.#buffers[0].set(bytes, this.#filled);
    }
  }

  async #settle(): Promise<Part> {
    const sending = this.#sending;
    this.#sending = null;
    return (await sending) ?? { size: this.#sent, etag: "", isLast: true };
  }

  async #send(complete: boolean): Promise<void> {
    await this.#settle();
    const bytes = this.#buffers?.[0].subarray(0, this.#filled) ?? new Uint8Array(0);
    if (!carriesBytes(this.#native)) {
      return this.#sendText(bytes, complete);
    }
    const args = { path: this.#path, upload: this.#upload, mode: this.#mode, offset: this.#sent, complete, ...this.#archive };
    const [name, json, gathered] = ["file.writePart", JSON.stringify(args), this.#part] as const;
    this.#sent += this.#filled;
    this.#filled = 0;
    this.#buffers?.reverse();
    this.#part = null;
    const begin = (): NativeCall<Transferred> => gathered?.send(name, json) ?? this.#native.transfer(name, json, bytes);
    this.#sending = carry(begin, this.#signal).then(({ part }) => part);
    this.#sending.catch(() => {}); // whoever settles it hears of it
  }

  /** By the documented tool, which takes texts only. What is cut of a character waits for the rest of it. */
  async #sendText(bytes: Uint8Array, complete: boolean): Promise<void> {
    const whole = complete ? bytes.length : wholeCharacters(bytes);
    let content: string;
    try {
      content = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, whole));
    } catch {
      const words = "the service writes texts only, and these bytes are not UTF-8: upload the file with session.file.upload";
      throw failed(noAnswer("NOT_SUPPORTED", words));
    }
    if (content !== "" || this.#sent === 0) {
      const mode = this.#sent === 0 ? this.#mode : "append";
      const answer = await invoke<null>(this.#native, "file.write", { path: this.#path, content, mode }, { signal: this.#signal });
      if (!answer.success) {
        throw failed(answer);
      }
    }
    this.#sent += whole;
    bytes.copyWithin(0, whole);
    this.#filled = bytes.length - whole;
  }
}

/** @internal The bytes of a chunk. */
export function bytesOf(chunk: FileChunk): Uint8Array {
  if (typeof chunk === "string") {
    return new TextEncoder().encode(chunk);
  }
  if (ArrayBuffer.isView(chunk)) {
    return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  }
  if (Object.prototype.toString.call(chunk) === "[object ArrayBuffer]") {
    return new Uint8Array(chunk);
  }
  throw new TypeError(`a chunk of a file must be a string or bytes, not ${describe(chunk)}`);
}

/** How many bytes end with a whole character. */
function wholeCharacters(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back += 1) {
    const byte = bytes[bytes.length - back]!;
    if ((byte & 0xc0) === 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return length > back ? bytes.length - back : bytes.length;
    }
    if ((byte & 0x80) === 0) {
      return bytes.length;
    }
  }
  return bytes.length;
}

/** Tells the uploads of one file from each other; it need not be secret. (Node 18 has no `crypto`.) */
function uploadId(): string {
  return Array.from({ length: 3 }, () => Math.random().toString(36).slice(2, 12)).join("-");
}

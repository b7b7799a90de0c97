/**
 * Changes of files, told by the service as they happen.
 *
 * @module
 */

import type { NativeSession } from "./binding.js";
import { checkObject, checkString, describe } from "./check.js";
import { failed } from "./file-stream.js";
import type { FileChangeEvent } from "./file-results.js";
import { invoke } from "./invoke.js";
import { noAnswer } from "./results.js";
import { checkedSignal, type StopSignal } from "./stop-signal.js";

/** Options of {@link FileSystem.watch}. */
export interface WatchOptions {
  /** Whether folders below are watched, too. Default `false`. */
  recursive?: boolean | undefined;
  /** Ends the watch when it is aborted. */
  signal?: StopSignal | null | undefined;
}

/** A watch of {@link FileSystem.watch}: events one by one, as they happen. */
export interface FileWatch extends AsyncIterableIterator<FileChangeEvent> {
  /** Resolves when the watch has begun: everything that happens from then on is told. Rejects where it cannot begin. */
  readonly ready: Promise<void>;
  /** Ends the watch. */
  return(): Promise<IteratorResult<FileChangeEvent>>;
}

/** What one question is answered with. */
interface News {
  readonly watch: string;
  readonly after: number;
  readonly events: FileChangeEvent[];
  readonly ended: string | null;
}

/** The name in a session's extensions under which the service tells of changes. */
const WATCH = "fileWatch";

/** @internal Whether a session's service tells of changes. */
export const tellsChanges = (native: NativeSession): boolean => native.extensions.includes(WATCH);

/** @internal The news of a path, batch by batch. The core decides how to go on after a cut. */
export class Changes {
  readonly #native: NativeSession;
  readonly #args: { readonly path: string; readonly recursive: boolean };
  readonly #signal: StopSignal | null;
  #watch = "";
  #after = 0;
  #hasEnded = false;
  /** Why nothing comes any more, once it does not. */
  why: string | null = null;

  constructor(native: NativeSession, path: string, recursive: boolean, signal: StopSignal | null) {
    this.#native = native;
    this.#args = { path, recursive };
    this.#signal = signal;
  }

  async open(): Promise<void> {
    const answer = await invoke<string>(this.#native, "file.watchOpen", this.#args, { signal: this.#signal });
    if (!answer.success || answer.data === null) {
      throw failed(answer);
    }
    this.#watch = answer.data;
    if (this.#hasEnded) {
      this.#close();
    }
  }

  /** The next changes; `null` when the watch is over. */
  async next(): Promise<FileChangeEvent[] | null> {
    while (!this.#hasEnded) {
      if (this.#signal?.aborted) {
        this.end();
        return null;
      }
      const args = { ...this.#args, watch: this.#watch, after: this.#after };
      const answer = await invoke<News>(this.#native, "file.watchNext", args, { signal: this.#signal });
      if (this.#hasEnded || this.#signal?.aborted) {
        this.end();
        return null;
      }
      if (!answer.success || answer.data === null) {
        this.end();
        throw failed(answer);
      }
      const { watch, after, events, ended } = answer.data;
      [this.#watch, this.#after] = [watch, after];
      if (ended !== null) {
        [this.#hasEnded, this.why] = [true, ended];
      }
      if (events.length > 0) {
        return events;
      }
    }
    return null;
  }

  end(): void {
    if (!this.#hasEnded) {
      this.#hasEnded = true;
      this.#close();
    }
  }

  #close(): void {
    if (this.#watch !== "") {
      void invoke(this.#native, "file.watchClose", { ...this.#args, watch: this.#watch }).catch(() => {});
    }
  }
}

/**
 * @internal
 * @throws TypeError when an argument has the wrong type.
 */
export function watchFiles(native: NativeSession, path: string, options: WatchOptions | null | undefined): FileWatch {
  const given = options ?? {};
  checkObject("options", given);
  const { recursive = false } = given;
  if (typeof recursive !== "boolean") {
    throw new TypeError(`recursive must be true or false, not ${describe(recursive)}`);
  }
  const changes = new Changes(native, checkString("path", path), recursive, checkedSignal(given.signal));
  const ready = tellsChanges(native)
    ? changes.open()
    : Promise.reject(failed(noAnswer("NOT_SUPPORTED", "the service does not tell of changes: use session.file.watchDirectory, which looks again and again")));
  ready.catch(() => {}); // the first event's reader hears of it
  const waiting: FileChangeEvent[] = [];
  let turn: Promise<unknown> = Promise.resolve();
  const over: IteratorResult<FileChangeEvent> = { done: true, value: undefined };
  const next = async (): Promise<IteratorResult<FileChangeEvent>> => {
    if (waiting.length === 0) {
      await ready;
      waiting.push(...((await changes.next()) ?? []));
    }
    const value = waiting.shift();
    return value === undefined ? over : { done: false, value };
  };
  return {
    ready,
    // One question after the other, however many are asked.
    next() {
      const result = turn.then(next, next);
      turn = result.catch(() => {});
      return result;
    },
    async return() {
      changes.end();
      waiting.length = 0;
      return over;
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

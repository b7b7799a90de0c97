/**
 * Changes of files, as the service tells them: batch by batch, or one by one.
 *
 * @module
 */

import type { NativeSession } from "./binding.js";
import { AGBError } from "./errors.js";
import { tellsChanges } from "./extensions.js";
import { dataOf, failed } from "./file-parts.js";
import type { FileChangeEvent, FileWatch } from "./file-results.js";
import { invoke } from "./invoke.js";
import type { StopSignal } from "./stop-signal.js";

/** What one question is answered with. */
interface News {
  readonly watch: string;
  readonly after: number;
  readonly events: FileChangeEvent[];
  readonly ended: string | null;
}

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
    this.#watch = dataOf(await invoke<string>(this.#native, "file.watchOpen", this.#args, { signal: this.#signal }));
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

/** @internal Opens a watch: changes one by one. */
export function openWatch(native: NativeSession, path: string, recursive: boolean, signal: StopSignal | null): FileWatch {
  const changes = new Changes(native, path, recursive, signal);
  const ready = tellsChanges(native)
    ? changes.open()
    : Promise.reject(new AGBError("the service does not tell of changes: use session.file.watchDirectory, which looks again and again", "NOT_SUPPORTED"));
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

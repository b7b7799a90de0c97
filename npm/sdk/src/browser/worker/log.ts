import type { Batch } from "../../binding.js";

/** The kinds of a mark; see {@link Batch}. */
const EVENT = 2;
/** Per stream, in UTF-16 units: as in every other client. */
const DEFAULT_LIMIT = 16 << 20;
/** Behind so many chunks adjacent ones of a stream are joined: each costs its mark, and they may be of any size. */
const CHUNKS = 1 << 20;

/** What a run has printed, kept on the page for its result: as `log.rs` does it where the run is. */
export class RunLog {
  truncated = false;
  readonly #limit: number;
  readonly #texts: string[] = [];
  readonly #marks: number[] = [];
  /** By stream. */
  readonly #kept: [number, number] = [0, 0];

  constructor(limit: number | null) {
    this.#limit = limit ?? DEFAULT_LIMIT;
  }

  /** Keeps a batch as far as the limit allows, and no hole: behind the first cut of a stream nothing more of it. */
  keep({ text, marks }: Batch): void {
    if (text.length === 0) {
      return;
    }
    if (!this.truncated && Math.max(...this.#kept) + text.length <= this.#limit) {
      this.#texts.push(text);
      for (const mark of marks) {
        this.#mark(mark);
      }
      return;
    }
    let start = 0;
    for (const mark of marks) {
      const kind = mark & 3;
      const length = mark >>> 2;
      if (kind !== EVENT) {
        const room = Math.max(0, Math.min(length, this.#limit - this.#kept[kind as 0 | 1]));
        if (room < length) {
          this.truncated = true;
        }
        this.#texts.push(text.substring(start, start + room));
        this.#mark((room << 2) | kind);
        if (room < length) {
          this.#kept[kind as 0 | 1] = Infinity;
        }
        start += length;
      }
    }
  }

  /** For `RunResult.logs`. */
  parts(): { readonly text: string; readonly marks: Uint32Array } {
    return { text: this.#texts.join(""), marks: Uint32Array.from(this.#marks) };
  }

  #mark(mark: number): void {
    const kind = mark & 3;
    const length = mark >>> 2;
    if (kind === EVENT || length === 0) {
      return;
    }
    this.#kept[kind as 0 | 1] += length;
    const last = this.#marks.at(-1);
    if (this.#marks.length >= CHUNKS && last !== undefined && (last & 3) === kind) {
      this.#marks[this.#marks.length - 1] = last + (length << 2);
    } else {
      this.#marks.push(mark);
    }
  }
}

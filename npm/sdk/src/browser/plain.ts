import type { Batch, NativeRun, NativeRunEvent, RunResult } from "../binding.js";
import { cancelledRun } from "./run.js";

/** Whether an answer brought the error. Why there was no answer only the end says, as in every other client. */
function isOfTheProgram({ status, error }: RunResult): boolean {
  return status === "timeout" || status === "killed" || (status === "failed" && (error?.code ?? null) === null);
}

/** The low bits of a mark of an event; see {@link Batch}. */
const EVENT = 2;

/**
 * The last transport: a run of which nothing was sent and that no stream gets through for, made by one plain call. First
 * comes the word of that, then everything at once. Cancelling ends it here; the call itself cannot be called back.
 */
export class PlainRun implements NativeRun {
  readonly id = "";
  readonly #stamps: boolean;
  #word: NativeRunEvent | null;
  #result: RunResult | null = null;
  #hasEnded = false;
  readonly #wake: () => void;

  constructor(call: Promise<RunResult>, why: string, stamps: boolean, wake: () => void) {
    this.#stamps = stamps;
    this.#wake = wake;
    this.#word = { type: "trouble", code: "NO_STREAMING", message: why };
    void call.then((result) => this.#settle(result)); // it never rejects
  }

  take(): Batch | null {
    const word = this.#word;
    if (word !== null) {
      this.#word = null;
      return this.#batch("", [], [word], false);
    }
    if (this.#result === null || this.#hasEnded) {
      return null;
    }
    this.#hasEnded = true;
    const { results, error } = this.#result;
    const { text, marks } = this.#result.logs();
    const events: NativeRunEvent[] = results.map((result) => ({ type: "result", result }));
    if (error !== null && isOfTheProgram(this.#result)) {
      events.push({ type: "error", error });
    }
    return this.#batch(text, marks, events, true);
  }

  cancel(): void {
    this.#settle(cancelledRun("cancelled while a plain call was made; the program may run on"));
  }

  write(): void {}
  endInput(): void {}
  signal(): void {}
  resize(): void {}
  leave(): void {}

  result(): RunResult | null {
    return this.#result;
  }

  #settle(result: RunResult): void {
    if (this.#result === null) {
      this.#result = result;
      this.#wake();
    }
  }

  /** Events are counted from 1, and the word of ours comes before them. */
  #batch(text: string, marks: Iterable<number>, events: NativeRunEvent[], ended: boolean): Batch {
    const all = Uint32Array.from([...marks, ...events.map(() => EVENT)]);
    const stamps = Float64Array.from([...all].flatMap((_, at) => [ended ? at + 1 : 0, 0, 0]));
    return { text, marks: all, stamps: this.#stamps ? stamps : null, events, ended };
  }
}

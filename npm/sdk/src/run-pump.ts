import type { Batch, NativeRun } from "./binding.js";
import { brokenRun, type EnhancedCodeExecutionResult, toResult } from "./execution-result.js";
import { currentPlatform } from "./platform.js";
import { executionErrorOf, troubleOf } from "./run-events.js";
import type { OutputCallback, ResultCallback, RunCallbacks } from "./run-options.js";
import { type CallbackName, RunReport } from "./run-report.js";
import type { StopSignal } from "./stop-signal.js";
import { sharedTurn } from "./turn.js";

/** The two low bits of a mark; see {@link Batch}. */
const STDOUT = 0;
const EVENT = 2;

/** From this many UTF-16 units on a batch is worth a turn of the event loop of its own. */
export const LARGE_BATCH = 16 * 1024;
/** Most callbacks between two looks at the clock. A look costs about as much as handing over a chunk. */
const MAX_STRIDE = 32;
/** How much callbacks may take between two looks at the clock, milliseconds. */
const STRIDE_MS = 0.5;

/**
 * Where a pump stands. Only an `idle` one heeds a wake: a `busy` one is in the loop and will see what came, a `queued`
 * one waits for its turn of the event loop, an `awaiting` one for a callback's promise.
 */
type Phase = "starting" | "idle" | "busy" | "queued" | "awaiting" | "ended";

/**
 * Carries one streamed run's output from the backend to the callbacks.
 *
 * This is the hot path: a chunk costs a `substring` and the call, nothing is awaited unless a callback returned a
 * promise, and nothing is collected here. Backpressure is by not taking: while a promise is pending or other work has
 * its turn, the backend holds what it has, and the program's writes in the end.
 */
export class RunPump {
  /** Resolves when the run has ended and every callback is through. Never rejects. */
  readonly promise: Promise<EnhancedCodeExecutionResult>;
  readonly #resume: () => void;
  readonly #report: RunReport;
  #resolve!: (result: EnhancedCodeExecutionResult | Promise<EnhancedCodeExecutionResult>) => void;
  #onStdout: OutputCallback | null;
  #onStderr: OutputCallback | null;
  readonly #onResult: ResultCallback | null;
  #phase: Phase = "starting";
  #run: NativeRun | null = null;
  /** A callback threw: what still comes is taken and dropped. */
  #discarding = false;

  /** The batch in delivery and how far it has come, across turns and promises. */
  #batch: Batch | null = null;
  #mark = 0;
  #offset = 0;
  #event = 0;

  /** Callbacks until the next look at the clock, so many that they take about {@link STRIDE_MS}. */
  #stride = 1;
  #lastLook = 0;

  constructor(begin: (wake: () => void) => NativeRun, callbacks: RunCallbacks, signal: StopSignal | null) {
    this.promise = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#onStdout = callbacks.onStdout;
    this.#onStderr = callbacks.onStderr;
    this.#onResult = callbacks.onResult;
    this.#report = new RunReport(callbacks.onError);
    this.#resume = currentPlatform().bindContext(() => this.#enter());
    try {
      this.#run = begin(() => this.#wake());
    } catch (fault) {
      this.#break(fault);
      return;
    }
    this.#obey(signal);
    this.#phase = "idle";
    this.#wake(); // for one that came while begin() was still running
  }

  #obey(signal: StopSignal | null): void {
    if (signal === null) {
      return;
    }
    const stop = (): void => this.#run?.cancel();
    signal.addEventListener("abort", stop);
    void this.promise.then(() => signal.removeEventListener("abort", stop));
  }

  #wake(): void {
    if (this.#phase === "idle") {
      this.#resume();
    }
  }

  #enter(): void {
    if (sharedTurn.enter()) {
      this.#drain();
    } else {
      this.#queue();
    }
  }

  #queue(): void {
    this.#phase = "queued";
    sharedTurn.queue(this.#resume);
  }

  /** Delivers until nothing is left, the turn is over, or a callback returned a promise. */
  #drain(): void {
    this.#phase = "busy";
    this.#lastLook = performance.now();
    try {
      for (;;) {
        const batch = this.#batch ?? this.#take();
        if (batch === null) {
          this.#phase = "idle";
          sharedTurn.leave();
          return;
        }
        if (!this.#discarding && !this.#deliver(batch)) {
          sharedTurn.leave();
          return;
        }
        this.#batch = null;
        if (batch.ended) {
          this.#end();
          return;
        }
        this.#lastLook = performance.now();
        if (sharedTurn.isOverAfterBatch(this.#lastLook, batch.text.length >= LARGE_BATCH)) {
          this.#queue();
          return;
        }
      }
    } catch (fault) {
      this.#break(fault);
    }
  }

  #take(): Batch | null {
    this.#batch = this.#run?.take() ?? null;
    this.#mark = 0;
    this.#offset = 0;
    this.#event = 0;
    return this.#batch;
  }

  /**
   * Hands the rest of the batch to the callbacks. Returns whether it came to the batch's end; if not, this pump is
   * queued or awaiting.
   */
  #deliver(batch: Batch): boolean {
    const { text, marks } = batch;
    const onStdout = this.#onStdout;
    const onStderr = this.#onStderr;
    const count = marks.length;
    let index = this.#mark;
    let offset = this.#offset;
    let untilLook = this.#stride;
    let kind = STDOUT;
    try {
      while (index < count) {
        const mark = marks[index++] as number;
        kind = mark & 3;
        let returned: unknown;
        if (kind === EVENT) {
          returned = this.#deliverEvent(batch);
        } else {
          const start = offset;
          offset += mark >>> 2;
          const callback = kind === STDOUT ? onStdout : onStderr;
          if (callback === null) {
            continue;
          }
          returned = callback(text.substring(start, offset));
        }
        if (returned !== undefined && isThenable(returned)) {
          this.#mark = index;
          this.#offset = offset;
          this.#await(returned, this.#callbackOf(kind, batch));
          return false;
        }
        if (--untilLook === 0) {
          if (this.#look()) {
            this.#mark = index;
            this.#offset = offset;
            this.#queue();
            return false;
          }
          untilLook = this.#stride;
        }
      }
    } catch (thrown) {
      this.#fail(this.#callbackOf(kind, batch), thrown);
      return false;
    }
    return true;
  }

  /** Looks at the clock. Returns whether the turn is over. */
  #look(): boolean {
    const now = performance.now();
    const each = (now - this.#lastLook) / this.#stride;
    this.#lastLook = now;
    this.#stride = Math.max(1, Math.min(MAX_STRIDE, this.#stride * 2, Math.floor(STRIDE_MS / each)));
    return sharedTurn.isOverAt(now);
  }

  #deliverEvent(batch: Batch): unknown {
    const event = batch.events?.[this.#event++];
    switch (event?.type) {
      case "result":
        return this.#onResult?.(toResult(event.result));
      case "error":
        return this.#report.tellError(executionErrorOf(event.error));
      case "trouble":
        return this.#report.tellError(troubleOf(event));
      default:
        return undefined; // that it was found again is in the result; who is to be asked streams by itself
    }
  }

  /** Whose the mark is that was just delivered. */
  #callbackOf(kind: number, batch: Batch): CallbackName {
    if (kind !== EVENT) {
      return kind === STDOUT ? "onStdout" : "onStderr";
    }
    return batch.events?.[this.#event - 1]?.type === "result" ? "onResult" : "onError";
  }

  /** Goes on when the callback's promise has settled. */
  #await(returned: PromiseLike<unknown>, callback: CallbackName): void {
    this.#phase = "awaiting";
    Promise.resolve(returned).then(this.#resume, (thrown: unknown) => this.#fail(callback, thrown));
  }

  /** A callback threw: stops the run, tells `onError`, and then waits for the end without calling anyone. */
  #fail(callback: CallbackName, thrown: unknown): void {
    this.#phase = "awaiting";
    this.#discarding = true;
    this.#onStdout = null;
    this.#onStderr = null;
    try {
      this.#run?.cancel();
    } catch (fault) {
      this.#break(fault);
      return;
    }
    void this.#report.callbackThrew(callback, thrown).then(this.#resume);
  }

  #end(): void {
    this.#phase = "ended";
    sharedTurn.leave();
    const result = this.#run?.result() ?? brokenRun(new Error("the run ended without a result"));
    this.#run = null;
    this.#resolve(this.#report.finish(result));
  }

  /** The backend itself threw: nothing more can be expected of it. */
  #break(fault: unknown): void {
    this.#phase = "ended";
    this.#run = null;
    this.#resolve(this.#report.finish(brokenRun(fault)));
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

import type { Batch, NativeRun, RunResult } from "./binding.js";
import { brokenRun, type EnhancedCodeExecutionResult, toResult } from "./execution-result.js";
import { currentPlatform } from "./platform.js";
import { eventsOf, executionErrorOf, type RunEvent, stampOf, troubleOf } from "./run-events.js";
import type { OutputCallback, ResultCallback, RunCallbacks } from "./run-options.js";
import { type CallbackName, RunReport } from "./run-report.js";
import type { StopSignal } from "./stop-signal.js";
import { BUDGET_MS, sharedTurn } from "./turn.js";

/** The two low bits of a mark; see {@link Batch}. */
const STDOUT = 0;
const EVENT = 2;

/** From this many UTF-16 units on a batch is worth a turn of the event loop of its own. */
const LARGE_BATCH = 16 * 1024;
/** Most callbacks between two looks at the clock. A look costs about as much as handing over a chunk. */
const MAX_STRIDE = 32;
/** How much callbacks may take between two looks at the clock, milliseconds. */
const STRIDE_MS = 0.5;

/**
 * Where a delivery stands. Only an `idle` one heeds a wake: a `busy` one is in the loop and will see what came, a
 * `queued` one waits for its turn of the event loop, an `awaiting` one for a callback's promise.
 */
type Phase = "starting" | "idle" | "busy" | "queued" | "awaiting" | "ended";

/** Where a run's events go. */
export interface Reader {
  /** Somebody waits for what it has not. */
  readonly wants: boolean;
  /** It takes more. */
  readonly hasRoom: boolean;
  /** Takes events, also without room when the run was cancelled. After `end` nothing comes. */
  take(events: readonly RunEvent[]): void;
}

/**
 * Carries one run's output from the backend to its callbacks and its readers, a batch at a time.
 *
 * Callbacks are the hot path: a chunk costs a `substring` and the call, nothing is awaited unless a callback returned a
 * promise, and nothing is collected here. Backpressure is by not taking: while a promise is pending, a reader has no
 * room, or other work has its turn, the backend holds what it has, and the program's writes in the end.
 */
export class RunDelivery {
  /** Resolves when the run has ended and every callback is through. Never rejects. */
  readonly promise: Promise<EnhancedCodeExecutionResult>;
  readonly #readers = new Set<Reader>();
  readonly #resume: () => void;
  readonly #report: RunReport;
  #resolve!: (result: EnhancedCodeExecutionResult) => void;
  #onStdout: OutputCallback | null;
  #onStderr: OutputCallback | null;
  readonly #onResult: ResultCallback | null;
  #phase: Phase = "starting";
  #run: NativeRun | null = null;
  #id = "";
  /** A wake came in the loop: what the last `take` has not seen is there. */
  #woken = false;
  /** Events go by, read or not. */
  #flows: boolean;
  /** It is left, not stopped, when the last reader goes. */
  readonly #goesOn: boolean;
  /** Some have gone by unread. */
  #drained = false;
  /** A callback threw: none is called any more. */
  #silent = false;
  /** When events were first handed on in this turn of the event loop. */
  #turnBegan: number | null = null;

  /** The batch in delivery and how far it has come, across turns and promises. */
  #batch: Batch | null = null;
  #mark = 0;
  #offset = 0;
  #event = 0;

  /** Callbacks until the next look at the clock, so many that they take about {@link STRIDE_MS}. */
  #stride = 1;
  #lastLook = 0;

  /**
   * @param flows Whether events go by from the start: it has callbacks and no readers.
   * @param goesOn Whether it is left, not stopped, when its last reader goes.
   */
  constructor(
    begin: (wake: () => void) => NativeRun,
    callbacks: RunCallbacks,
    signal: StopSignal | null,
    { flows, goesOn = false }: { readonly flows: boolean; readonly goesOn?: boolean },
  ) {
    this.promise = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#onStdout = callbacks.onStdout;
    this.#onStderr = callbacks.onStderr;
    this.#onResult = callbacks.onResult;
    this.#report = new RunReport(callbacks.onError);
    this.#flows = flows;
    this.#goesOn = goesOn;
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

  get id(): string {
    if (this.#id === "") {
      this.#id = this.#run?.id ?? "";
    }
    return this.#id;
  }

  get hasEnded(): boolean {
    return this.#phase === "ended";
  }

  /**
   * A reader comes. After the end there is nothing for it, which is right when others have read all.
   *
   * @throws TypeError when events have gone by unread: half a run is worth nothing to a reader, and none looks like a
   * program that printed nothing.
   */
  join(reader: Reader): void {
    if (this.#drained) {
      throw new TypeError("the run's events have gone by, since its result was awaited first: begin to read before that");
    }
    if (!this.hasEnded) {
      this.#readers.add(reader);
    }
  }

  /** A reader goes. When the last one goes before the end, nobody wants the run. */
  leave(reader: Reader): void {
    if (this.#readers.delete(reader) && this.#readers.size === 0 && !this.hasEnded) {
      this.#goesOn ? this.leaveRun() : this.cancel();
    }
  }

  drainUnlessRead(): void {
    if (this.#readers.size === 0) {
      this.#flows = true;
      this.pump();
    }
  }

  /** Says something to the run, if it goes on. */
  native(order: (run: NativeRun) => void): void {
    if (this.#run !== null) {
      order(this.#run);
    }
  }

  /** Follows the run no longer, and lets it go on. */
  leaveRun(): void {
    this.#flows = true; // so that it ends here, whoever reads
    this.native((run) => run.leave());
    this.pump();
  }

  cancel(): void {
    this.#flows = true; // so that it ends, whoever reads
    try {
      this.#run?.cancel();
    } catch (fault) {
      this.#break(fault);
    }
    this.pump();
  }

  /** Takes as much as is wanted. */
  pump(): void {
    if (this.#phase === "idle" && this.#mayTake()) {
      this.#enter();
    }
  }

  #obey(signal: StopSignal | null): void {
    if (signal === null) {
      return;
    }
    const stop = (): void => this.cancel();
    signal.addEventListener("abort", stop);
    void this.promise.then(() => signal.removeEventListener("abort", stop));
  }

  #wake(): void {
    this.#woken = true;
    if (this.#phase === "idle" && this.#mayTake()) {
      this.#resume();
    }
  }

  #enter(): void {
    if (this.#phase === "ended") {
      return; // the backend broke while this waited
    }
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

  /** Delivers until nothing is left or wanted, the turn is over, or a callback returned a promise. */
  #drain(): void {
    this.#phase = "busy";
    this.#lastLook = performance.now();
    try {
      while (this.#batch !== null || this.#mayTake()) {
        if (!this.#flows && this.#isTurnOver()) {
          this.#queue();
          return;
        }
        const batch = this.#batch ?? this.#take();
        if (batch === null) {
          break;
        }
        if (!this.#deliver(batch)) {
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
      this.#phase = "idle";
      sharedTurn.leave();
    } catch (fault) {
      this.#break(fault);
    }
  }

  /** The next batch, which the readers have then; the callbacks are yet to be called. */
  #take(): Batch | null {
    let batch: Batch | null;
    do {
      this.#woken = false;
      batch = this.#run?.take() ?? null;
    } while (batch === null && this.#woken);
    this.#batch = batch;
    this.#mark = 0;
    this.#offset = 0;
    this.#event = 0;
    if (batch !== null) {
      this.#hand(batch);
    }
    return batch;
  }

  #hand(batch: Batch): void {
    if (this.#readers.size === 0) {
      this.#drained = true;
      return;
    }
    const events = eventsOf(batch);
    for (const reader of this.#readers) {
      reader.take(events);
    }
  }

  #mayTake(): boolean {
    if (this.#flows) {
      return true;
    }
    const readers = [...this.#readers];
    return readers.some(({ wants }) => wants) && readers.every(({ hasRoom }) => hasRoom);
  }

  /**
   * A loop that awaits one event after the other never leaves the microtasks while there are more, and whatever time it
   * takes between two looks like a pause. So a turn is over by the clock, until the event loop has been seen to go on.
   */
  #isTurnOver(): boolean {
    const now = performance.now();
    if (this.#turnBegan === null) {
      this.#turnBegan = now;
      currentPlatform().defer(() => {
        this.#turnBegan = null;
      });
    }
    return now - this.#turnBegan > BUDGET_MS;
  }

  /**
   * Hands the rest of the batch to the callbacks. Returns whether it came to the batch's end; if not, this pump is
   * queued or awaiting.
   */
  #deliver(batch: Batch): boolean {
    const onStdout = this.#onStdout;
    const onStderr = this.#onStderr;
    if (this.#silent || (onStdout === null && onStderr === null && batch.events === null)) {
      return true;
    }
    const { text, marks } = batch;
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
    this.#silent = true;
    this.cancel();
    void this.#report.callbackThrew(callback, thrown).then(this.#resume);
  }

  #end(): void {
    this.#phase = "ended";
    sharedTurn.leave();
    this.#finish(this.#run?.result() ?? brokenRun(new Error("the run ended without a result")));
  }

  /** The backend itself threw: nothing more can be expected of it. */
  #break(fault: unknown): void {
    if (this.#phase !== "ended") {
      this.#phase = "ended";
      this.#finish(brokenRun(fault));
    }
  }

  #finish(native: RunResult): void {
    this.#id = this.id; // stays known
    this.#run = null;
    this.#batch = null;
    void this.#report.finish(native).then((result) => {
      for (const reader of this.#readers) {
        reader.take([{ type: "end", result, ...stampOf(native.seq, native.time) }]);
      }
      this.#readers.clear();
      this.#resolve(result);
    });
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

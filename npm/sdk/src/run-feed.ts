import type { Batch, NativeRun } from "./binding.js";
import { brokenRun, type EnhancedCodeExecutionResult } from "./execution-result.js";
import { currentPlatform } from "./platform.js";
import { eventsOf, type RunEvent, stampOf } from "./run-events.js";
import type { RunCallbacks } from "./run-options.js";
import { LARGE_BATCH } from "./run-pump.js";
import { type CallbackName, RunReport } from "./run-report.js";
import { BUDGET_MS, sharedTurn } from "./turn.js";

/** A callback that is to be called, by its name. */
type Call = readonly [name: CallbackName, call: () => unknown];

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
 * Carries one run's events from the backend to its readers, a batch at a time: when one of them wants some and all have
 * room. What is not taken is held back by the backend, up to the program's own writes.
 */
export class RunFeed {
  /** Resolves when the run has ended and every callback is through. Never rejects. */
  readonly promise: Promise<EnhancedCodeExecutionResult>;
  readonly #readers = new Set<Reader>();
  readonly #callbacks: RunCallbacks;
  readonly #report: RunReport;
  readonly #resume: () => void;
  #resolve!: (result: EnhancedCodeExecutionResult) => void;
  #run: NativeRun | null = null;
  #id = "";
  #phase: "idle" | "queued" | "awaiting" | "ended" = "idle";
  /** Events go by, read or not. */
  #flows = false;
  /** Some have gone by unread. */
  #drained = false;
  /** A callback threw: none is called any more. */
  #silent = false;
  /** When events were first handed on in this turn of the event loop. */
  #turnBegan: number | null = null;

  constructor(begin: (wake: () => void) => NativeRun, callbacks: RunCallbacks) {
    this.promise = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#callbacks = callbacks;
    this.#report = new RunReport(callbacks.onError);
    this.#resume = currentPlatform().bindContext(() => {
      this.#phase = "idle";
      this.pump();
    });
    try {
      this.#run = begin(() => this.pump());
    } catch (fault) {
      this.#break(fault);
    }
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
      this.cancel();
    }
  }

  drainUnlessRead(): void {
    if (this.#readers.size === 0) {
      this.#flows = true;
      this.pump();
    }
  }

  write(text: string): void {
    this.#run?.write(text);
  }

  endInput(): void {
    this.#run?.endInput();
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

  /** Takes as much as readers want. */
  pump(): void {
    try {
      while (this.#phase === "idle" && this.#mayTake()) {
        if (!sharedTurn.enter() || this.#isTurnOver()) {
          this.#queue();
          return;
        }
        const batch = this.#run?.take() ?? null;
        if (batch === null) {
          sharedTurn.leave();
          return;
        }
        const told = this.#deliver(batch);
        if (batch.ended) {
          this.#phase = "ended";
          sharedTurn.leave();
          void this.#end(told);
        } else if (told !== null) {
          this.#phase = "awaiting";
          sharedTurn.leave();
          void told.then(this.#resume);
        } else if (sharedTurn.isOverAfterBatch(performance.now(), batch.text.length >= LARGE_BATCH)) {
          this.#queue();
        } else {
          sharedTurn.leave();
        }
      }
    } catch (fault) {
      this.#break(fault);
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

  #queue(): void {
    if (this.#phase === "idle") {
      this.#phase = "queued";
      sharedTurn.queue(this.#resume);
    }
  }

  /** Hands a batch to all. Gives a promise where callbacks have to be waited for. */
  #deliver(batch: Batch): Promise<void> | null {
    const { onResult, onError } = this.#callbacks;
    const tells = !this.#silent && batch.events !== null && (onResult !== null || onError !== null);
    if (this.#readers.size === 0) {
      this.#drained = true;
      if (!tells) {
        return null;
      }
    }
    const events = eventsOf(batch);
    for (const reader of this.#readers) {
      reader.take(events);
    }
    return tells ? this.#tell(events) : null;
  }

  /** Calls the callbacks, one after the other. `null`: there was none to call. */
  #tell(events: readonly RunEvent[]): Promise<void> | null {
    const { onResult } = this.#callbacks;
    const calls: Call[] = [];
    for (const event of events) {
      if (event.type === "result" && onResult !== null) {
        calls.push(["onResult", () => onResult(event.result)]);
      } else if (event.type === "error") {
        calls.push(["onError", () => this.#report.tellError(event.error)]);
      }
    }
    return calls.length === 0 ? null : this.#call(calls);
  }

  async #call(calls: readonly Call[]): Promise<void> {
    for (const [name, call] of calls) {
      try {
        await call();
      } catch (thrown) {
        this.#silent = true;
        this.cancel();
        await this.#report.callbackThrew(name, thrown);
        return;
      }
    }
  }

  async #end(told: Promise<void> | null): Promise<void> {
    await told; // what the last callbacks threw is part of the result
    const native = this.#run?.result() ?? brokenRun(new Error("the run ended without a result"));
    this.#finish(await this.#report.finish(native), stampOf(native.seq, native.time));
  }

  #finish(result: EnhancedCodeExecutionResult, stamp: { readonly seq: number; readonly time?: number }): void {
    this.#id = this.id; // stays known
    this.#run = null;
    for (const reader of this.#readers) {
      reader.take([{ type: "end", result, ...stamp }]);
    }
    this.#readers.clear();
    this.#resolve(result);
  }

  /** The backend itself threw: nothing more can be expected of it. */
  #break(fault: unknown): void {
    if (this.#phase === "ended") {
      return;
    }
    this.#phase = "ended";
    void this.#report.finish(brokenRun(fault)).then((result) => this.#finish(result, { seq: 0 }));
  }
}

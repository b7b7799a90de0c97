import type { NativeRun as WasmRun, NativeSession as StreamingSession } from "#wasm";
import type { AttachRequest, Batch, CommandRequest, NativeRun, RunRequest, RunResult } from "../binding.js";
import { brokenRun } from "../execution-result.js";

/** Starts a run, or finds one. */
export interface Begin {
  (session: StreamingSession, wake: () => void): WasmRun | RunResult;
  /** The run is going on: to cancel it is to say so. */
  readonly finds?: boolean;
}

/** @internal */
export function starts({ code, language, timeoutS, logLimit, resultLimit, stamps, stdin }: RunRequest): Begin {
  return (session, wake) => session.stream(code, language, timeoutS, logLimit, resultLimit, stamps, stdin, wake);
}

/** @internal */
export function finds({ id, afterSeq, logLimit, resultLimit, stamps }: AttachRequest, goesOn = false): Begin {
  const begin: Begin = (session, wake) => session.attachRun(id, afterSeq, logLimit, resultLimit, stamps, goesOn, wake);
  return Object.assign(begin, { finds: true });
}

/** @internal */
export function commands({ command, timeoutMs, cwd, envs, stdin, pty, detached, logLimit, stamps }: CommandRequest): Begin {
  const size = Uint16Array.from(pty ?? []);
  return (session, wake) => session.command(command, timeoutMs, cwd, envs.flat(), stdin, size, detached, logLimit, stamps, wake);
}

/** Makes a run by a plain call, since it cannot be streamed for the reason `why`. */
export type Fallback = (why: string, wake: () => void) => Promise<NativeRun>;

/** Whether a run may be given input, which a plain call cannot carry. */
export function takesInput(session: { readonly extensions: readonly string[] }, { stdin }: RunRequest): boolean {
  return stdin && session.extensions.includes("stdin");
}

/** What a run comes to that nobody watches. Never rejects. */
export async function resultOf(begin: (wake: () => void) => NativeRun): Promise<RunResult> {
  let wake = (): void => {};
  const run = begin(() => wake());
  for (let batch; !(batch = run.take())?.ended; ) {
    if (batch === null) {
      await new Promise<void>((resolve) => (wake = resolve));
    }
  }
  return run.result() ?? brokenRun("the run ended without a result");
}

/** A run of the WebAssembly, one that waits for it, or one that was never sent. */
export class BrowserRun implements NativeRun {
  #run: WasmRun | null = null;
  /** What a run came to that was never sent. */
  #refused: RunResult | null = null;
  #hasEnded = false;
  #isCancelled = false;
  /** What was said to the run before there was one. */
  #orders: Array<(run: WasmRun) => void> = [];
  readonly #wake: () => void;
  #fallback: Fallback | null;
  /** The run as a plain call. */
  #plain: NativeRun | null = null;

  constructor(
    session: StreamingSession | Promise<StreamingSession>,
    begin: Begin,
    wake: () => void,
    fallback: Fallback | null = null,
  ) {
    this.#wake = wake;
    this.#fallback = fallback;
    if (session instanceof Promise) {
      session.then((ready) => {
        this.#start(ready, begin);
        wake();
      }, this.#refuse);
    } else {
      this.#start(session, begin);
    }
  }

  get id(): string {
    return this.#run?.id ?? "";
  }

  take(): Batch | null {
    if (this.#plain !== null) {
      return this.#plain.take();
    }
    if (this.#refused === null || this.#hasEnded) {
      const batch = this.#run?.take() ?? null;
      const why = batch?.ended === true && batch.marks.length === 0 ? this.#run?.unsent : undefined;
      return why !== undefined && this.#callPlainly(why) ? null : batch;
    }
    this.#hasEnded = true;
    return { text: "", marks: new Uint32Array(0), stamps: null, events: null, ended: true };
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#order((run) => run.cancel());
    this.#plain?.cancel();
  }

  write(text: string): void {
    this.#order((run) => run.write(text));
  }

  endInput(): void {
    this.#order((run) => run.write(null));
  }

  signal(name: string): void {
    this.#order((run) => run.signal(name));
  }

  resize(cols: number, rows: number): void {
    this.#order((run) => run.resize(cols, rows));
  }

  leave(): void {
    this.#order((run) => run.leave());
  }

  result(): RunResult | null {
    return this.#refused ?? (this.#plain ?? this.#run)?.result() ?? null;
  }

  #order(order: (run: WasmRun) => void): void {
    if (this.#run === null) {
      this.#orders.push(order);
    } else {
      order(this.#run);
    }
  }

  #start(session: StreamingSession, begin: Begin): void {
    if (this.#isCancelled && !begin.finds) {
      this.#refused = cancelledRun();
      return;
    }
    const started = begin(session, this.#wake);
    if ("take" in started) {
      this.#run = started;
      this.#orders.splice(0).forEach((order) => order(started));
    } else if (started.error?.code !== "NO_STREAMING" || !this.#callPlainly(started.errorMessage)) {
      this.#refused = started;
    }
  }

  readonly #refuse = (error: unknown): void => {
    this.#refused = failedRun("NativeAddonError", error instanceof Error ? error.message : String(error));
    this.#wake();
  };

  /** Once, and only where nothing was sent. Returns whether it will be. */
  #callPlainly(why: string): boolean {
    const fallback = this.#fallback;
    this.#fallback = null;
    if (fallback === null || this.#isCancelled) {
      return false;
    }
    fallback(why, this.#wake).then((plain) => {
      this.#plain = plain;
      if (this.#isCancelled) {
        plain.cancel();
      }
      this.#wake();
    }, this.#refuse);
    return true;
  }
}

/** @internal What a run comes to that was cancelled and is not followed any more. */
export const cancelledRun = (words = "cancelled before it began; the code was not run"): RunResult =>
  failedRun("Cancelled", words, "cancelled", "CANCELLED");

/** @internal */
export function failedRun(name: string, value: string, status: RunResult["status"] = "failed", code = "NATIVE_ADDON_BROKEN"): RunResult {
  return { ...brokenRun(value), status, error: { name, value, traceback: "", code }, errorMessage: value };
}

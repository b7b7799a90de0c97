import type { NativeRun as WasmRun, NativeSession as StreamingSession } from "#wasm";
import type { AttachRequest, Batch, NativeRun, RunRequest, RunResult } from "../binding.js";
import { brokenRun } from "../execution-result.js";

/** Starts a run, or finds one. */
export type Begin = (session: StreamingSession, wake: () => void) => WasmRun | RunResult;

/** @internal */
export function starts({ code, language, timeoutS, logLimit, resultLimit, stamps, stdin }: RunRequest): Begin {
  return (session, wake) => session.stream(code, language, timeoutS, logLimit, resultLimit, stamps, stdin, wake);
}

/** @internal */
export function finds({ id, afterSeq, logLimit, resultLimit, stamps }: AttachRequest): Begin {
  return (session, wake) => session.attachRun(id, afterSeq, logLimit, resultLimit, stamps, wake);
}

/** A run of the WebAssembly, one that waits for it, or one that was never sent. */
export class BrowserRun implements NativeRun {
  #run: WasmRun | null = null;
  /** What a run came to that was never sent. */
  #refused: RunResult | null = null;
  #hasEnded = false;
  #isCancelled = false;
  /** Input from before there was a run; `null` is its end. */
  #input: Array<string | null> = [];

  constructor(session: StreamingSession | Promise<StreamingSession>, begin: Begin, wake: () => void) {
    if (session instanceof Promise) {
      session.then(
        (ready) => {
          this.#start(ready, begin, wake);
          wake();
        },
        (error: unknown) => {
          this.#refused = failedRun("NativeAddonError", error instanceof Error ? error.message : String(error));
          wake();
        },
      );
    } else {
      this.#start(session, begin, wake);
    }
  }

  get id(): string {
    return this.#run?.id ?? "";
  }

  take(): Batch | null {
    if (this.#refused === null || this.#hasEnded) {
      return this.#run?.take() ?? null;
    }
    this.#hasEnded = true;
    return { text: "", marks: new Uint32Array(0), stamps: null, events: null, ended: true };
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#run?.cancel();
  }

  write(text: string): void {
    this.#give(text);
  }

  endInput(): void {
    this.#give(null);
  }

  result(): RunResult | null {
    return this.#refused ?? this.#run?.result() ?? null;
  }

  #give(text: string | null): void {
    if (this.#run === null) {
      this.#input.push(text);
    } else {
      this.#run.write(text);
    }
  }

  #start(session: StreamingSession, begin: Begin, wake: () => void): void {
    if (this.#isCancelled) {
      this.#refused = failedRun("Cancelled", "cancelled before it began; the code was not run");
      return;
    }
    const started = begin(session, wake);
    if ("take" in started) {
      this.#run = started;
      this.#input.forEach((text) => started.write(text));
    } else {
      this.#refused = started;
    }
  }
}

function failedRun(name: string, value: string): RunResult {
  const status = name === "Cancelled" ? "cancelled" : "failed";
  return { ...brokenRun(value), status, error: { name, value, traceback: "" }, errorMessage: value };
}

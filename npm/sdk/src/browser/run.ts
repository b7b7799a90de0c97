import type { NativeRun as WasmRun, NativeSession as StreamingSession } from "#wasm";
import type { Batch, NativeRun, RunRequest, RunResult } from "../binding.js";
import { brokenRun } from "../execution-result.js";

/** A run of the WebAssembly, one that waits for it, or one that was never sent. */
export class BrowserRun implements NativeRun {
  #run: WasmRun | null = null;
  /** What a run came to that was never sent. */
  #refused: RunResult | null = null;
  #hasEnded = false;
  #isCancelled = false;

  constructor(session: StreamingSession | Promise<StreamingSession>, request: RunRequest, wake: () => void) {
    if (session instanceof Promise) {
      session.then(
        (ready) => {
          this.#start(ready, request, wake);
          wake();
        },
        (error: unknown) => {
          this.#refused = failedRun("NativeAddonError", error instanceof Error ? error.message : String(error));
          wake();
        },
      );
    } else {
      this.#start(session, request, wake);
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
    return { text: "", marks: new Uint32Array(0), events: null, ended: true };
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#run?.cancel();
  }

  result(): RunResult | null {
    return this.#refused ?? this.#run?.result() ?? null;
  }

  #start(session: StreamingSession, { code, language, timeoutS, logLimit, resultLimit }: RunRequest, wake: () => void): void {
    if (this.#isCancelled) {
      this.#refused = failedRun("Cancelled", "cancelled before it began; the code was not run");
      return;
    }
    const started = session.stream(code, language, timeoutS, logLimit, resultLimit, wake);
    if ("take" in started) {
      this.#run = started;
    } else {
      this.#refused = started;
    }
  }
}

function failedRun(name: string, value: string): RunResult {
  const status = name === "Cancelled" ? "cancelled" : "failed";
  return { ...brokenRun(value), status, error: { name, value, traceback: "" }, errorMessage: value };
}

import type { RunResult } from "./binding.js";
import { AGBError } from "./errors.js";
import { type EnhancedCodeExecutionResult, toExecutionResult, type Verdict } from "./execution-result.js";
import { log } from "./log.js";
import { executionErrorOf } from "./run-events.js";
import type { ErrorCallback } from "./run-options.js";

/** Callbacks of a run, by name. */
export type CallbackName = "onStdout" | "onStderr" | "onResult" | "onError";

/**
 * Everything that goes wrong in one run: tells `onError` of each error once, and puts what callbacks threw into the
 * result, `onError` itself included.
 */
export class RunReport {
  readonly #onError: ErrorCallback | null;
  readonly #told: AGBError[] = [];
  /** What `onError` threw when there was no one left to tell. */
  readonly #complaints: string[] = [];
  #failure: { readonly callback: CallbackName; readonly error: Error } | null = null;

  constructor(onError: ErrorCallback | null) {
    this.#onError = onError;
  }

  /** Tells `onError` of an error event. Returns what it returns and throws what it throws. */
  tellError(error: AGBError): unknown {
    this.#told.push(error);
    return this.#onError?.(error);
  }

  /** Takes note of what a callback threw, and tells `onError` unless that was the one. Never rejects. */
  async callbackThrew(callback: CallbackName, thrown: unknown): Promise<void> {
    const error = asError(thrown);
    log("debug", `code.run: ${callback} threw (${error.name}); stopping the run`);
    this.#failure = { callback, error };
    if (callback !== "onError") {
      await this.#tell(error);
    }
  }

  /** The result for the caller, after `onError` has heard why the run failed. Never rejects. */
  async finish(native: RunResult): Promise<EnhancedCodeExecutionResult> {
    if (!native.success && this.#failure === null) {
      await this.#tellOfFailure(native);
    }
    return toExecutionResult(native, this.#verdict(native));
  }

  async #tellOfFailure({ error, errorMessage }: RunResult): Promise<void> {
    if (error !== null && this.#told.some(({ name, message }) => name === error.name && message === error.value)) {
      return;
    }
    await this.#tell(executionErrorOf(error ?? { name: "", value: "", traceback: "" }, errorMessage));
  }

  async #tell(error: Error): Promise<void> {
    try {
      await this.#onError?.(error);
    } catch (thrown) {
      this.#complaints.push(`onError threw in turn: ${asError(thrown).message}`);
    }
  }

  #verdict(native: RunResult): Verdict {
    const failure = this.#failure;
    if (failure === null) {
      return { ...native, errorMessage: [native.errorMessage, ...this.#complaints].join("; ") };
    }
    const { callback, error } = failure;
    const reasons = [`The callback ${callback} threw, so the run was stopped: ${error.message}`, ...this.#complaints];
    if (native.error !== null && native.error.name !== "Cancelled") {
      reasons.push(`the run itself failed as well: ${native.errorMessage}`);
    }
    return {
      success: false,
      status: "cancelled", // by us, for the caller's side: `failed` is what the program itself did
      error: { name: "CallbackError", value: error.message, traceback: error.stack ?? "", code: "CALLBACK_THREW" },
      errorMessage: reasons.join("; "),
    };
  }
}

/** What was thrown as an `Error`: itself when it is one, from whichever realm. */
function asError(thrown: unknown): Error {
  if (thrown instanceof Error || Object.prototype.toString.call(thrown) === "[object Error]") {
    return thrown as Error;
  }
  let text: string;
  try {
    text = String(thrown);
  } catch {
    text = "something that has no text";
  }
  return new AGBError(text, "CALLBACK_THREW", { cause: thrown });
}

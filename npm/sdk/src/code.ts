import type { NativeSession, RunRequest } from "./binding.js";
import { checkOptionalNumber, checkString, describe } from "./check.js";
import { type EnhancedCodeExecutionResult, brokenRun } from "./execution-result.js";
import { log } from "./log.js";
import { type RunCallbacks, RunPump } from "./run-pump.js";
import { RunReport } from "./run-report.js";

/** Languages of the code spaces, in any case; `py`, `python3`, `js`, `node`, `nodejs` are known as well. */
export type Language = "python" | "javascript" | "r" | "java" | (string & {});

/**
 * Gets a piece of output as the service sent it: whole characters, not necessarily whole lines. If it returns a
 * promise, the next piece waits for it, and so does the program once enough has piled up; other runs do not.
 *
 * A piece shares its memory with its neighbours (some ten KiB). To keep few of very many pieces, keep copies.
 */
export type OutputCallback = (chunk: string) => unknown;

/**
 * Gets each error once: an exception of the program (`CodeExecutionError`), the reason for which the run failed
 * (`CodeExecutionError`), or what another callback threw (the very same object when it is an `Error`).
 */
export type ErrorCallback = (error: Error & { readonly code?: string | undefined }) => unknown;

/** Options of {@link Code.run}, as its fourth argument. */
export interface RunOptions {
  /** Output while the program runs. Default: whether there is a callback. */
  readonly streamBeta?: boolean | undefined;
  /** Gets what the program writes to standard output. */
  readonly onStdout?: OutputCallback | null | undefined;
  /** Gets what the program writes to standard error. */
  readonly onStderr?: OutputCallback | null | undefined;
  /** Gets each error once; without streaming only the reason for which the run failed. */
  readonly onError?: ErrorCallback | null | undefined;
  /**
   * Bytes of output kept per stream for `result.logs`, default 16 MiB; the rest has gone to the callbacks, and
   * `result.truncated` is set. 0 keeps nothing.
   */
  readonly logLimit?: number | undefined;
  /**
   * Bytes kept for `result.results`, default 64 MiB. A value, picture or table that finds no room is replaced by a text
   * that says what it was, and `result.truncated` is set.
   */
  readonly resultLimit?: number | undefined;
  /**
   * Stops the program when it is aborted (`AbortController.signal`): it is interrupted where the service can, the
   * interpreter's variables stay, and the result has `error.name` `Cancelled`. Only for runs that stream.
   */
  readonly signal?: StopSignal | null | undefined;
}

/** An `AbortSignal`, from whichever library. */
export interface StopSignal {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

const DEFAULT_TIMEOUT_S = 60;
const OPTION_NAMES = ["streamBeta", "onStdout", "onStderr", "onError", "logLimit", "resultLimit", "signal"];

/** Runs code in a session; see {@link Session.code}. */
export class Code {
  readonly #native: NativeSession;

  private constructor(native: NativeSession) {
    this.#native = native;
  }

  /** @internal */
  static fromNative(native: NativeSession): Code {
    return new Code(native);
  }

  /**
   * Runs code and resolves when it has ended. Variables stay for the next run of the same language in this session.
   *
   * With `streamBeta` the callbacks get output while the program runs, in order. If one throws or rejects, the run is
   * stopped, `onError` gets what was thrown, and the result says so: `success` is false, `error.name` is
   * `CallbackError`.
   *
   * It does not reject for what happens on the far side or on the way: see `success`, `error`, `errorMessage`.
   *
   * @param timeoutS Seconds the program may take; default 60.
   * @param streamBeta Output while the program runs; default: whether there is a callback.
   * @throws TypeError (as a rejection) when an argument has the wrong type; nothing is sent then.
   */
  run(
    code: string,
    language: Language,
    timeoutS?: number | null,
    streamBeta?: boolean | null,
    onStdout?: OutputCallback | null,
    onStderr?: OutputCallback | null,
    onError?: ErrorCallback | null,
  ): Promise<EnhancedCodeExecutionResult>;
  /**
   * The same with the callbacks by name.
   *
   * ```ts
   * await session.code.run(code, "python", 60, { onStdout: (chunk) => process.stdout.write(chunk) });
   * ```
   */
  run(
    code: string,
    language: Language,
    timeoutS: number | null | undefined,
    options: RunOptions,
  ): Promise<EnhancedCodeExecutionResult>;
  async run(
    code: string,
    language: Language,
    timeoutS?: number | null,
    streamOrOptions?: boolean | RunOptions | null,
    onStdout?: OutputCallback | null,
    onStderr?: OutputCallback | null,
    onError?: ErrorCallback | null,
  ): Promise<EnhancedCodeExecutionResult> {
    const options = checkedOptions(streamOrOptions, [onStdout, onStderr, onError]);
    const request = checkedRequest(code, language, timeoutS, options);
    const callbacks = checkedCallbacks(options);
    const signal = checkedSignal(options.signal);
    const streams = options.streamBeta ?? (signal !== null || Object.values(callbacks).some((callback) => callback !== null));
    return streams ? new RunPump(this.#native, request, callbacks, signal).promise : this.#runAtOnce(request, callbacks);
  }

  async #runAtOnce(request: RunRequest, callbacks: RunCallbacks): Promise<EnhancedCodeExecutionResult> {
    if (callbacks.onStdout !== null || callbacks.onStderr !== null) {
      log("warn", "code.run has output callbacks but streamBeta is false: all output comes with the result");
    }
    const report = new RunReport(callbacks.onError);
    try {
      return await report.finish(await this.#native.run(request));
    } catch (error) {
      return report.finish(brokenRun(error));
    }
  }
}

/** Both forms of the call as options. */
function checkedOptions(
  streamOrOptions: unknown,
  positional: [OutputCallback?: unknown, stderr?: unknown, error?: unknown],
): { readonly [K in keyof RunOptions]?: unknown } & { readonly streamBeta?: boolean | undefined } {
  const [onStdout, onStderr, onError] = positional;
  const given = streamOrOptions ?? undefined;
  if (typeof given === "object" && !Array.isArray(given)) {
    if (positional.some((callback) => callback !== undefined && callback !== null)) {
      throw new TypeError("the callbacks belong either into the options or behind streamBeta, not into both places");
    }
    const unknownName = Object.keys(given).find((name) => !OPTION_NAMES.includes(name));
    if (unknownName !== undefined) {
      throw new TypeError(`code.run has no option ${unknownName}; it has ${OPTION_NAMES.join(", ")}`);
    }
    const { streamBeta, ...rest } = given as { [K in keyof RunOptions]?: unknown };
    return { ...rest, streamBeta: checkedStreamBeta(streamBeta) };
  }
  return { streamBeta: checkedStreamBeta(given), onStdout, onStderr, onError };
}

function checkedStreamBeta(value: unknown): boolean | undefined {
  if (value === undefined || value === null) {
    return undefined;
  }
  if (typeof value !== "boolean") {
    throw new TypeError(`streamBeta must be true or false, not ${describe(value)}`);
  }
  return value;
}

function checkedRequest(code: unknown, language: unknown, timeoutS: unknown, options: { readonly logLimit?: unknown; readonly resultLimit?: unknown }): RunRequest {
  if (typeof code !== "string") {
    throw new TypeError(`code must be a string, not ${describe(code)}`);
  }
  return {
    code,
    language: checkString("language", language),
    timeoutS: checkOptionalNumber("timeoutS", timeoutS, "seconds") ?? DEFAULT_TIMEOUT_S,
    logLimit: checkedLimit("logLimit", options.logLimit),
    resultLimit: checkedLimit("resultLimit", options.resultLimit),
  };
}

function checkedLimit(name: string, value: unknown): number | null {
  if (value === undefined || value === null) {
    return null;
  }
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw new TypeError(`${name} must be a whole number of bytes, 0 or more, not ${describe(value)}`);
  }
  return value;
}

function checkedSignal(value: unknown): StopSignal | null {
  if (value === undefined || value === null) {
    return null;
  }
  if (typeof value !== "object" || !("aborted" in value) || !("addEventListener" in value)) {
    throw new TypeError(`signal must be an AbortSignal, not ${describe(value)}`);
  }
  return value as StopSignal;
}

function checkedCallbacks(options: { readonly onStdout?: unknown; readonly onStderr?: unknown; readonly onError?: unknown }): RunCallbacks {
  return {
    onStdout: checkedCallback<OutputCallback>("onStdout", options.onStdout),
    onStderr: checkedCallback<OutputCallback>("onStderr", options.onStderr),
    onError: checkedCallback<ErrorCallback>("onError", options.onError),
  };
}

function checkedCallback<F extends OutputCallback | ErrorCallback>(name: string, value: unknown): F | null {
  if (value === undefined || value === null) {
    return null;
  }
  if (typeof value !== "function") {
    throw new TypeError(`${name} must be a function, not ${describe(value)}`);
  }
  return value as F;
}

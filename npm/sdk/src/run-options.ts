/**
 * What {@link Code} can be told about a run, and the checks of it.
 *
 * @module
 */

import { checkObject, checkOptionalFlag, checkOptionalNumber, checkString, checkText, describe } from "./check.js";
import type { RunRequest } from "./binding.js";
import type { ExecutionResult } from "./execution-result.js";
import type { StopSignal } from "./stop-signal.js";

/** Languages of the code spaces, in any case; `py`, `python3`, `js`, `node`, `nodejs` are known as well. */
export type Language = "python" | "javascript" | "r" | "java" | (string & {});

/**
 * Gets a piece of output as the service sent it: whole characters, not necessarily whole lines. If it returns a
 * promise, the next piece waits for it, and so does the program once enough has piled up; other runs do not.
 *
 * What earlier runs have left running may print, too; what it wrote before this run comes first.
 *
 * A piece shares its memory with its neighbours (some ten KiB). To keep few of very many pieces, keep copies.
 */
export type OutputCallback = (chunk: string) => unknown;

/** Gets each value, picture or table when the program shows it. If it returns a promise, what follows waits for it. */
export type ResultCallback = (result: ExecutionResult) => unknown;

/**
 * Gets each error once: an exception of the program (`CodeExecutionError`), the reason for which the run failed
 * (`CodeExecutionError`), or what another callback threw (the very same object when it is an `Error`). A lost connection
 * is told as it happens, with a code that begins with `CONNECTION_`; the run goes on, and nothing of it is run again.
 */
export type ErrorCallback = (error: Error & { readonly code?: string | undefined }) => unknown;

/** Options that each streamed run has, begun here or elsewhere. */
export interface FollowOptions {
  /** Gets each rich result when it comes; all of them are in the run's result as well. */
  readonly onResult?: ResultCallback | null | undefined;
  /** Gets each error once. */
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
   * interpreter's variables stay, and the result has the status `cancelled`.
   */
  readonly signal?: StopSignal | null | undefined;
}

/** Options of {@link Code.run}, as its fourth argument. `onResult` is only for runs that stream. */
export interface RunOptions extends FollowOptions {
  /** Output while the program runs. Default: whether there is a callback. */
  readonly streamBeta?: boolean | undefined;
  /** Gets what the program writes to standard output. */
  readonly onStdout?: OutputCallback | null | undefined;
  /** Gets what the program writes to standard error. */
  readonly onStderr?: OutputCallback | null | undefined;
}

/** Options of {@link Code.stream}. */
export interface StreamOptions extends FollowOptions {
  /** Seconds the program may take; default 60. */
  readonly timeoutS?: number | null | undefined;
}

/** Options of {@link Code.attach}. */
export interface AttachOptions extends FollowOptions {
  /** Everything behind the event with this `seq` comes; default 0, which is all that the service still has (`seq` tells where that begins). */
  readonly afterSeq?: number | undefined;
}

/** The callbacks of one run. */
export interface RunCallbacks {
  readonly onStdout: OutputCallback | null;
  readonly onStderr: OutputCallback | null;
  readonly onResult: ResultCallback | null;
  readonly onError: ErrorCallback | null;
}

type Unchecked<T> = { readonly [K in keyof T]?: unknown };

const DEFAULT_TIMEOUT_S = 60;
const FOLLOW_NAMES = ["onResult", "onError", "logLimit", "resultLimit", "signal"];
const RUN_NAMES = ["streamBeta", "onStdout", "onStderr", ...FOLLOW_NAMES];

/** Both forms of the call of {@link Code.run} as options. */
export function checkedRunOptions(
  streamOrOptions: unknown,
  positional: [OutputCallback?: unknown, stderr?: unknown, error?: unknown],
): Unchecked<RunOptions> & { readonly streamBeta?: boolean | undefined } {
  const [onStdout, onStderr, onError] = positional;
  const given = streamOrOptions ?? undefined;
  if (typeof given === "object" && !Array.isArray(given)) {
    if (positional.some((callback) => callback !== undefined && callback !== null)) {
      throw new TypeError("the callbacks belong either into the options or behind streamBeta, not into both places");
    }
    checkNames("code.run", given, RUN_NAMES);
    const { streamBeta, ...rest } = given as Unchecked<RunOptions>;
    return { ...rest, streamBeta: checkOptionalFlag("streamBeta", streamBeta) ?? undefined };
  }
  return { streamBeta: checkOptionalFlag("streamBeta", given) ?? undefined, onStdout, onStderr, onError };
}

/** The options of a run that is followed event by event; `more` names those that only this call has. */
export function checkedFollowOptions<T extends FollowOptions>(call: string, options: unknown, more: keyof T & string): Unchecked<T> {
  const given = options ?? {};
  checkObject("options", given);
  checkNames(call, given, [more, ...FOLLOW_NAMES]);
  return given as Unchecked<T>;
}

/** What is sent, apart from who follows it. */
export function checkedRequest(
  code: unknown,
  language: unknown,
  timeoutS: unknown,
  { logLimit, resultLimit }: { readonly logLimit?: unknown; readonly resultLimit?: unknown },
): Omit<RunRequest, "stamps" | "stdin"> {
  return {
    code: checkText("code", code),
    language: checkString("language", language),
    timeoutS: checkOptionalNumber("timeoutS", timeoutS, "seconds") ?? DEFAULT_TIMEOUT_S,
    logLimit: checkedCount("logLimit", logLimit, "bytes"),
    resultLimit: checkedCount("resultLimit", resultLimit, "bytes"),
  };
}

/** A whole number from 0 on, or nothing (`null` for the backend). */
export function checkedCount(name: string, value: unknown, unit: string): number | null {
  if (value === undefined || value === null) {
    return null;
  }
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw new TypeError(`${name} must be a whole number of ${unit}, 0 or more, not ${describe(value)}`);
  }
  return value;
}

export function checkedCallbacks(options: Unchecked<RunOptions>): RunCallbacks {
  return {
    onStdout: checkedCallback<OutputCallback>("onStdout", options.onStdout),
    onStderr: checkedCallback<OutputCallback>("onStderr", options.onStderr),
    onResult: checkedCallback<ResultCallback>("onResult", options.onResult),
    onError: checkedCallback<ErrorCallback>("onError", options.onError),
  };
}

export function checkedCallback<F>(name: string, value: unknown): F | null {
  if (value === undefined || value === null) {
    return null;
  }
  if (typeof value !== "function") {
    throw new TypeError(`${name} must be a function, not ${describe(value)}`);
  }
  return value as F;
}

export function checkNames(call: string, options: object, names: readonly string[]): void {
  const unknownName = Object.keys(options).find((name) => !names.includes(name));
  if (unknownName !== undefined) {
    throw new TypeError(`${call} has no option ${unknownName}; it has ${names.join(", ")}`);
  }
}

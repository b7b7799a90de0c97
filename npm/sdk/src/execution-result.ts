/**
 * What a run comes to.
 *
 * @module
 */

import type { NativeExecutionResult, NativeRun, NativeRunError, NativeRunStatus, RunResult } from "./binding.js";
import { type AGBErrorCode, messageOf } from "./errors.js";
import { parseJson } from "./invoke.js";
import { present } from "./results.js";

/**
 * How a run ended:
 *
 * * `finished`: the program came to its end and raised nothing;
 * * `failed`: it raised, or it never began (unknown language, service not reachable);
 * * `timeout`: its time limit was up, and it was stopped;
 * * `cancelled`: it was stopped on request: a signal, `cancel()`, a callback that threw, another client of the session;
 * * `killed`: its interpreter died, see `killedBy`;
 * * `interrupted`: it was begun and could not be followed to its end. Whether the program came to its end is unknown;
 *   running it again may do everything twice.
 */
export type RunStatus = Exclude<NativeRunStatus, "exited" | "signalled">;

/** What ended the interpreter of a run that was `killed`, as far as the service says. */
export interface KilledBy {
  /** It ended itself with this code. */
  readonly exitCode?: number;
  /** A signal ended it, e.g. `SIGKILL`. */
  readonly signal?: string;
  /** It had used all the memory that it may have. */
  readonly outOfMemory: boolean;
}

/** Result of {@link Code.run}. */
export interface EnhancedCodeExecutionResult {
  /** Id of the run; quote it to the service's support. */
  readonly requestId: string;
  /** The program ran to its end without an exception, and no callback threw. */
  readonly success: boolean;
  /** How it ended, in one word. */
  readonly status: RunStatus;
  /** How many runs the interpreter has had, this one included; absent when the service did not say. */
  readonly executionCount?: number;
  /** Seconds, measured around the program. */
  readonly executionTime: number;
  /**
   * All chunks of output. They are made when this is first read, so that output nobody reads costs no memory of the
   * JavaScript heap. The chunks share memory: one that is kept keeps the log of the run.
   */
  readonly logs: ExecutionLogs;
  /** Values and figures that the program showed, in order. */
  readonly results: ExecutionResult[];
  /** The exception of the program, or why the run failed; absent on success. */
  readonly error?: ExecutionError;
  /** What happened, in words; empty on success. */
  readonly errorMessage: string;
  /**
   * `logs` lack output beyond the limit (see `logLimit` of {@link RunOptions}; callbacks had it all), or a result found
   * no room (`resultLimit`).
   */
  readonly truncated: boolean;
  /** How often the connection was lost and the run was found again. Nothing is missing for it. */
  readonly interruptions: number;
  /** The interpreter was restarted: variables of earlier runs are gone. */
  readonly stateLost: boolean;
  /** @internal Of a command, as a shell tells it. */
  readonly exitCode?: number;
  /** With the status `killed`: what ended the interpreter; absent when the service did not say. */
  readonly killedBy?: KilledBy;
}

/** Output of a run, in the chunks in which it came. */
export type ExecutionLogs = {
  /** Chunks, not lines: join them before splitting. */
  readonly stdout: string[];
  readonly stderr: string[];
};

/** One value that a program showed, in the formats it has. */
export type ExecutionResult = {
  readonly text?: string;
  /**
   * What the program made, which may hold scripts, and pictures of any server. Show it in an `<iframe sandbox="">` whose
   * `srcdoc` begins with a Content-Security-Policy (`default-src 'none'; img-src data:; style-src 'unsafe-inline'`).
   */
  readonly html?: string;
  readonly markdown?: string;
  /** Base64. */
  readonly png?: string;
  /** Base64. */
  readonly jpeg?: string;
  readonly svg?: string;
  readonly latex?: string;
  /** Parsed. */
  readonly json?: unknown;
  /** Parsed: a Vega-Lite specification. */
  readonly chart?: unknown;
  /** The value of the program's last expression. */
  readonly isMainResult: boolean;
};

/** Why a run failed. */
export type ExecutionError = {
  /** The exception's name, e.g. `ValueError`; or e.g. `Cancelled`, `CallbackError`. */
  readonly name: string;
  /** The exception's message. */
  readonly value: string;
  /** The interpreter's own trace; empty when there is none. */
  readonly traceback: string;
  /**
   * A code that stays the same from version to version, of what the program did not raise: e.g. `TIMED_OUT`, `CANCELLED`,
   * `KILLED`, `INTERRUPTED` (the outcome is unknown), `UNREACHABLE` (nothing was sent, it is safe to run it again),
   * `CALLBACK_THREW`; see {@link AGBErrorCode}. Absent for an exception of the program, whatever its name, and in a page
   * for all but `CALLBACK_THREW` and what this package itself ends: `status` tells there.
   */
  readonly code?: AGBErrorCode;
};

/** Differences between what the backend says and what the caller gets. */
export interface Verdict {
  readonly success: boolean;
  readonly status: NativeRunStatus;
  readonly error: NativeRunError | null;
  readonly errorMessage: string;
}

/** The public form of a backend's result, with `verdict` in place of its own. */
export function toExecutionResult(native: RunResult, verdict: Verdict): EnhancedCodeExecutionResult {
  const { success, status, error, errorMessage } = verdict;
  const fields = {
    requestId: native.requestId,
    success,
    status: status as RunStatus, // a command's other two are for `toCommandResult`
    ...(native.executionCount === null ? {} : { executionCount: native.executionCount }),
    executionTime: native.executionTime,
    // Not by `map`: a list of the addon's is of Node's own realm, and so would be what its methods make.
    results: Array.from(native.results, (result) => toResult(result)),
    ...(error === null ? {} : { error: toError(error) }),
    errorMessage,
    truncated: native.truncated,
    interruptions: native.interruptions,
    stateLost: native.stateLost,
    ...(native.exitCode === null ? {} : { exitCode: native.exitCode }),
    ...(native.killedBy === null ? {} : { killedBy: { ...present(native.killedBy), outOfMemory: native.killedBy.outOfMemory } }),
  };
  return withLazyLogs(fields, () => native.logs());
}

/** The public form of a run's error. */
function toError({ name, value, traceback, code }: NativeRunError): ExecutionError {
  return { name, value, traceback, ...(code && { code }) };
}

/** A backend's result for a run that the backend itself could not carry through: a fault of this package. */
export function brokenRun(fault: unknown): RunResult {
  const value = messageOf(fault);
  const words = `The run was lost to a fault inside agbcloud-sdk, please report it: ${value}`;
  return runWithoutBackend("interrupted", "InternalError", value, words);
}

/** What takes the place of a run whose signal was aborted before it began: nothing is sent, and its end is there. */
export const CANCELLED_RUN: NativeRun = {
  id: "",
  take: () => ({ text: "", marks: new Uint32Array(0), stamps: null, events: null, ended: true }),
  cancel() {},
  write() {},
  endInput() {},
  signal() {},
  resize() {},
  leave() {},
  result: () => runWithoutBackend("cancelled", "Cancelled", "cancelled", "cancelled"),
};

function runWithoutBackend(status: RunStatus, name: string, value: string, errorMessage: string): RunResult {
  return {
    requestId: "",
    success: false,
    status,
    executionCount: null,
    executionTime: 0,
    results: [],
    error: { name, value, traceback: "", code: status.toUpperCase() },
    errorMessage,
    truncated: false,
    interruptions: 0,
    stateLost: false,
    exitCode: null,
    killedBy: null,
    seq: 0,
    time: null,
    logs: () => ({ text: "", marks: new Uint32Array(0) }),
  };
}

/**
 * Adds `logs` as a getter that replaces itself by its value. It is enumerable, so that JSON, spreading and comparing see
 * it, and `console.log` shows its value.
 */
function withLazyLogs(
  fields: Omit<EnhancedCodeExecutionResult, "logs">,
  load: () => ReturnType<RunResult["logs"]>,
): EnhancedCodeExecutionResult {
  let pending: typeof load | null = load;
  let logs: ExecutionLogs = { stdout: [], stderr: [] };
  const read = (): ExecutionLogs => {
    if (pending !== null) {
      logs = sliceLogs(pending());
      pending = null; // frees the backend's copy
      Object.defineProperty(result, "logs", { value: logs, enumerable: true, configurable: true, writable: true });
    }
    return logs;
  };
  const result = Object.defineProperties(fields, {
    logs: { get: read, enumerable: true, configurable: true },
    [Symbol.for("nodejs.util.inspect.custom")]: { value: () => ({ ...fields, logs: read() }), enumerable: false },
  });
  return result as EnhancedCodeExecutionResult;
}

function sliceLogs({ text, marks }: ReturnType<RunResult["logs"]>): ExecutionLogs {
  const stdout: string[] = [];
  const stderr: string[] = [];
  let start = 0;
  for (const mark of marks) {
    const end = start + (mark >>> 2);
    ((mark & 3) === 0 ? stdout : stderr).push(text.substring(start, end));
    start = end;
  }
  return { stdout, stderr };
}

/** The public form of a rich result. */
export function toResult(native: NativeExecutionResult): ExecutionResult {
  const { json, chart, isMainResult, ...texts } = native;
  const formats = Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== null));
  return {
    ...formats,
    ...(json === null ? {} : { json: parseJson(json) }),
    ...(chart === null ? {} : { chart: parseJson(chart) }),
    isMainResult,
  };
}

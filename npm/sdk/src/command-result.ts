/**
 * What commands come to.
 *
 * @module
 */

import type { NativeRunStatus } from "./binding.js";
import type { EnhancedCodeExecutionResult } from "./execution-result.js";
import { type ApiResult } from "./results.js";

/** Result of {@link Command.execute}. */
export interface CommandResult extends ApiResult {
  /** Whether the command ended with the exit code 0. */
  readonly success: boolean;
  /** `stdout`, and `stderr` behind it. */
  readonly output: string;
  /** The command's exit code; -1 for a command that did not run. */
  readonly exitCode: number;
  /** What the command printed. */
  readonly stdout: string;
  /** What the command printed to standard error. */
  readonly stderr: string;
  /** The service's id for a failure; empty on success. */
  readonly traceId: string;
}

/**
 * How a command ended:
 *
 * * `exited`: by itself, see `exitCode`;
 * * `signalled`: by a signal, see `signal`;
 * * `timeout`: at its time limit, and was killed;
 * * `cancelled`: it was stopped on request;
 * * `killed`: its session went above a limit, such as its memory;
 * * `interrupted`: it could not be followed to its end, or is followed here no longer: it may go on;
 * * `failed`: it never began.
 */
export type CommandStatus = Exclude<NativeRunStatus, "finished">;

/** Result of {@link CommandRun.result}. */
export interface CommandRunResult extends CommandResult {
  /** How it ended, in one word. */
  readonly status: CommandStatus;
  /**
   * As a shell tells it: the exit code, or 128 and the number of the signal that ended it; 124 at its time limit; -1 where
   * nobody knows, or it did not run.
   */
  readonly exitCode: number;
  /** The signal that ended it, e.g. `SIGTERM`; absent otherwise. */
  readonly signal?: string;
  /** Seconds. */
  readonly executionTime: number;
  /** `stdout` or `stderr` lack output beyond the limit (`logLimit`; events and callbacks had it all). */
  readonly truncated: boolean;
  /** How often the connection was lost and the command was found again. Nothing is missing for it. */
  readonly interruptions: number;
}

/** A command's result, from what its run came to. */
export function toCommandResult(run: EnhancedCodeExecutionResult): CommandRunResult {
  const status = run.status as NativeRunStatus;
  const { requestId, success, errorMessage, error, executionTime, truncated, interruptions } = run;
  const stdout = run.logs.stdout.join("");
  const stderr = run.logs.stderr.join("");
  const said = status === "exited" && stderr.trim() !== "" ? stderr : errorMessage;
  return {
    requestId,
    success,
    errorMessage: success ? "" : said,
    ...(success ? {} : { code: error?.code ?? "COMMAND_FAILED" }),
    status: status === "finished" ? "exited" : status,
    exitCode: run.exitCode ?? -1,
    ...(status === "signalled" && run.killedBy?.signal !== undefined ? { signal: run.killedBy.signal } : {}),
    output: stdout + stderr,
    stdout,
    stderr,
    traceId: success ? "" : requestId,
    executionTime,
    truncated,
    interruptions,
  };
}

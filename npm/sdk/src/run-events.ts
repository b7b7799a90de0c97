/**
 * What a run yields, event by event.
 *
 * @module
 */

import type { Batch, NativeRunError, NativeRunEvent } from "./binding.js";
import { AGBError, CodeExecutionError } from "./errors.js";
import { type EnhancedCodeExecutionResult, type ExecutionResult, toResult } from "./execution-result.js";

/** What each event has. */
export interface EventStamp {
  /**
   * Number of the event in its run, from 1, without gaps that matter: {@link Code.attach} continues behind it. A service
   * without the extension `resume` numbers nothing; then events are counted here. What this package itself has to say
   * (a lost and a found connection) bears the number of the event before it.
   */
  readonly seq: number;
  /**
   * When it happened, by the service's clock, in milliseconds since the Unix epoch: `new Date(event.time)`. Absent where
   * the service does not say, and for what this package itself has to say.
   */
  readonly time?: number;
}

/** The program wrote to standard output or standard error. */
export interface OutputEvent extends EventStamp {
  readonly type: "stdout" | "stderr";
  /** Whole characters, not necessarily whole lines. */
  readonly text: string;
  /** It was written before this run, by what earlier ones have left running. */
  readonly background: boolean;
}

/** The program showed a value, a picture or a table. */
export interface ResultEvent extends EventStamp {
  readonly type: "result";
  readonly result: ExecutionResult;
}

/**
 * The program raised, or the service reports a failure (`CodeExecutionError`); or the connection was lost (a code that
 * begins with `CONNECTION_`), and then the run goes on and `reconnected` or `end` follows; or no stream gets through and
 * nothing was sent (`NO_STREAMING`), and then the run is made by a plain call, whose output comes at its end; or input was
 * not taken (`INPUT_REFUSED`) or may be lost (`INPUT_UNCERTAIN`), and then the run goes on without it.
 */
export interface ErrorEvent extends EventStamp {
  readonly type: "error";
  readonly error: AGBError;
}

/** The program waits for a line of input: {@link CodeRun.write}, {@link CodeRun.end}. */
export interface InputRequestEvent extends EventStamp {
  readonly type: "inputRequest";
  /** What the program asks with. */
  readonly prompt: string;
  /**
   * The program asks for a password (Python's `getpass`, R's `askpass`): do not show the answer where it is typed. Absent
   * otherwise.
   */
  readonly password?: true;
}

/** The run was found again after a lost connection. Nothing is missing, and nothing was run again. */
export interface ReconnectedEvent extends EventStamp {
  readonly type: "reconnected";
}

/** The run is over. Comes once, and last. */
export interface EndEvent extends EventStamp {
  readonly type: "end";
  readonly result: EnhancedCodeExecutionResult;
}

/** What a run yields. `switch (event.type)` tells them apart. */
export type RunEvent =
  | OutputEvent
  | ResultEvent
  | ErrorEvent
  | InputRequestEvent
  | ReconnectedEvent
  | EndEvent;

/** @internal The error that tells of something on the way, such as a lost connection. */
export function troubleOf({ code, message }: { readonly code: string; readonly message: string }): AGBError {
  return new AGBError(message, code);
}

/** @internal The error that tells of what ended a run, or is about to. */
export function executionErrorOf({ name, value, traceback, code }: NativeRunError, message = value): CodeExecutionError {
  return new CodeExecutionError(name, value || message, traceback, code);
}

/** @internal A batch, piece by piece. */
export function eventsOf({ text, marks, stamps, events }: Batch): RunEvent[] {
  let start = 0;
  let nextEvent = 0;
  return Array.from(marks, (mark, index) => {
    const stamp = stampOf(stamps?.[3 * index] ?? 0, stamps?.[3 * index + 1] ?? 0);
    const kind = mark & 3;
    if (kind === 2) {
      return eventOf(events?.[nextEvent++] ?? { type: "reconnected" }, stamp);
    }
    const end = start + (mark >>> 2);
    const chunk = text.substring(start, end);
    start = end;
    return { type: kind === 0 ? "stdout" : "stderr", text: chunk, background: stamps?.[3 * index + 2] === 1, ...stamp };
  });
}

/** @internal As the backend has them: no time is 0 or `null`. */
export function stampOf(seq: number, time: number | null): EventStamp {
  return time === null || time === 0 ? { seq } : { seq, time };
}

function eventOf(event: NativeRunEvent, stamp: EventStamp): RunEvent {
  switch (event.type) {
    case "result":
      return { type: "result", result: toResult(event.result), ...stamp };
    case "error":
      return { type: "error", error: executionErrorOf(event.error), ...stamp };
    case "trouble":
      return { type: "error", error: troubleOf(event), ...stamp };
    case "inputRequest":
      return { type: "inputRequest", prompt: event.prompt, ...(event.password ? { password: true } : {}), ...stamp };
    default:
      return { type: "reconnected", ...stamp };
  }
}

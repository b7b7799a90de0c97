/**
 * Typed errors. Each has a `code` that stays the same from version to version; messages may change.
 *
 * Operations on sessions do not throw these for what happens on the far side, they resolve with `success: false`.
 * {@link throwIfFailed} turns such a result into one of these.
 *
 * @module
 */

import type { CoreErrorCode } from "./error-codes.js";
import type { ApiResult } from "./results.js";

/**
 * Codes that this package makes itself. The service has codes of its own, e.g. `InvalidMcpSession.NotFound`, and a
 * program's exception has its name, e.g. `ValueError`.
 */
export type AGBErrorCode =
  | CoreErrorCode
  | "NATIVE_ADDON_MISSING"
  | "NATIVE_ADDON_BROKEN"
  | "NO_SUCH_PAGE"
  | "COMMAND_FAILED"
  | "CALLBACK_THREW"
  | "UNKNOWN"
  | (string & {});

/** What an error is made with beside its message: a code, or data to keep with it. */
type CodeOrExtra = AGBErrorCode | object;

/** Base of all errors of this package. */
export class AGBError extends Error {
  /** Stable code; see {@link AGBErrorCode}. */
  readonly code: AGBErrorCode;
  /** What was given to keep with the error. */
  readonly extra: object;

  constructor(message = "", codeOrExtra: CodeOrExtra = {}, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = typeof codeOrExtra === "string" ? codeOrExtra : "UNKNOWN";
    this.extra = typeof codeOrExtra === "string" ? {} : codeOrExtra;
    if (Object.keys(this.extra).length === 0) {
      Object.defineProperty(this, "extra", { enumerable: false }); // it says nothing when the error is printed
    }
  }
}

/** There is no API key, or the service does not take it. */
export class AuthenticationError extends AGBError {}

/** The configuration cannot be used: endpoint, time limit, `.env` file, or no local server program. */
export class ConfigurationError extends AGBError {}

/** The native part of this package is missing for this platform or does not load. */
export class NativeAddonError extends AGBError {}

/** What is known of a call that failed. */
interface CallDetails {
  readonly requestId: string;
  readonly httpStatus?: number | undefined;
}

/** A call to the service failed. */
export class APIError extends AGBError {
  /** Id of the call, for the service's support; empty when none was given. */
  readonly requestId: string;
  /** HTTP status of the answer; absent when there was no answer. */
  readonly httpStatus?: number;

  constructor(message: string, code: AGBErrorCode, details: CallDetails, options?: { readonly cause?: unknown });
  constructor(message?: string, statusCode?: number, extra?: object);
  constructor(
    message?: string,
    codeOrStatus?: AGBErrorCode | number,
    detailsOrExtra: CallDetails | object = {},
    options?: { readonly cause?: unknown },
  ) {
    const isOurs = typeof codeOrStatus === "string";
    super(message, isOurs ? codeOrStatus : detailsOrExtra, options);
    const { requestId = "", httpStatus } = (isOurs ? detailsOrExtra : { httpStatus: codeOrStatus }) as Partial<CallDetails>;
    this.requestId = requestId;
    if (httpStatus !== undefined) {
      this.httpStatus = httpStatus;
    }
  }

  /** The same as `httpStatus`. */
  get statusCode(): number | undefined {
    return this.httpStatus;
  }
}

/** A call failed because of the session it was for: unknown, released, or not usable. */
export class SessionError extends APIError {
  constructor(message: string, code: AGBErrorCode, details: CallDetails, options?: { readonly cause?: unknown });
  constructor(message?: string, extra?: object);
  constructor(message = "", codeOrExtra: CodeOrExtra = {}, details?: CallDetails, options?: { readonly cause?: unknown }) {
    if (typeof codeOrExtra === "string") {
      super(message, codeOrExtra, details ?? { requestId: "" }, options);
    } else {
      super(message, undefined, codeOrExtra);
    }
  }
}

/** An operation on files failed. */
export class FileError extends AGBError {}

/** A command failed. */
export class CommandError extends AGBError {}

/** The files of a context were not deleted in time; see {@link ContextService.clear}. */
export class ClearanceTimeoutError extends AGBError {
  constructor(message = "", codeOrExtra: CodeOrExtra = "CLEARANCE_TIMED_OUT", options?: { readonly cause?: unknown }) {
    super(message, codeOrExtra, options);
  }
}

/** Starting or stopping a program on a session's desktop failed. */
export class ApplicationError extends AGBError {}

/** A session's browser cannot be used. */
export class BrowserError extends AGBError {}

/** A screenshot could not be made. */
export class ScreenError extends AGBError {}

/**
 * What `onError` of a run gets: an exception of the program, whose `name` and `code` are the exception's name, e.g.
 * `ValueError`; or the reason for which the run itself failed, with a `name` such as `Cancelled` and a stable `code` such
 * as `CANCELLED` ({@link CoreErrorCode}; in a page the name again).
 */
export class CodeExecutionError extends AGBError {
  /** The interpreter's own trace; empty when there is none. */
  readonly traceback: string;

  constructor(name: string, message: string, traceback: string, code?: AGBErrorCode | null) {
    super(message, code ?? (name === "" ? "UNKNOWN" : name));
    this.traceback = traceback;
    if (name !== "") {
      Object.defineProperty(this, "name", { value: name, configurable: true, writable: true });
    }
  }
}

/**
 * Throws when `result` is a failure, else returns it, for code that prefers exceptions:
 *
 * ```ts
 * const { session } = throwIfFailed(await agb.create(params));
 * ```
 *
 * @throws {@link AuthenticationError} on HTTP 401 and 403, unless it is a file that may not be used; {@link SessionError}
 * when the session is the reason, {@link APIError} otherwise.
 */
export function throwIfFailed<R extends ApiResult>(result: R): R {
  if (result.success) {
    return result;
  }
  const code = result.code ?? "UNKNOWN";
  if (result.httpStatus === 401 || (result.httpStatus === 403 && !code.startsWith("InvalidFile."))) {
    throw new AuthenticationError(result.errorMessage, code);
  }
  const details = { requestId: result.requestId, httpStatus: result.httpStatus };
  throw code.startsWith("InvalidMcpSession")
    ? new SessionError(result.errorMessage, code, details)
    : new APIError(result.errorMessage, code, details);
}

/** @internal What a thrown value says. Not by `instanceof`: an error of the addon or of Node is of another realm in Jest. */
export function messageOf(thrown: unknown): string {
  const { message } = (thrown ?? {}) as { readonly message?: unknown };
  return typeof message === "string" ? message : String(thrown);
}

// The name is on the prototype, so that it is in `String(error)` and not among an instance's own properties.
for (const [name, { prototype }] of Object.entries({
  AGBError,
  APIError,
  ApplicationError,
  AuthenticationError,
  BrowserError,
  ClearanceTimeoutError,
  CodeExecutionError,
  CommandError,
  ConfigurationError,
  FileError,
  NativeAddonError,
  ScreenError,
  SessionError,
})) {
  Object.defineProperty(prototype, "name", { value: name, configurable: true, writable: true });
}

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
  | "TOOL_FAILED"
  | "CALLBACK_THREW"
  | "UNKNOWN"
  | (string & {});

/** Base of all errors of this package. */
export class AGBError extends Error {
  /** Stable code; see {@link AGBErrorCode}. */
  readonly code: AGBErrorCode;

  constructor(message: string, code: AGBErrorCode, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  static {
    nameErrors(this, "AGBError");
  }
}

/** There is no API key, or the service does not take it. */
export class AuthenticationError extends AGBError {
  static {
    nameErrors(this, "AuthenticationError");
  }
}

/** The configuration cannot be used: endpoint, time limit, `.env` file, or no local server program. */
export class ConfigurationError extends AGBError {
  static {
    nameErrors(this, "ConfigurationError");
  }
}

/** The native part of this package is missing for this platform or does not load. */
export class NativeAddonError extends AGBError {
  static {
    nameErrors(this, "NativeAddonError");
  }
}

/** A call to the service failed. */
export class APIError extends AGBError {
  /** Id of the call, for the service's support; empty when none was given. */
  readonly requestId: string;
  /** HTTP status of the answer; absent when there was no answer. */
  readonly httpStatus?: number;

  constructor(
    message: string,
    code: AGBErrorCode,
    details: { readonly requestId: string; readonly httpStatus?: number | undefined },
    options?: { readonly cause?: unknown },
  ) {
    super(message, code, options);
    this.requestId = details.requestId;
    if (details.httpStatus !== undefined) {
      this.httpStatus = details.httpStatus;
    }
  }

  static {
    nameErrors(this, "APIError");
  }
}

/** A call failed because of the session it was for: unknown, released, or not usable. */
export class SessionError extends APIError {
  static {
    nameErrors(this, "SessionError");
  }
}

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

  static {
    nameErrors(this, "CodeExecutionError");
  }
}

/**
 * Throws when `result` is a failure, else returns it, for code that prefers exceptions:
 *
 * ```ts
 * const { session } = throwIfFailed(await agb.create(params));
 * ```
 *
 * @throws {@link AuthenticationError} on HTTP 401 and 403, {@link SessionError} when the session is the reason,
 * {@link APIError} otherwise.
 */
export function throwIfFailed<R extends ApiResult>(result: R): R {
  if (result.success) {
    return result;
  }
  const code = result.code ?? "UNKNOWN";
  if (result.httpStatus === 401 || result.httpStatus === 403) {
    throw new AuthenticationError(result.errorMessage, code);
  }
  const details = { requestId: result.requestId, httpStatus: result.httpStatus };
  throw code.startsWith("InvalidMcpSession")
    ? new SessionError(result.errorMessage, code, details)
    : new APIError(result.errorMessage, code, details);
}

/** Puts the name on the prototype, so that it is in `String(error)` and not among an instance's own properties. */
function nameErrors(type: { readonly prototype: Error }, name: string): void {
  Object.defineProperty(type.prototype, "name", { value: name, configurable: true, writable: true });
}

import type { ContextStatusData } from "./context-results.js";
import type { ApiResult } from "./results.js";
import type { Session } from "./session.js";

/** Result of {@link AGB.create} and {@link AGB.get}. */
export interface SessionResult extends ApiResult {
  /**
   * The session. Only there on success: check `success` first. (Its type is not optional, so that a program that does
   * compiles without a second check.)
   */
  readonly session: Session;
  /** The tasks that brought the contexts of `contextSync` into the session; look for `status` `Failed`. */
  readonly contexts?: ContextStatusData[];
}

import type { CallOptions } from "./call.js";
import type { AGBConfig } from "./client-options.js";
import type { ApiResult } from "./results.js";

/**
 * A way into one session for a while, without the API key: what {@link Session.browserAccess} gives on a server and
 * {@link Session.attach} takes in a page. Plain JSON; `token` is a secret of whoever it is for.
 */
export interface SessionAccess {
  readonly sessionId: string;
  readonly wsUrl: string;
  readonly linkUrl?: string;
  readonly token: string;
  /** When it ends, as in `2026-11-23T04:00:00Z`. Renewed with {@link AccessOptions.renew}. */
  readonly expiresAt: string;
  /** `run` to run code; `read` only to watch, by {@link Code.attach}. */
  readonly scope: "run" | "read";
  readonly extensions?: readonly string[];
  readonly target?: string;
}

/** Options of {@link Session.attach}. */
export interface SessionAttachOptions {
  /**
   * How the session's connections are made, as for {@link AGB}: `proxy`, `ca`, `timeoutMs` and `streaming`. In Node; a
   * page has its browser's network, and keeps the default limits. `endpoint` has no effect: the access names the service.
   */
  readonly config?: AGBConfig | undefined;
}

/** What {@link Session.browserAccess} comes to. */
export interface AccessResult extends ApiResult {
  /** Present on success. */
  readonly access?: SessionAccess;
}

/** Options of {@link Session.browserAccess}. */
export interface AccessOptions extends CallOptions {
  /**
   * What its holder may do: `run` (default) code, or only `read` what others run: watch a run with {@link Code.attach},
   * by the `run.id` that its owner hands on.
   */
  readonly scope?: "run" | "read" | undefined;
  /** How long it lasts, seconds; the service's default is 15 minutes. */
  readonly lastsS?: number | undefined;
  /** An access that is to last longer: its holder's token stays as it is, and so do its connections. */
  readonly renew?: Pick<SessionAccess, "token"> | undefined;
}

import type { NativeSession } from "./binding.js";
import { bindMethods } from "./bind-methods.js";
import type { CallOptions } from "./call.js";
import type { ContextInfoResult, ContextStatusData, ContextSyncResult } from "./context-results.js";
import { invoke } from "./invoke.js";
import { log } from "./log.js";
import { apiResult } from "./results.js";

/** Most looks of {@link ContextManager.sync}. */
const MAX_RETRIES = 150;
/** Milliseconds between two of them, at most. */
const RETRY_INTERVAL_MS = 1500;

/** The contexts that a session was created with; see {@link Session.context}. */
export class ContextManager {
  readonly #native: NativeSession;

  /** @internal */
  constructor(native: NativeSession) {
    this.#native = native;
    bindMethods(this);
  }

  /** What they are doing: of all contexts, or only what matches. */
  async info(
    contextId?: string | null,
    path?: string | null,
    taskType?: string | null,
    options?: CallOptions | null,
  ): Promise<ContextInfoResult> {
    const answer = await invoke<ContextStatusData[]>(this.#native, "context.info", { contextId, path, taskType }, options);
    const items = answer.data ?? [];
    return { ...apiResult(answer), items, data: items };
  }

  /**
   * Carries files between the session and its contexts now, and resolves when they are there.
   *
   * @param contextId Only this context, at `path`; both or neither.
   * @param mode `upload` into the context, or `download` into the session.
   * @param maxRetries How often to look whether it is done.
   * @param retryInterval Milliseconds between two looks, at most.
   * @param callback Gets the outcome, and `sync` resolves at once with `success: true`.
   */
  async sync(
    contextId?: string | null,
    path?: string | null,
    mode?: string | null,
    maxRetries: number | null = MAX_RETRIES,
    retryInterval: number | null = RETRY_INTERVAL_MS,
    callback?: ((success: boolean) => unknown) | null,
    options?: CallOptions | null,
  ): Promise<ContextSyncResult> {
    const args = { contextId, path, mode, maxRetries, retryInterval };
    const running = invoke<null>(this.#native, "context.sync", args, options).then(apiResult);
    if (typeof callback !== "function") {
      return running;
    }
    void running.then(async ({ success, errorMessage }) => {
      if (!success) {
        log("warn", `the contexts of ${this.#native.sessionId} could not be synchronized: ${errorMessage}`);
      }
      await callback(success);
    }).catch((error: unknown) => log("error", `the callback of context.sync threw: ${String(error)}`));
    return { requestId: "", success: true, errorMessage: "" };
  }

  /** Without anything that could hold a secret. */
  toJSON(): { sessionId: string } {
    return { sessionId: this.#native.sessionId };
  }
}

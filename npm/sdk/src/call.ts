import type { Answer, NativeCall } from "./binding.js";
import { checkOptionalNumber } from "./check.js";
import { checkedOr, noAnswer } from "./results.js";
import { checkedSignal, type StopSignal } from "./stop-signal.js";

/** Most milliseconds that a timer of JavaScript can wait. */
export const LONGEST_WAIT = 0x7fff_ffff;

/** Options of every call to the service. */
export interface CallOptions {
  /**
   * Ends the call when it is aborted (`AbortController.signal`): it resolves at once with `success: false` and the code
   * `CANCELLED`. What was sent by then may have been carried out; {@link AGB.create} releases what it made.
   */
  signal?: StopSignal | null | undefined;
  /**
   * Milliseconds that this call may take, if that is less than `timeoutMs` of {@link AGB} allows: then it resolves with
   * the code `TIMED_OUT`.
   */
  timeoutMs?: number | null | undefined;
}

/**
 * @internal A call that a signal can end. `abort` is what then becomes of the backend's call, which is nobody's any more.
 *
 * @throws TypeError when the signal is none; nothing is sent then.
 */
export function call<T>(
  options: CallOptions | null | undefined,
  begin: () => NativeCall<T>,
  abort: (running: NativeCall<T>) => void = (running) => running.abort?.(),
): Promise<Answer<T>> {
  const signal = checkedSignal(options?.signal);
  const limit = checkedOr(() => checkOptionalNumber("timeoutMs", options?.timeoutMs, "milliseconds"));
  if ("failure" in limit) {
    return Promise.resolve(limit.failure);
  }
  const timeoutMs = limit.value;
  if (signal === null && timeoutMs === null) {
    return begin();
  }
  return new Promise((resolve, reject) => {
    const cancelled = noAnswer("CANCELLED", "the call was cancelled; what was sent by then may have been carried out");
    if (signal?.aborted) {
      resolve(cancelled);
      return;
    }
    const running = begin();
    const end = (answer: Answer<never>): void => {
      resolve(answer);
      abort(running);
    };
    const stop = (): void => end(cancelled);
    signal?.addEventListener("abort", stop);
    const expire = (): void => end(noAnswer("TIMED_OUT", `no answer within ${timeoutMs} ms; allow more, or look whether it was carried out`));
    const timer = timeoutMs === null ? undefined : setTimeout(expire, Math.min(timeoutMs, LONGEST_WAIT));
    running.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    });
  });
}

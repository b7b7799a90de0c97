import type { Answer, NativeCall } from "./binding.js";
import { noAnswer } from "./results.js";
import { checkedSignal, type StopSignal } from "./stop-signal.js";

/** Options of every call to the service. */
export interface CallOptions {
  /**
   * Ends the call when it is aborted (`AbortController.signal`): it resolves at once with `success: false` and the code
   * `CANCELLED`. What was sent by then may have been carried out; {@link AGB.create} releases what it made.
   */
  readonly signal?: StopSignal | null | undefined;
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
  if (signal === null) {
    return begin();
  }
  return new Promise((resolve, reject) => {
    const cancelled = noAnswer("CANCELLED", "the call was cancelled; what was sent by then may have been carried out");
    if (signal.aborted) {
      resolve(cancelled);
      return;
    }
    const running = begin();
    const stop = (): void => {
      resolve(cancelled);
      abort(running);
    };
    signal.addEventListener("abort", stop);
    running.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

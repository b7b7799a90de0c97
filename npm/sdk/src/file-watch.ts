import type { NativeSession } from "./binding.js";
import { invoke } from "./invoke.js";
import { log } from "./log.js";
import { currentPlatform } from "./platform.js";
import type { FileChangeEvent } from "./file-results.js";
import type { StopSignal } from "./stop-signal.js";

/** Hears of changes below a watched directory. */
export type WatchCallback = (events: FileChangeEvent[]) => unknown;

/** Most milliseconds that a timer of JavaScript can wait. */
const LONGEST_WAIT = 0x7fff_ffff;

interface Look {
  readonly events: FileChangeEvent[];
  readonly problem: string | null;
  readonly ended: boolean;
}

/**
 * @internal Looks at a directory again and again, and calls back with changes only. Resolves when it is stopped or the
 * session is gone.
 */
export async function watch(
  native: NativeSession,
  path: string,
  callback: WatchCallback,
  intervalMs: number,
  signal: StopSignal | null,
): Promise<void> {
  for (let first = true; signal?.aborted !== true; ) {
    const { success, data, errorMessage } = await invoke<Look>(native, "file.watch", { path, first }, { signal });
    if (signal?.aborted) {
      return;
    }
    if (!success || data === null || data.ended) {
      log("warn", `watching ${path} ends: ${data?.problem ?? errorMessage}`);
      return;
    }
    if (data.problem === null) {
      first = false;
    } else {
      log("debug", `a look at ${path} failed and the watch goes on: ${data.problem}`);
    }
    await report(path, data.events, callback);
    await pause(intervalMs, signal);
  }
}

/** What a callback throws does not end its watch. */
async function report(path: string, events: FileChangeEvent[], callback: WatchCallback): Promise<void> {
  if (events.length === 0) {
    return;
  }
  try {
    await callback(events);
  } catch (error) {
    log("error", `the callback of the watch of ${path} threw: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function pause(milliseconds: number, signal: StopSignal | null): Promise<void> {
  return new Promise((resolve) => {
    const wake = currentPlatform().bindContext(() => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", wake);
      resolve();
    });
    const timer = setTimeout(wake, Math.min(milliseconds, LONGEST_WAIT));
    signal?.addEventListener("abort", wake);
    if (signal?.aborted) {
      wake();
    }
  });
}

import type { NativeSession } from "./binding.js";
import { LONGEST_WAIT } from "./call.js";
import { Changes } from "./changes.js";
import { messageOf } from "./errors.js";
import { tellsChanges } from "./extensions.js";
import { invoke } from "./invoke.js";
import { log } from "./log.js";
import { currentPlatform } from "./platform.js";
import type { FileChangeEvent } from "./file-results.js";
import type { StopSignal } from "./stop-signal.js";

/** Hears of changes below a watched directory. */
export type WatchCallback = (events: FileChangeEvent[]) => unknown;

interface Look {
  readonly events: FileChangeEvent[];
  readonly problem: string | null;
  readonly ended: boolean;
}

/**
 * @internal Calls back with changes of a directory. Resolves when it is stopped or the session is gone. Where the service
 * does not tell of changes, or not of this directory, the directory is looked at again and again.
 */
export async function watch(
  native: NativeSession,
  path: string,
  callback: WatchCallback,
  intervalMs: number,
  signal: StopSignal | null,
): Promise<void> {
  const isOver = tellsChanges(native) && (await follow(native, path, callback, signal));
  if (!isOver) {
    await poll(native, path, callback, intervalMs, signal);
  }
}

/** Passes on what the service tells. False: it has to be asked again and again. */
async function follow(native: NativeSession, path: string, callback: WatchCallback, signal: StopSignal | null): Promise<boolean> {
  const changes = new Changes(native, path, true, signal);
  try {
    await changes.open();
    for (let events; (events = await changes.next()) !== null; ) {
      await report(path, events, callback);
    }
  } catch (error) {
    if (signal?.aborted) {
      return true;
    }
    log("debug", `the service does not tell of changes below ${path}, which is looked at instead: ${messageOf(error)}`);
    return false;
  } finally {
    changes.end();
  }
  if (changes.why !== null) {
    // It may come again; a session that is gone is found out by the first look.
    log("debug", `${path} is looked at again and again: ${changes.why}`);
  }
  return changes.why === null;
}

async function poll(
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
    log("error", `the callback of the watch of ${path} threw: ${messageOf(error)}`);
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

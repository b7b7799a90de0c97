/**
 * A watch of files: changes one by one, told by the service as they happen.
 *
 * @module
 */

import type { NativeSession } from "./binding.js";
import { checkObject, checkString, describe } from "./check.js";
import type { FileWatch } from "./file-results.js";
import { loadFiles } from "./load-files.js";
import { checkedSignal, type StopSignal } from "./stop-signal.js";

/** Options of {@link FileSystem.watch}. */
export interface WatchOptions {
  /** Whether folders below are watched, too. Default `false`. */
  recursive?: boolean | undefined;
  /** Ends the watch when it is aborted. */
  signal?: StopSignal | null | undefined;
}

/**
 * @internal
 * @throws TypeError when an argument has the wrong type.
 */
export function watchFiles(native: NativeSession, path: string, options: WatchOptions | null | undefined): FileWatch {
  const given = options ?? {};
  checkObject("options", given);
  const { recursive = false } = given;
  if (typeof recursive !== "boolean") {
    throw new TypeError(`recursive must be true or false, not ${describe(recursive)}`);
  }
  const watched = checkString("path", path);
  const signal = checkedSignal(given.signal);
  const opened = loadFiles().then(({ openWatch }) => openWatch(native, watched, recursive, signal));
  const ready = opened.then((watch) => watch.ready);
  ready.catch(() => {}); // the first event's reader hears of it
  return {
    ready,
    next: async () => (await opened).next(),
    return: async () => (await opened).return(),
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

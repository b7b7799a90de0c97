/** What a page that is loaded anew needs to go on with its run: which one, how far it came, and what it has shown. */

import type { ExecutionResult } from "agbcloud-sdk";

const KEY = "agb-run";

export interface KeptRun {
  readonly id: string;
  /** Number of the last event that was shown: the run is continued behind it. */
  readonly seq: number;
  /** The end of the terminal's text. */
  readonly text: string;
  readonly results: readonly ExecutionResult[];
  readonly language: string;
  readonly program: string;
  /** When the run began, by this machine's clock. */
  readonly began: number;
}

/** Keeps what `describe` says when the page goes; nothing where it says `null`. */
export function keepWhenThePageGoes(describe: () => KeptRun | null): void {
  // What arrives from here on is not acknowledged: the service keeps it.
  addEventListener("pagehide", () => {
    const run = describe();
    if (run === null) {
      return;
    }
    try {
      sessionStorage.setItem(KEY, JSON.stringify(run));
    } catch {
      sessionStorage.setItem(KEY, JSON.stringify({ ...run, results: [] })); // the pictures are more than a page may keep
    }
  });
  // A page from the back/forward cache still has its run.
  addEventListener("pageshow", ({ persisted }) => persisted && sessionStorage.removeItem(KEY));
}

/** The run that this page had before it was loaded anew, once. */
export function takeKeptRun(): KeptRun | null {
  const kept = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  return kept === null ? null : (JSON.parse(kept) as KeptRun);
}

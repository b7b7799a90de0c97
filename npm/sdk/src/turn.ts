import { currentPlatform } from "./platform.js";

/** How long callbacks of all runs together may keep the event loop, milliseconds. */
export const BUDGET_MS = 4;
/** How long a run that delivers large batches may. A turn of the event loop costs about as much as such a batch. */
const LARGE_BUDGET_MS = 0.5;
/** After such a pause the event loop has had its chance: what comes then begins a new turn. Milliseconds. */
const PAUSE_MS = 1;

/**
 * The share of the event loop that all runs of this process have together. A run whose turn is over queues; queued
 * runs go on one after the other, a batch each, after everything else has had the loop.
 */
class Turn {
  #deadline = 0;
  /** Where a run that delivers large batches lets the event loop go on. */
  #largeDeadline = 0;
  #lastLeft = -Infinity;
  #queued: Array<() => void> = [];
  #running = false;
  #scheduled = false;

  /** Whether a run may deliver now; if not, it has to queue. */
  enter(): boolean {
    if (this.#running) {
      return true;
    }
    if (this.#queued.length > 0) {
      return false;
    }
    const now = performance.now();
    if (now - this.#lastLeft > PAUSE_MS) {
      this.#begin(now);
    }
    return now < this.#deadline;
  }

  /** A run has nothing more to deliver for now. */
  leave(): void {
    this.#lastLeft = performance.now();
  }

  /** Whether a run that has delivered a batch at `now` has to queue before the next: time is up, or others wait. */
  isOverAfterBatch(now: number, large: boolean): boolean {
    return (large && now >= this.#largeDeadline) || this.#queued.length > 0 || this.isOverAt(now);
  }

  /** Whether the turn's time is up. */
  isOverAt(now: number): boolean {
    return now >= this.#deadline;
  }

  /** Runs `task` in a later turn. */
  queue(task: () => void): void {
    this.#queued.push(task);
    this.leave();
    this.#schedule();
  }

  #begin(now: number): void {
    this.#deadline = now + BUDGET_MS;
    this.#largeDeadline = now + LARGE_BUDGET_MS;
  }

  #schedule(): void {
    if (!this.#scheduled && this.#queued.length > 0) {
      this.#scheduled = true;
      currentPlatform().defer(() => this.#runQueued());
    }
  }

  #runQueued(): void {
    this.#scheduled = false;
    this.#running = true;
    this.#begin(performance.now());
    let left = this.#queued.length; // those that queue again meanwhile have the next turn
    try {
      while (left-- > 0 && !this.isOverAt(performance.now())) {
        this.#queued.shift()?.();
      }
    } finally {
      this.#running = false;
      this.#schedule();
    }
  }
}

/** The one turn that all runs share. */
export const sharedTurn = new Turn();

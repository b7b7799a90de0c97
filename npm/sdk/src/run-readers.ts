/**
 * The two kinds of readers of a run's events: an iterator, and a stream of text.
 *
 * @module
 */

import type { Reader, RunDelivery } from "./run-delivery.js";
import type { RunEvent } from "./run-events.js";

/** Characters that a stream of text holds ready. */
const TEXT_ROOM = 64 * 1024;
/** Events that a cancelled run may still leave with an iterator that does not read them. */
const LAST_EVENTS = 1024;

/** Events for a `for await` loop. Leaving it early cancels the run. */
export class EventReader implements AsyncIterableIterator<RunEvent>, Reader {
  readonly #delivery: RunDelivery;
  #events: RunEvent[] = [];
  #at = 0;
  readonly #waiting: Array<(result: IteratorResult<RunEvent>) => void> = [];
  #isDone: boolean;

  constructor(delivery: RunDelivery) {
    this.#delivery = delivery;
    this.#isDone = delivery.hasEnded;
    delivery.join(this);
  }

  get wants(): boolean {
    return this.#waiting.length > 0;
  }

  get hasRoom(): boolean {
    return this.#at === this.#events.length;
  }

  take(events: readonly RunEvent[]): void {
    const left = this.#events.slice(this.#at);
    const last = events[0]?.type === "end" ? events : events.slice(0, Math.max(0, LAST_EVENTS - left.length));
    this.#events = left.length === 0 ? [...events] : [...left, ...last];
    this.#at = 0;
    for (let event; this.#waiting.length > 0 && (event = this.#shift()) !== null; ) {
      this.#waiting.shift()?.({ value: event, done: false });
    }
    if (this.#isDone) {
      this.#finish();
    }
  }

  next(): Promise<IteratorResult<RunEvent>> {
    const event = this.#shift();
    if (event !== null) {
      if (this.hasRoom) {
        this.#delivery.pump(); // another reader may wait for this one
      }
      return Promise.resolve({ value: event, done: false });
    }
    if (this.#isDone) {
      return Promise.resolve({ value: undefined, done: true });
    }
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#delivery.pump();
    });
  }

  /** The loop was left. */
  return(): Promise<IteratorResult<RunEvent>> {
    this.#isDone = true;
    this.#events = [];
    this.#at = 0;
    this.#delivery.leave(this);
    this.#finish();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #shift(): RunEvent | null {
    const event = this.#events[this.#at];
    if (event === undefined) {
      return null;
    }
    this.#at += 1;
    this.#isDone ||= event.type === "end";
    return event;
  }

  #finish(): void {
    this.#waiting.splice(0).forEach((resolve) => resolve({ value: undefined, done: true }));
  }
}

/** One of the program's streams. Cancelling it is leaving. */
export function textStream(delivery: RunDelivery, type: "stdout" | "stderr"): ReadableStream<string> {
  const { ReadableStream: Stream } = globalThis as unknown as { readonly ReadableStream: TextStreamType };
  let take: Reader["take"] = () => {};
  let room = (): boolean => true;
  const reader: Reader = {
    get wants() {
      return room();
    },
    get hasRoom() {
      return room();
    },
    take: (events) => take(events),
  };
  const source: TextSource = {
    start(controller) {
      room = () => (controller.desiredSize ?? 0) > 0;
      take = (events) => {
        for (const event of events) {
          if (event.type === type) {
            controller.enqueue(event.text);
          } else if (event.type === "end") {
            controller.close();
          }
        }
      };
      delivery.join(reader);
      if (delivery.hasEnded) {
        controller.close();
      }
    },
    pull: () => delivery.pump(),
    cancel: () => delivery.leave(reader),
  };
  return new Stream(source, { highWaterMark: TEXT_ROOM, size: (chunk) => chunk.length });
}

/** Of the web's streams what is used here: not every program that uses this package has their types. */
type TextStreamType = new (
  source: TextSource,
  strategy: { readonly highWaterMark: number; size(chunk: string): number },
) => ReadableStream<string>;

interface TextSource {
  start(controller: TextController): void;
  pull(): void;
  cancel(): void;
}

interface TextController {
  readonly desiredSize: number | null;
  enqueue(chunk: string): void;
  close(): void;
}

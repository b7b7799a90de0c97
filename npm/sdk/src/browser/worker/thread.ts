/**
 * What runs in the SDK's worker: the bundle of the page, with its WebSocket and its WebAssembly, driven by messages.
 *
 * @module
 */

import { browserPlatform } from "../../browser.js";
import type { Batch, NativeRun, NativeSession, RunResult } from "../../binding.js";
import type { Order, Output, SentResult, Word } from "./messages.js";

/** So many characters go in one message, or one batch of the core. Larger ones gain nothing and hold the page longer. */
const MESSAGE = 512 * 1024;
/** So many messages of a run may be on their way or not taken: enough that the page never waits for the worker. */
const AHEAD = 4;
/**
 * What comes so soon after a message waits for more, milliseconds: a message costs the page as much as reading some ten
 * KiB, and half a frame is not seen. What comes after a pause goes at once.
 */
const GATHER_MS = 8;

const binding = browserPlatform.loadBinding();
const sessions = new Map<number, NativeSession>();
const runs = new Map<number, ThreadRun>();
const encoder = new TextEncoder();
const page = globalThis as unknown as { postMessage(word: Word, transfer?: ArrayBufferLike[]): void };

/** A run, and what of it has gone to the page. */
class ThreadRun {
  readonly #number: number;
  readonly #run: NativeRun;
  #ahead = 0;
  #posted = -Infinity;
  #gathers = false;
  /** A batch is being taken, and it was woken meanwhile: taking reads, and reading may wake. */
  #takes = false;
  #woken = false;
  hasEnded = false;

  constructor(number: number, begin: (wake: () => void) => NativeRun) {
    let wake = (): void => {};
    this.#number = number;
    this.#run = begin(() => wake());
    wake = () => this.#wake();
    wake();
  }

  taken(): void {
    this.#ahead -= 1;
    this.#wake();
  }

  write(text: string | null): void {
    text === null ? this.#run.endInput() : this.#run.write(text);
  }

  /** For what is said to the run as it is. */
  get native(): NativeRun {
    return this.#run;
  }

  #wake(): void {
    if (this.#takes) {
      this.#woken = true; // one batch after the other, or the second would get the first one's text
      return;
    }
    const wait = this.#posted + GATHER_MS - performance.now();
    if (wait <= 0) {
      this.#pump();
    } else if (!this.#gathers) {
      this.#gathers = true;
      setTimeout(() => {
        this.#gathers = false;
        this.#pump();
      }, wait);
    }
  }

  #take(): Batch | null {
    for (;;) {
      this.#takes = true;
      this.#woken = false;
      const batch = this.#run.take();
      this.#takes = false;
      if (batch !== null || !this.#woken) {
        return batch;
      }
    }
  }

  #pump(): void {
    while (this.#ahead < AHEAD && !this.hasEnded) {
      const batches: Batch[] = [];
      let ended = false;
      for (let size = 0, batch: Batch | null; size < MESSAGE && !ended && (batch = this.#take()) !== null; ) {
        ended = batch.ended;
        size += batch.text.length;
        batches.push(batch);
      }
      if (batches.length === 0) {
        return;
      }
      this.#ahead += 1;
      this.#posted = performance.now();
      const output: Output = {
        run: this.#number,
        id: this.#run.id,
        bytes: encoder.encode(batches.map(({ text }) => text).join("")),
        marks: Uint32Array.from(batches.flatMap(({ marks }) => [...marks])),
        stamps: batches[0]!.stamps === null ? null : Float64Array.from(batches.flatMap(({ stamps }) => [...(stamps ?? [])])),
        events: batches.flatMap(({ events }) => events ?? []),
        ended,
        result: ended ? toSend(this.#run.result()) : null,
      };
      const { bytes, marks, stamps, result } = output;
      const buffers = [bytes, marks, stamps, result?.logs.bytes, result?.logs.marks].flatMap((part) => part?.buffer ?? []);
      page.postMessage({ say: "output", output }, buffers);
      if (ended) {
        this.hasEnded = true;
        runs.delete(this.#number);
        return;
      }
    }
  }
}

function toSend(result: RunResult | null): SentResult | null {
  if (result === null) {
    return null;
  }
  const { text, marks } = result.logs();
  return { ...result, logs: { bytes: encoder.encode(text), marks } };
}

function session(number: number): NativeSession {
  const found = sessions.get(number);
  if (found === undefined) {
    throw new Error("the page speaks of a session that it has left");
  }
  return found;
}

async function answer(call: number, work: () => Promise<unknown>): Promise<void> {
  try {
    page.postMessage({ say: "answer", call, value: await work() });
  } catch (error) {
    page.postMessage({ say: "answer", call, fault: error instanceof Error ? error.message : String(error) });
  }
}

function obey(order: Order): void {
  switch (order.do) {
    case "load":
      return void answer(order.call, () => browserPlatform.initialize({ wasm: order.wasm as object | undefined }));
    case "log":
      return binding.setLogger(order.level, (level, target, message) => page.postMessage({ say: "log", level, target, message }));
    case "attach":
      sessions.set(order.session, binding.attach(order.access));
      return;
    case "leave":
      sessions.delete(order.session);
      return;
    case "invoke":
      return void answer(order.call, () => session(order.session).invoke(order.name, order.args));
    case "transfer":
      return void answer(order.call, () => session(order.session).transfer(order.name, order.args, order.bytes));
    case "begin": {
      const { by, request } = order.begin;
      return begin(order.run, (wake) => session(order.session)[by](request as never, wake));
    }
    case "taken":
      return runs.get(order.run)?.taken();
    case "write":
      return runs.get(order.run)?.write(order.text);
    case "cancel":
      return runs.get(order.run)?.native.cancel();
    case "signal":
      return runs.get(order.run)?.native.signal(order.name);
    case "resize":
      return runs.get(order.run)?.native.resize(order.cols, order.rows);
    case "leaveRun":
      return runs.get(order.run)?.native.leave();
  }
}

function begin(number: number, start: (wake: () => void) => NativeRun): void {
  const run = new ThreadRun(number, start);
  if (!run.hasEnded) {
    runs.set(number, run);
  }
}

addEventListener("message", ({ data }: MessageEvent<Order>) => obey(data));

/**
 * What runs in the SDK's worker: the bundle of the page, with its WebSocket and its WebAssembly, driven by messages.
 *
 * @module
 */

import { browserPlatform } from "../../browser.js";
import type { Batch, NativeRun, NativeSession, RunResult } from "../../binding.js";
import type { Order, Output, Word } from "./messages.js";

/** So many characters go in one message, or one batch. Larger ones gain nothing and hold the page longer. */
const MESSAGE = 128 * 1024;
/** So many messages of a run may be on their way or not taken: enough that the page never waits for the worker. */
const AHEAD = 4;

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

  constructor(number: number, begin: (wake: () => void) => NativeRun) {
    let pump = (): void => {};
    this.#number = number;
    this.#run = begin(() => pump());
    pump = () => this.#pump();
    pump();
  }

  taken(): void {
    this.#ahead -= 1;
    this.#pump();
  }

  write(text: string | null): void {
    text === null ? this.#run.endInput() : this.#run.write(text);
  }

  cancel(): void {
    this.#run.cancel();
  }

  #pump(): void {
    while (this.#ahead < AHEAD && runs.get(this.#number) !== null) {
      const texts: string[] = [];
      const batches: Array<Output["batches"][number]> = [];
      let ended = false;
      for (let size = 0, batch: Batch | null; size < MESSAGE && !ended && (batch = this.#run.take()) !== null; ) {
        const { text, marks, stamps, events } = batch;
        ended = batch.ended;
        size += text.length;
        texts.push(text);
        batches.push({ length: text.length, marks, stamps, events, ended });
      }
      if (batches.length === 0) {
        return;
      }
      this.#ahead += 1;
      const bytes = encoder.encode(texts.join(""));
      const result = ended ? withoutLogs(this.#run.result()) : null;
      const output: Output = { run: this.#number, id: this.#run.id, bytes, batches, result };
      page.postMessage({ say: "output", output }, [bytes.buffer]);
      if (ended) {
        runs.delete(this.#number);
        return;
      }
    }
  }
}

function withoutLogs(result: RunResult | null): Output["result"] {
  if (result === null) {
    return null;
  }
  const { logs: _, ...rest } = result;
  return rest;
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
    case "callTool":
      return void answer(order.call, () => session(order.session).callTool(order.name, order.args));
    case "listTools":
      return void answer(order.call, () => session(order.session).listTools());
    case "stream":
      return begin(order.run, (wake) => session(order.session).stream(order.request, wake));
    case "follow":
      return begin(order.run, (wake) => session(order.session).attach(order.request, wake));
    case "taken":
      return runs.get(order.run)?.taken();
    case "write":
      return runs.get(order.run)?.write(order.text);
    case "cancel":
      return runs.get(order.run)?.cancel();
  }
}

function begin(number: number, start: (wake: () => void) => NativeRun): void {
  runs.set(number, new ThreadRun(number, start));
}

addEventListener("message", ({ data }: MessageEvent<Order>) => obey(data));

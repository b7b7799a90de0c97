/**
 * The binding whose sessions live in a worker: what comes of a run is read there and comes here as bytes.
 *
 * @module
 */

import type {
  Answer,
  AttachRequest,
  Batch,
  Binding,
  CommandRequest,
  NativeLogLevel,
  NativeRun,
  RunRequest,
  RunResult,
  Transferred,
} from "../../binding.js";
import { NativeAddonError } from "../../errors.js";
import { brokenRun } from "../../execution-result.js";
import type { InitializeOptions } from "../../initialize-options.js";
import { VERSION } from "../../version.js";
import { Guest } from "../guest.js";
import { cancelledRun } from "../run.js";
import type { Begin, Order, Output, Word } from "./messages.js";

type WithoutCall<T> = T extends { readonly call: number } ? Omit<T, "call"> : never;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The one worker of this page, and what is asked of it. */
class Thread {
  readonly #worker: Worker;
  readonly #calls = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  readonly runs = new Map<number, WorkerRun>();
  #last = 0;

  constructor() {
    this.#worker = new Worker(new URL("./worker-thread.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<Word>) => this.#hear(data);
    this.#worker.onerror = ({ message }) => this.#fail(message);
    if (logger !== null) {
      this.say({ do: "log", level: logger.level });
    }
  }

  /** A number that nothing else has. */
  number(): number {
    return (this.#last += 1);
  }

  say(order: Order): void {
    this.#worker.postMessage(order);
  }

  ask(order: WithoutCall<Order>): Promise<unknown> {
    const call = this.number();
    return new Promise((resolve, reject) => {
      this.#calls.set(call, { resolve, reject });
      this.say({ ...order, call } as Order);
    });
  }

  #hear(word: Word): void {
    switch (word.say) {
      case "output":
        return this.runs.get(word.output.run)?.hear(word.output);
      case "log":
        return logger?.sink(word.level, word.target, word.message);
      case "answer": {
        const call = this.#calls.get(word.call);
        this.#calls.delete(word.call);
        return word.fault === undefined ? call?.resolve(word.value) : call?.reject(new NativeAddonError(word.fault, "NATIVE_ADDON_MISSING"));
      }
    }
  }

  /** The worker cannot be loaded, or broke. The next session gets another. */
  #fail(reason: string | undefined): void {
    const words = `the worker of agbcloud-sdk cannot be used: ${reason || "worker-thread.js was not found beside worker.js, or a Content-Security-Policy forbids it (worker-src)"}`;
    thread = null;
    this.#calls.forEach(({ reject }) => reject(new NativeAddonError(words, "NATIVE_ADDON_MISSING")));
    this.#calls.clear();
    this.runs.forEach((run) => run.fail(words));
    this.runs.clear();
    this.#worker.terminate();
  }
}

let thread: Thread | null = null;
let logger: { readonly level: NativeLogLevel; readonly sink: Parameters<Binding["setLogger"]>[1] } | null = null;

function theThread(): Thread {
  thread ??= new Thread();
  return thread;
}

/** Loads the WebAssembly in the worker now, for `initialize`. */
export async function loadNow({ wasm }: InitializeOptions): Promise<void> {
  const source = await wasm;
  // What a worker cannot be sent it gets as what it stands for.
  const sent = source instanceof URL ? source.href : source instanceof Response ? await source.arrayBuffer() : source;
  await theThread().ask({ do: "load", wasm: typeof sent === "string" ? new URL(sent, document.baseURI).href : sent });
}

/** A run in the worker. */
class WorkerRun implements NativeRun {
  id = "";
  readonly #thread: Thread;
  readonly #number: number;
  readonly #wake: () => void;
  /** What has come and was not taken. */
  readonly #batches: Batch[] = [];
  #result: RunResult | null = null;
  /** What the worker is told when the task that started the program is over. */
  #orders: Order[] | null = null;

  constructor(thread: Thread, number: number, wake: () => void, order: Order & { readonly do: "begin" }) {
    this.#thread = thread;
    this.#number = number;
    this.#wake = wake;
    thread.runs.set(number, this);
    if (order.begin.by === "attach" || order.begin.by === "attachCommand") {
      this.#say(order); // it is going on: to cancel it is to say so
    } else {
      this.#orders = [order];
      queueMicrotask(() => this.#release());
    }
  }

  /** Starts the program, unless it was cancelled within the task that began it, as by React's StrictMode. */
  #release(): void {
    const orders = this.#orders ?? [];
    this.#orders = null;
    orders.forEach((order) => this.#say(order));
  }

  hear({ id, bytes, marks, stamps, events, ended, result }: Output): void {
    this.id = id;
    this.#batches.push({ text: decoder.decode(bytes), marks, stamps, events, ended });
    if (result !== null) {
      this.#thread.runs.delete(this.#number);
      const { bytes, marks } = result.logs;
      this.#result = { ...result, logs: () => ({ text: decoder.decode(bytes), marks }) };
    }
    this.#wake();
  }

  fail(words: string): void {
    this.#end({ ...brokenRun(words), errorMessage: words });
  }

  #end(result: RunResult): void {
    this.#result = result;
    this.#batches.push({ text: "", marks: new Uint32Array(0), stamps: null, events: null, ended: true });
    this.#wake();
  }

  take(): Batch | null {
    const batch = this.#batches.shift();
    if (batch === undefined) {
      return null;
    }
    if (!batch.ended) {
      this.#say({ do: "taken", run: this.#number });
    }
    return batch;
  }

  cancel(): void {
    if (this.#orders === null) {
      this.#say({ do: "cancel", run: this.#number });
    } else if (this.#thread.runs.delete(this.#number)) {
      this.#end(cancelledRun());
    }
  }

  write(text: string): void {
    this.#say({ do: "write", run: this.#number, text });
  }

  endInput(): void {
    this.#say({ do: "write", run: this.#number, text: null });
  }

  signal(name: string): void {
    this.#say({ do: "signal", run: this.#number, name });
  }

  resize(cols: number, rows: number): void {
    this.#say({ do: "resize", run: this.#number, cols, rows });
  }

  leave(): void {
    this.#say({ do: "leaveRun", run: this.#number });
  }

  result(): RunResult | null {
    return this.#result;
  }

  #say(order: Order): void {
    if (this.#orders !== null) {
      this.#orders.push(order);
    } else if (this.#thread.runs.has(this.#number)) {
      this.#thread.say(order);
    }
  }
}

/** The worker may forget its side of a session that the page has forgotten. */
const forgotten = new FinalizationRegistry<() => void>((leave) => leave());

class WorkerSession extends Guest {
  readonly #thread = theThread();
  readonly #number = this.#thread.number();

  constructor(access: string) {
    super(access);
    const [owner, session] = [this.#thread, this.#number];
    owner.say({ do: "attach", session, access });
    forgotten.register(this, () => owner.say({ do: "leave", session }));
  }

  protected call(name: string, args: string): Promise<Answer<string>> {
    return this.#thread.ask({ do: "invoke", session: this.#number, name, args }) as Promise<Answer<string>>;
  }

  transfer(name: string, args: string, bytes: Uint8Array | null): Promise<Answer<Transferred>> {
    return this.#thread.ask({ do: "transfer", session: this.#number, name, args, bytes }) as Promise<Answer<Transferred>>;
  }

  stream(request: RunRequest, wake: () => void): NativeRun {
    return this.#begin({ by: "stream", request }, wake);
  }

  command(request: CommandRequest, wake: () => void): NativeRun {
    return this.#begin({ by: "command", request }, wake);
  }

  attach(request: AttachRequest, wake: () => void): NativeRun {
    return this.#begin({ by: "attach", request }, wake);
  }

  attachCommand(request: AttachRequest, wake: () => void): NativeRun {
    return this.#begin({ by: "attachCommand", request }, wake);
  }

  #begin(begin: Begin, wake: () => void): NativeRun {
    const number = this.#thread.number();
    return new WorkerRun(this.#thread, number, wake, { do: "begin", session: this.#number, run: number, begin });
  }
}

/** The binding that `worker.ts` plugs in. */
export const workerBinding: Binding = {
  version: VERSION,
  Client: class {
    constructor() {
      throw new Error("agbcloud-sdk/worker has no AGB: import it from agbcloud-sdk");
    }
  } as unknown as Binding["Client"],
  attach: (access) => new WorkerSession(access),
  setLogger(level, sink) {
    logger = { level, sink };
    thread?.say({ do: "log", level });
  },
};

import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { AGBError, CodeExecutionError, CodeRun, type RunEvent, type Session } from "../src/index.js";
import { FakeBackend, type FakeRun, type FakeSession, type Piece, runResult } from "./fake-binding.js";

const backend = new FakeBackend().plug();
const NONE = { text: null, html: null, markdown: null, png: null, jpeg: null, svg: null, latex: null, json: null, chart: null };
const SHOWN = { ...NONE, text: "42", isMainResult: true };
const BOOM = { name: "ValueError", value: "boom", traceback: "Traceback …" };
let session: Session;
let fake: FakeSession;

beforeEach(async () => {
  ({ session, fake } = await backend.newSession());
});

function started(at = 0): FakeRun {
  const run = fake.runs[at];
  assert(run);
  return run;
}

async function all(run: CodeRun): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const event of run) {
    events.push(event);
  }
  return events;
}

/** Enough turns for everything that is on its way. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i += 1) {
    await turn();
  }
}

/** One batch of 1 KiB each. */
function flood(run: FakeRun, batches: number): void {
  for (let i = 0; i < batches; i += 1) {
    run.push({ out: "x".repeat(1024), seq: i + 1 });
  }
}

describe("events", () => {
  it("come in order, typed, with their numbers and times, and end with the result", async () => {
    const run = session.code.stream("code", "python", { timeoutS: 5, logLimit: 0 });
    assert(run instanceof CodeRun);
    assert.deepEqual(fake.requests, [{ code: "code", language: "python", timeoutS: 5, logLimit: 0, resultLimit: null, stamps: true, stdin: true }]);
    assert.equal(run.id, started().id);
    started().push({ out: "1 你好", seq: 1, time: 1000 }, { err: "2", seq: 2, time: 1001, background: true });
    started().push({ result: SHOWN, seq: 3 }, { prompt: "name? ", seq: 4 }, { prompt: "key? ", password: true, seq: 4 }, { lost: "cut", seq: 4 }, { found: true, seq: 4 }, { error: BOOM, seq: 5, time: 1003 });
    started().end([{ out: "6", seq: 6 }], runResult({ success: false, status: "failed", error: BOOM, errorMessage: "boom", seq: 7, time: 1007 }));
    const events = await all(run);
    const result = await run.result;
    const [lost, raised] = events.filter((event) => event.type === "error");
    assert.deepEqual(events, [
      { type: "stdout", text: "1 你好", background: false, seq: 1, time: 1000 },
      { type: "stderr", text: "2", background: true, seq: 2, time: 1001 },
      { type: "result", result: { text: "42", isMainResult: true }, seq: 3 },
      { type: "inputRequest", prompt: "name? ", seq: 4 },
      { type: "inputRequest", prompt: "key? ", password: true, seq: 4 },
      lost,
      { type: "reconnected", seq: 4 },
      raised,
      { type: "stdout", text: "6", background: false, seq: 6 },
      { type: "end", result, seq: 7, time: 1007 },
    ]);
    assert(lost?.type === "error" && raised?.type === "error");
    assert.deepEqual([lost.error.code, lost.error.message, lost.seq], ["CONNECTION_BROKEN", "cut", 4]);
    assert(raised.error instanceof CodeExecutionError);
    assert.deepEqual([raised.error.name, raised.time], ["ValueError", 1003]);
    assert.equal(result.status, "failed");
  });

  it("are held back while nobody asks for them, and by the slowest reader", async () => {
    const run = session.code.stream("code", "python");
    flood(started(), 20);
    await settle();
    assert.equal(started().batches, 0, "nobody reads");
    const [quick, slow] = [run[Symbol.asyncIterator](), run[Symbol.asyncIterator]()];
    for (let i = 0; i < 5; i += 1) {
      void quick.next();
    }
    await settle();
    assert.equal(started().batches, 1, "the slow one has one that it has not read");
    await slow.next();
    await settle();
    assert.equal(started().batches, 2);
    started().end();
    await Promise.all([quick.return?.(), slow.return?.()]);
  });

  it("leave the event loop its turns", async () => {
    const run = session.code.stream("code", "python");
    flood(started(), 5_000);
    started().end();
    let turns = 0;
    let over = false;
    void (async () => {
      while (!over) {
        await turn();
        turns += 1;
      }
    })();
    let count = 0;
    for await (const event of run) {
      count += event.type === "stdout" ? 1 : 0;
      for (const until = performance.now() + 0.02; performance.now() < until; );
    }
    over = true;
    assert.equal(count, 5_000);
    assert(turns > 5, `${turns} turns`);
  });

  it("that come between two calls of next are not lost", async () => {
    const run = session.code.stream("code", "python");
    const reader = run[Symbol.asyncIterator]();
    const first = reader.next();
    started().push({ out: "a" }, { out: "b" });
    const textOf = (event: RunEvent): string => (event.type === "stdout" ? event.text : event.type);
    const texts = [await first, await reader.next()].map(({ value }) => textOf(value));
    started().end([{ out: "c" }]);
    for (let next; !(next = await reader.next()).done; ) {
      texts.push(textOf(next.value));
    }
    assert.deepEqual(texts, ["a", "b", "c", "end"]);
    assert.equal((await reader.next()).done, true);
  });
});

describe("leaving", () => {
  it("a loop by break cancels the run", async () => {
    const run = session.code.stream("code", "python");
    started().push({ out: "a" });
    for await (const event of run) {
      assert.equal(event.type, "stdout");
      break;
    }
    assert.equal(started().cancels, 1);
    assert.equal((await run.result).status, "cancelled");
  });

  it("a loop by an exception cancels the run, and the exception is the caller's", async () => {
    const run = session.code.stream("code", "python");
    started().push({ out: "a" });
    await assert.rejects(async () => {
      for await (const _ of run) {
        throw new RangeError("enough");
      }
    }, RangeError);
    assert.equal(started().cancels, 1);
  });

  it("by one of two readers does not", async () => {
    const run = session.code.stream("code", "python");
    const text = run.stdout.getReader();
    started().push({ out: "a" });
    for await (const _ of run) {
      break;
    }
    assert.equal(started().cancels, 0);
    assert.equal((await text.read()).value, "a");
    await text.cancel();
    assert.equal(started().cancels, 1);
  });

  it("a block of `await using` cancels, and waits until that is confirmed", async () => {
    const run = session.code.stream("code", "python");
    let confirm = (): void => {};
    started().onCancel = () => (confirm = () => started().end([], runResult({ success: false, status: "cancelled" })));
    let left = false;
    const leaving = run[Symbol.asyncDispose]().then(() => (left = true));
    await settle();
    assert.deepEqual([started().cancels, left], [1, false]);
    confirm();
    await leaving;
  });

  it("after the end does nothing", async () => {
    const run = session.code.stream("code", "python");
    started().end();
    await all(run);
    await run.cancel();
    await run[Symbol.asyncDispose]();
    assert.equal((await run.result).status, "finished");
    assert.deepEqual(await all(run), []);
  });
});

describe("cancel", () => {
  it("settles although nobody reads on; what is unread is bounded, and the end is there", async () => {
    const run = session.code.stream("code", "python");
    const reader = run[Symbol.asyncIterator]();
    started().push({ out: "first" });
    await reader.next();
    started().onCancel = () => {};
    const cancelled = run.cancel();
    flood(started(), 3_000);
    started().end([], runResult({ success: false, status: "cancelled" }));
    await cancelled;
    const rest: RunEvent[] = [];
    for (let next; !(next = await reader.next()).done; ) {
      rest.push(next.value);
    }
    assert.equal(rest.at(-1)?.type, "end");
    assert(rest.length < 2_000, `${rest.length} events were kept`);
  });

  it("by a signal, before and after", async () => {
    const controller = new AbortController();
    const runs = [AbortSignal.abort(), controller.signal].map((signal) => session.code.stream("code", "python", { signal }));
    assert.equal(started().cancels, 0, "the first is never sent");
    controller.abort();
    assert.equal(started().cancels, 1);
    assert.deepEqual(await Promise.all(runs.map(async (run) => (await run.result).status)), ["cancelled", "cancelled"]);
    assert.throws(() => session.code.stream("code", "python", { signal: {} as never }), TypeError);
  });
});

describe("the result alone", () => {
  it("lets the events go by, and tells a late reader so", async () => {
    const run = session.code.stream("code", "python");
    const result = run.result;
    flood(started(), 10);
    await settle();
    assert.equal(started().batches, 10);
    assert.throws(() => run[Symbol.asyncIterator](), /gone by/);
    started().end();
    assert.equal((await result).status, "finished");
    assert.throws(() => run[Symbol.asyncIterator](), /gone by/, "after the end as well");
    assert.throws(() => run.stdout, /gone by/);
    await assert.rejects(async () => {
      for await (const event of run) {
        assert.fail(event.type);
      }
    }, TypeError);
  });

  it("after all was read leaves nothing to another reader, and is no mistake", async () => {
    const run = session.code.stream("code", "python");
    const reading = all(run);
    started().push({ out: "a" });
    started().end();
    assert.deepEqual((await reading).map(({ type }) => type), ["stdout", "end"]);
    await run.result;
    assert.deepEqual(await all(run), []);
    assert.equal((await run.stdout.getReader().read()).done, true);
  });

  it("asked for before reading begins takes nothing away", async () => {
    const run = session.code.stream("code", "python");
    const result = run.result;
    started().push({ out: "a" });
    const events = all(run);
    started().end();
    await result;
    assert.deepEqual((await events).map(({ type }) => type), ["stdout", "end"]);
  });

  it("is there when the backend throws", async () => {
    const events: string[] = [];
    const run = session.code.stream("code", "python", { onError: (error) => events.push(error.message) });
    started().push({ out: "a" });
    started().fault = new Error("panicked");
    assert.deepEqual((await all(run)).map(({ type }) => type), ["end"]);
    assert.match((await run.result).errorMessage, /panicked/);
    assert.match(events.join(), /panicked/);
    fake.onStream = () => {
      throw new Error("no runtime");
    };
    assert.equal((await session.code.stream("code", "python").result).status, "interrupted");
  });
});

describe("streams of text", () => {
  it("give each what is its own, and close at the end", async () => {
    const run = session.code.stream("code", "python");
    const read = async (stream: ReadableStream<string>): Promise<string> => {
      let text = "";
      const reader = stream.getReader();
      for (let part; !(part = await reader.read()).done; ) {
        text += part.value;
      }
      return text;
    };
    assert.equal(run.stdout, run.stdout);
    const texts = Promise.all([read(run.stdout), read(run.stderr)]);
    started().push({ out: "1" }, { err: "a" });
    started().push({ out: "2" });
    started().end([{ err: "b" }]);
    assert.deepEqual(await texts, ["12", "ab"]);
    assert.equal((await run.result).status, "finished");
  });

  it("hold the program back while they are full", async () => {
    const run = session.code.stream("code", "python");
    const reader = run.stdout.getReader();
    flood(started(), 1_000);
    await settle();
    const held = started().batches;
    assert(held < 100, `${held} batches were taken`);
    for (let i = 0; i < 50; i += 1) {
      await reader.read();
    }
    await settle();
    assert(started().batches > held);
    await reader.cancel();
  });
});

describe("input", () => {
  it("goes to the program in order", () => {
    const run = session.code.stream("code", "python");
    run.write("Ada\n");
    run.write("");
    run.end();
    assert.deepEqual(started().input, ["Ada\n", "", null]);
    assert.throws(() => run.write(1 as never), TypeError);
  });

  it("is refused where the service takes none", () => {
    fake.extensions = [];
    const run = session.code.stream("code", "python");
    assert.throws(() => run.write("x"), (error) => error instanceof AGBError && error.code === "NOT_OFFERED");
    assert.throws(() => run.end(), AGBError);
  });
});

describe("callbacks beside the events", () => {
  it("get results and errors in order, and are waited for", async () => {
    const seen: string[] = [];
    let release = (): void => {};
    const run = session.code.stream("code", "python", {
      onResult: ({ text }) => {
        seen.push(`result ${text}`);
        return new Promise<void>((resolve) => (release = resolve));
      },
      onError: (error) => seen.push(`error ${error.code}`),
    });
    started().push({ result: SHOWN }, { lost: "cut" }, { found: true });
    started().push({ out: "next" });
    const events = all(run);
    await settle();
    assert.deepEqual([seen, started().batches], [["result 42"], 1]);
    release();
    await settle();
    started().end();
    await events;
    assert.deepEqual(seen, ["result 42", "error CONNECTION_BROKEN"]);
  });

  it("stop the run when they throw, and the result says so", async () => {
    const run = session.code.stream("code", "python", {
      onResult: () => {
        throw new Error("cannot show it");
      },
    });
    started().push({ result: SHOWN }, { out: "x" });
    const result = await run.result;
    assert.equal(started().cancels, 1);
    assert.deepEqual([result.status, result.error?.name], ["cancelled", "CallbackError"]);
    assert.match(result.errorMessage, /onResult.*cannot show it/);
  });
});

describe("attach", () => {
  it("asks for what is behind an event", async () => {
    const run = session.code.attach("abc", { afterSeq: 7, logLimit: 0 });
    session.code.attach("abc");
    assert.deepEqual(fake.attached, [
      { id: "abc", afterSeq: 7, logLimit: 0, resultLimit: null, stamps: true },
      { id: "abc", afterSeq: 0, logLimit: null, resultLimit: null, stamps: true },
    ]);
    started().end([{ out: "8", seq: 8 }] satisfies Piece[], runResult({ seq: 9 }));
    assert.deepEqual((await all(run)).map(({ seq }) => seq), [8, 9]);
  });

  it("refuses what cannot be meant", () => {
    const attach = session.code.attach.bind(session.code) as (...args: unknown[]) => unknown;
    const stream = session.code.stream.bind(session.code) as (...args: unknown[]) => unknown;
    for (const [call, message] of [
      [() => attach(""), /id must be a non-empty string/],
      [() => attach("a", { afterSeq: -1 }), /afterSeq must be a whole number/],
      [() => attach("a", { timeoutS: 1 }), /no option timeoutS/],
      [() => stream(1, "python"), /code must be a string/],
      [() => stream("1", "python", 60), /options must be an object, not 60/],
      [() => stream("1", "python", { onStdout: () => {} }), /code.stream has no option onStdout; it has timeoutS/],
      [() => stream("1", "python", { onResult: 1 }), /onResult must be a function/],
      [() => stream("1", "python", { timeoutS: 0 }), /timeoutS/],
    ] as const) {
      assert.throws(call, (error) => error instanceof TypeError && message.test(error.message));
    }
    assert.deepEqual([fake.requests, fake.attached], [[], []]);
  });
});

/** What the compiler has to know; never called. */
export async function types(run: CodeRun): Promise<void> {
  for await (const event of run) {
    switch (event.type) {
      case "stdout":
      case "stderr":
        void (event.text satisfies string);
        // @ts-expect-error output has no prompt
        void event.prompt;
        break;
      case "result":
        void (event.result.isMainResult satisfies boolean);
        break;
      case "error":
        void (event.error satisfies AGBError);
        break;
      case "inputRequest":
        void (event.prompt satisfies string);
        break;
      case "reconnected":
        break;
      case "end":
        void (event.result.status satisfies "finished" | "failed" | "timeout" | "cancelled" | "killed" | "interrupted");
        break;
      default:
        event satisfies never;
    }
    void (event.seq satisfies number);
  }
  void (run.stdout satisfies ReadableStream<string>);
}

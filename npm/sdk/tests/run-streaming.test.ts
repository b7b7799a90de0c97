import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { beforeEach, describe, it } from "node:test";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { AGBError, CodeExecutionError, type Session, setLogger } from "../src/index.js";
import { nodePlatform } from "../src/node/platform.js";
import { FakeBackend, type FakeRun, type FakeSession, runResult } from "./fake-binding.js";

const backend = new FakeBackend().plug();
const BOOM = { name: "ValueError", value: "boom", traceback: "Traceback …" };
let session: Session;
let fake: FakeSession;

beforeEach(async () => {
  ({ session, fake } = await backend.newSession());
});

function started(at = 0): FakeRun {
  const run = fake.runs[at];
  assert(run, "the run was not started over the stream");
  return run;
}

describe("the two forms of the call", () => {
  it("streams with the documented positional arguments", async () => {
    const seen: string[] = [];
    const running = session.code.run("code", "python", 30, true, (c) => seen.push(`out:${c}`), (c) => seen.push(`err:${c}`), (e) => seen.push(`error:${e}`));
    started().push({ out: "a" }, { err: "b" });
    started().end([{ out: "c" }]);
    const result = await running;
    assert.deepEqual(seen, ["out:a", "err:b", "out:c"]);
    assert.equal(result.success, true);
    assert.equal(result.requestId, started().id);
    assert.deepEqual(fake.requests, [{ code: "code", language: "python", timeoutS: 30, logLimit: null, resultLimit: null, stamps: false, stdin: false }]);
  });

  it("streams with the options object fourth", async () => {
    const seen: string[] = [];
    const running = session.code.run("code", "python", 60, { streamBeta: true, onStdout: (c) => seen.push(c), logLimit: 0, resultLimit: 1 });
    started().end([{ out: "a" }]);
    await running;
    assert.deepEqual(seen, ["a"]);
    assert.equal(fake.requests[0]?.logLimit, 0);
    assert.equal(fake.requests[0]?.resultLimit, 1);
  });

  it("streams when there is a callback and streamBeta is left out, in both forms", async () => {
    const first = session.code.run("code", "python", undefined, { onStderr: () => {} });
    const second = session.code.run("code", "python", undefined, undefined, () => {});
    started(0).end();
    started(1).end();
    await Promise.all([first, second]);
    assert.equal(fake.requests[0]?.timeoutS, 60);
  });

  it("streams for a signal, and stops the run when that is aborted, before or after", async () => {
    const before = AbortSignal.abort();
    const controller = new AbortController();
    const first = session.code.run("code", "python", 60, { signal: before });
    const second = session.code.run("code", "python", 60, { signal: controller.signal });
    assert.equal(started().cancels, 0, "the first is never sent");
    controller.abort();
    assert.deepEqual([started().cancels, fake.requests.length], [1, 1]);
    assert.equal((await first).error?.name, "Cancelled");
    assert.equal((await second).error?.name, "Cancelled");
    await assert.rejects(session.code.run("code", "python", 60, { signal: {} as never }), TypeError);
  });

  it("streams without any callback when asked to", async () => {
    const running = session.code.run("code", "python", 60, true);
    started().end([{ out: "nobody hears it" }]);
    assert.equal((await running).success, true);
  });

  it("does not stream when told not to, and says that the callbacks are for nothing", async () => {
    const warnings: string[] = [];
    setLogger({ error() {}, warn: (message) => warnings.push(message), info() {}, debug() {} });
    await session.code.run("code", "python", 60, false, () => assert.fail("called"));
    setLogger(null);
    assert.equal(fake.runs.length, 0);
    assert.match(warnings.join(), /streamBeta is false/);
  });

  it("starts the run before the call returns", () => {
    void session.code.run("code", "python", 60, true);
    assert.equal(fake.runs.length, 1);
    started().end();
  });
});

describe("delivery", () => {
  it("keeps the order across batches, streams and events, and slices by UTF-16 units", async () => {
    const seen: string[] = [];
    const running = session.code.run("code", "python", 60, true, (c) => seen.push(c), (c) => seen.push(c), (e) => seen.push(e.message));
    started().push({ out: "1 你好" }, { err: "2 👩‍🚀" }, { error: { name: "A", value: "3", traceback: "" } }, { out: "" }, { out: "4" });
    started().push({ error: { name: "B", value: "5", traceback: "" } });
    await turn();
    started().end([{ err: "6" }, { out: "7" }]);
    await running;
    assert.deepEqual(seen, ["1 你好", "2 👩‍🚀", "3", "", "4", "5", "6", "7"]);
  });

  it("hears a wake that comes before stream() has returned", async () => {
    const seen: string[] = [];
    fake.onStream = (run) => {
      run.end([{ out: "early" }]);
      run.wake();
    };
    await session.code.run("code", "python", 60, true, (c) => seen.push(c));
    assert.deepEqual(seen, ["early"]);
  });

  it("awaits each promise before the next chunk, and takes nothing meanwhile", async () => {
    const seen: string[] = [];
    const running = session.code.run("code", "python", 60, true, async (chunk) => {
      seen.push(`+${chunk}`);
      await sleep(5);
      seen.push(`-${chunk}`);
    });
    const run = started();
    run.push({ out: "a" }, { out: "b" });
    while (seen.length === 0) await turn();
    const takes = run.takes;
    run.push({ out: "c" });
    run.wake(); // a second wake changes nothing
    await turn();
    assert.equal(run.takes, takes, "took although a promise is pending");
    run.end([{ out: "d" }]);
    await running;
    assert.deepEqual(seen, ["+a", "-a", "+b", "-b", "+c", "-c", "+d", "-d"]);
  });

  it("awaits any thenable", async () => {
    const seen: string[] = [];
    const thenable = { then: (resolve: () => void) => void setTimeout(() => (seen.push("settled"), resolve()), 2) };
    const running = session.code.run("code", "python", 60, true, (chunk) => (seen.push(chunk), thenable));
    started().end([{ out: "a" }, { out: "b" }]);
    await running;
    assert.deepEqual(seen, ["a", "settled", "b", "settled"]);
  });

  it("takes other returned values for what they are: nothing", async () => {
    const running = session.code.run("code", "python", 60, true, () => ({ then: "not a function" }));
    started().end([{ out: "a" }, { out: "b" }]);
    assert.equal((await running).success, true);
  });

  it("lets a slow callback slow only its own run", async () => {
    const seen: string[] = [];
    let release = (): void => {};
    const slow = session.code.run("slow", "python", 60, true, () => new Promise<void>((resolve) => (release = resolve)));
    const quick = session.code.run("quick", "python", 60, true, (c) => seen.push(c));
    started(0).end([{ out: "stuck" }]);
    started(1).push({ out: "1" });
    await turn();
    started(1).end([{ out: "2" }]);
    await quick;
    assert.deepEqual(seen, ["1", "2"]);
    release();
    assert.equal((await slow).success, true);
  });

  it("allows a callback to start another run", async () => {
    const seen: string[] = [];
    let inner: Promise<unknown> | null = null;
    const outer = session.code.run("outer", "python", 60, true, (chunk) => {
      seen.push(chunk);
      inner ??= session.code.run("inner", "python", 60, true, (c) => seen.push(c));
    });
    started(0).end([{ out: "a" }, { out: "b" }]);
    await outer;
    started(1).end([{ out: "c" }]);
    await inner;
    assert.deepEqual(seen, ["a", "b", "c"]);
  });

  it("calls take() once a wake, and once more to see that nothing is left", async () => {
    const running = session.code.run("code", "python", 60, true, () => {});
    const run = started(); // one call to see that nothing came early
    run.push({ out: "a" }, { out: "b" }, { err: "c" });
    while (run.takes < 3) await turn();
    run.end();
    await running;
    assert.deepEqual([run.wakes, run.batches, run.takes], [2, 2, 4]);
  });
});

describe("the asynchronous context", () => {
  it("of a callback is that of the call", async () => {
    backend.plug({ bindContext: nodePlatform(() => null).bindContext });
    const storage = new AsyncLocalStorage<string>();
    const seen: Array<string | undefined> = [];
    const note = (): void => void seen.push(storage.getStore());
    const running = storage.run("of the call", () => session.code.run("code", "python", 60, true, note, note, note));
    backend.plug();
    started().push({ out: "a" }, { err: "b" }, { error: BOOM });
    started().push({ out: "x".repeat(32 * 1024) });
    started().end([{ out: "after a deferral" }]);
    await running;
    assert.deepEqual(seen, Array.from({ length: 5 }, () => "of the call"));
  });
});

describe("yielding", () => {
  it("leaves the event loop to others while slow callbacks run", async () => {
    const before = backend.deferred;
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 1);
    const busy = (): void => {
      const until = performance.now() + 0.5;
      while (performance.now() < until);
    };
    const running = session.code.run("code", "python", 60, true, busy);
    started().end(Array.from({ length: 200 }, (_, i) => ({ out: `${i}` })));
    await running;
    clearInterval(timer);
    assert(backend.deferred - before >= 10, `deferred ${backend.deferred - before} times in 100 ms of callbacks`);
    assert(ticks >= 10, `a 1 ms timer ran ${ticks} times in 100 ms of callbacks`);
  });

  it("gives other runs their turn while one has much to deliver", async () => {
    const order: string[] = [];
    const busy = (): void => {
      const until = performance.now() + 1;
      while (performance.now() < until);
    };
    const big = session.code.run("big", "python", 60, true, () => (order.push("big"), busy()));
    const small = session.code.run("small", "python", 60, true, () => order.push("small"));
    started(0).end(Array.from({ length: 40 }, () => ({ out: "x" })));
    started(1).end([{ out: "y" }]);
    await Promise.all([big, small]);
    assert(order.indexOf("small") < 30, `the small run was number ${order.indexOf("small")}`);
  });

  it("does not starve the event loop when every callback returns a settled promise", async () => {
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 1);
    const running = session.code.run("code", "python", 60, true, async () => {
      const until = performance.now() + 0.2;
      while (performance.now() < until);
    });
    started().end(Array.from({ length: 200 }, () => ({ out: "x" })));
    await running;
    clearInterval(timer);
    assert(ticks >= 4, `a 1 ms timer ran ${ticks} times in 40 ms`);
  });

  it("defers sooner after a large batch than after a small one", async () => {
    let busy = 0;
    const running = session.code.run("code", "python", 60, true, () => {
      const until = performance.now() + busy;
      while (performance.now() < until);
    });
    const deferrals = async (size: number, milliseconds: number): Promise<number> => {
      await sleep(3); // a turn of its own
      const [deferred, batches] = [backend.deferred, started().batches];
      busy = milliseconds;
      started().push({ out: "x".repeat(size) });
      while (started().batches === batches) await turn();
      await turn();
      return backend.deferred - deferred;
    };
    // On a busy machine the time may be up all the same.
    const atLeast = async (size: number, milliseconds: number): Promise<number> => {
      let least = Number.POSITIVE_INFINITY;
      for (let attempt = 0; least > 0 && attempt < 20; attempt += 1) {
        least = Math.min(least, await deferrals(size, milliseconds));
      }
      return least;
    };
    assert.equal(await atLeast(100, 1), 0);
    assert.equal(await atLeast(32 * 1024, 0), 0);
    assert((await deferrals(32 * 1024, 1)) >= 1);
    started().end();
    await running;
  });
});

describe("a callback that throws", () => {
  for (const form of ["throws", "rejects", "throws after a pause"]) {
    it(`${form}: stops the run, tells onError, and says so in the result`, async () => {
      const fault = new TypeError("cannot read it");
      const seen: string[] = [];
      const errors: unknown[] = [];
      const running = session.code.run(
        "code",
        "python",
        60,
        true,
        (chunk) => {
          seen.push(chunk);
          if (chunk !== "b") return;
          if (form === "throws") throw fault;
          return form === "rejects" ? Promise.reject(fault) : sleep(2).then(() => Promise.reject(fault));
        },
        (chunk) => seen.push(chunk),
        (error) => errors.push(error),
      );
      started().push({ out: "a" }, { out: "b" }, { out: "c" }, { err: "d" });
      started().push({ out: "e" });
      const result = await running;
      assert.deepEqual(seen, ["a", "b"], "nothing is delivered after the fault");
      assert.equal(started().cancels, 1);
      assert.equal(result.success, false);
      assert.equal(result.error?.name, "CallbackError");
      assert.equal(result.status, "cancelled");
      assert.equal(result.error?.value, "cannot read it");
      assert.match(result.errorMessage, /onStdout.*cannot read it/);
      assert.deepEqual(errors, [fault], "onError gets the very error, once");
    });
  }

  it("is noticed by no other run", async () => {
    const seen: string[] = [];
    const bad = session.code.run("bad", "python", 60, true, () => { throw new Error("bad"); });
    const good = session.code.run("good", "python", 60, true, (c) => seen.push(c));
    started(0).push({ out: "x" });
    started(1).push({ out: "1" });
    assert.equal((await bad).success, false);
    started(1).end([{ out: "2" }]);
    assert.equal((await good).success, true);
    assert.equal(started(1).cancels, 0);
    assert.deepEqual(seen, ["1", "2"]);
  });

  it("fails the result although the program had ended well", async () => {
    const running = session.code.run("code", "python", 60, true, undefined, () => { throw new Error("late"); });
    started().end([{ err: "x" }]);
    const result = await running;
    assert.equal(result.success, false);
    assert.match(result.errorMessage, /onStderr.*late/);
  });

  it("may throw what is no Error", async () => {
    const errors: Error[] = [];
    const running = session.code.run("code", "python", 60, true, () => { throw "just text"; }, undefined, (e) => errors.push(e));
    started().end([{ out: "x" }]);
    const result = await running;
    assert.equal(result.error?.value, "just text");
    assert(errors[0] instanceof AGBError);
    assert.equal(errors[0].cause, "just text");
  });

  it("keeps the logs of the run", async () => {
    const running = session.code.run("code", "python", 60, true, () => { throw new Error("x"); });
    started().end([{ out: "kept" }], runResult({ logs: () => ({ text: "kept", marks: Uint32Array.of(4 << 2) }) }));
    assert.deepEqual((await running).logs.stdout, ["kept"]);
  });

  it("reports an onError that throws in turn", async () => {
    const running = session.code.run("code", "python", 60, true, () => { throw new Error("first"); }, null, () => { throw new Error("second"); });
    started().push({ out: "x" });
    const result = await running;
    assert.equal(result.error?.value, "first");
    assert.match(result.errorMessage, /first.*second/);
  });
});

describe("onError", () => {
  it("gets each error event as an Error with the program's name as code, and awaits", async () => {
    const seen: unknown[] = [];
    const running = session.code.run("code", "python", 60, true, (c) => seen.push(c), null, async (error) => {
      await sleep(2);
      seen.push(error);
    });
    started().end([{ error: BOOM }, { out: "after" }], runResult({ success: false, error: BOOM, errorMessage: "ValueError: boom" }));
    const result = await running;
    const [error, after, ...more] = seen;
    assert(error instanceof CodeExecutionError);
    assert.equal(error.code, "ValueError");
    assert.equal(String(error), "ValueError: boom");
    assert.equal(error.traceback, "Traceback …");
    assert.equal(after, "after");
    assert.deepEqual(more, [], "the end does not repeat what an event said");
    assert.deepEqual(result.error, BOOM);
    assert.equal(result.errorMessage, "ValueError: boom");
  });

  it("hears once of a failure that no event announced", async () => {
    const errors: Error[] = [];
    const running = session.code.run("code", "python", 60, { onError: (e) => errors.push(e) });
    started().end([], runResult({ success: false, errorMessage: "The connection was lost; run it again" }));
    await running;
    assert.deepEqual(errors.map(String), ["CodeExecutionError: The connection was lost; run it again"]);
    assert.equal((errors[0] as CodeExecutionError).code, "UNKNOWN");
  });

  it("hears of a failure after another error event as well", async () => {
    const errors: string[] = [];
    const running = session.code.run("code", "python", 60, { onError: (e) => errors.push(String(e)) });
    const lost = { name: "Interrupted", value: "outcome unknown", traceback: "" };
    started().end([{ error: BOOM }], runResult({ success: false, error: lost, errorMessage: "outcome unknown" }));
    await running;
    assert.deepEqual(errors, ["ValueError: boom", "Interrupted: outcome unknown"]);
  });

  it("that throws at an event stops the run and is in the result", async () => {
    let calls = 0;
    const running = session.code.run("code", "python", 60, true, () => assert.fail("called"), null, () => {
      calls += 1;
      throw new Error("cannot handle it");
    });
    started().push({ error: BOOM }, { out: "x" });
    const result = await running;
    assert.equal(calls, 1);
    assert.equal(started().cancels, 1);
    assert.equal(result.error?.name, "CallbackError");
    assert.match(result.errorMessage, /onError.*cannot handle it/);
  });

  it("that throws at the end is in the result beside the program's error", async () => {
    const running = session.code.run("code", "python", 60, { onError: () => Promise.reject(new Error("cannot handle it")) });
    started().end([], runResult({ success: false, error: BOOM, errorMessage: "ValueError: boom" }));
    const result = await running;
    assert.deepEqual(result.error, BOOM);
    assert.match(result.errorMessage, /ValueError: boom.*cannot handle it/);
  });
});

describe("a backend that fails", () => {
  it("in stream() resolves with success false", async () => {
    fake.onStream = () => { throw new Error("no runtime"); };
    const errors: Error[] = [];
    const result = await session.code.run("code", "python", 60, { onError: (e) => errors.push(e) });
    assert.equal(result.success, false);
    assert.match(result.errorMessage, /no runtime/);
    assert.equal(errors.length, 1);
    assert.deepEqual(result.logs, { stdout: [], stderr: [] });
  });

  it("in take() resolves with success false", async () => {
    const running = session.code.run("code", "python", 60, true, () => {});
    started().push({ out: "a" });
    started().fault = new Error("panicked");
    assert.match((await running).errorMessage, /panicked/);
  });
});

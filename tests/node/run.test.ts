/** `session.code.run` from Node through the addon to real interpreters. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { AGB, Session } from "agbcloud-sdk";

import { startStage } from "./local-server.ts";

let agb: AGB;
let session: Session;
let leave: () => Promise<void>;

before(async () => {
  ({ agb, session, leave } = await startStage());
});

after(() => leave());

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function collect(code: string, language = "python", timeoutS = 30) {
  const out: string[] = [];
  const err: string[] = [];
  const errors: Error[] = [];
  const result = await session.code.run(
    code,
    language,
    timeoutS,
    true,
    (chunk) => out.push(chunk),
    (chunk) => err.push(chunk),
    (error) => errors.push(error),
  );
  return { result, out, err, errors };
}

describe("output", () => {
  test("a line arrives while the program still computes, without flush and without newline", async () => {
    for (const [language, code] of [
      ["python", "import time\nprint('now', end='')\nt = time.time()\nwhile time.time() < t + 1.5: pass"],
      ["javascript", "process.stdout.write('now'); const t = Date.now(); while (Date.now() < t + 1500);"],
    ] as const) {
      let first = 0;
      const result = await session.code.run(code, language, 30, true, () => (first ||= performance.now()));
      assert.ok(result.success, result.errorMessage);
      assert.ok(performance.now() - first > 1_000, `${language}: the output came with the end`);
    }
  });

  test("comes in the order in which it was printed, told apart", async () => {
    const order: string[] = [];
    const code = "import sys, time\nfor i in range(5):\n    print('o', i)\n    time.sleep(0.05)\n    print('e', i, file=sys.stderr)\n    time.sleep(0.05)";
    await session.code.run(code, "python", 30, true, (chunk) => order.push(chunk), (chunk) => order.push(chunk));
    assert.equal(order.join(""), "o 0\ne 0\no 1\ne 1\no 2\ne 2\no 3\ne 3\no 4\ne 4\n");
  });

  test("keeps every character whole", async () => {
    const text = "grün 漢字 🦀 ";
    const { result, out } = await collect(`import os\nfor byte in ("${text}" * 200).encode():\n    os.write(1, bytes([byte]))`);
    assert.ok(result.success, result.errorMessage);
    assert.ok(!out.some((chunk) => chunk.includes("\ufffd")));
    assert.equal(out.join(""), text.repeat(200));
    assert.deepEqual(result.logs.stdout, out, "the log has the same chunks");
  });

  test("invalid UTF-8 becomes U+FFFD", async () => {
    const { out } = await collect("import os\nos.write(1, b'a\\xff\\xfeb')");
    assert.equal(out.join(""), "a\ufffd\ufffdb");
  });

  test("nothing of 50 MB is missing", async () => {
    let [characters, next] = [0, 0];
    let rest = "";
    const result = await session.code.run(
      "for i in range(500_000):\n    print(f'{i:099}')",
      "python",
      120,
      { logLimit: 0, onStdout: (chunk) => {
        characters += chunk.length;
        const lines = (rest + chunk).split("\n");
        rest = lines.pop()!;
        for (const line of lines) {
          assert.equal(Number(line), next++);
        }
      } },
    );
    assert.ok(result.success, result.errorMessage);
    assert.equal(characters, 50_000_000);
    assert.deepEqual([result.logs.stdout, result.truncated], [[], true]);
  });

  test("a large result comes whole, up to a limit that is set", async () => {
    // Far above the megabyte that a client of the plain wire takes.
    const code = "'x' * 5_000_000";
    for (const stream of [true, false]) {
      const whole = await session.code.run(code, "python", 60, { streamBeta: stream });
      assert.ok(whole.success, whole.errorMessage);
      assert.deepEqual([whole.results.length, whole.results[0]?.text?.length, whole.truncated], [1, 5_000_002, false]);
      const limited = await session.code.run(`display('kept')\n${code}`, "python", 60, { streamBeta: stream, resultLimit: 1_000_000 });
      assert.ok(limited.success, limited.errorMessage);
      assert.deepEqual(limited.results.map((result) => [result.text, result.isMainResult]), [
        ["'kept'", false],
        ["[left out: text/plain of 5000002 bytes; 1000000 bytes are kept of a run's results]", true],
      ]);
      assert.equal(limited.truncated, true);
    }
  });

  test("a subprocess's output is caught", async () => {
    const { out } = await collect("import subprocess\nsubprocess.run(['echo', 'from below'])");
    assert.equal(out.join(""), "from below\n");
  });
});

describe("callbacks", () => {
  test("are awaited one after the other, and hold back only their own run", async () => {
    let busy = false;
    const seen: string[] = [];
    const slow = session.code.run(
      "import time\nfor i in range(4):\n    print(i)\n    time.sleep(0.05)",
      "python", 30, true,
      async (chunk) => {
        assert.ok(!busy, "two callbacks at once");
        busy = true;
        await sleep(300);
        busy = false;
        seen.push(chunk);
      },
    );
    const began = performance.now();
    const quick = await session.code.run("console.log('quick')", "javascript", 30, true, () => {});
    assert.ok(quick.success, quick.errorMessage);
    assert.ok(performance.now() - began < 1_000, "the quick run waited for the slow callback");
    const result = await slow;
    assert.ok(result.success, result.errorMessage);
    assert.equal(seen.join(""), "0\n1\n2\n3\n");
  });

  test("a callback that never finishes stops its program's writes, not another run", async () => {
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => (release = resolve));
    let characters = 0;
    const stuck = session.code.run(
      "import sys\nfor _ in range(3200): sys.stdout.write('x' * 65536)",
      "python", 120,
      { logLimit: 0, onStdout: async (chunk) => {
        characters += chunk.length;
        await gate;
      } },
    );
    for (let i = 0; i < 5; i += 1) {
      const other = await session.code.run("console.log('y'.repeat(300000))", "javascript", 30, true, () => {});
      assert.ok(other.success, other.errorMessage);
    }
    assert.ok(characters < 1_000_000, `${characters} came through a closed gate`);
    release();
    const result = await stuck;
    assert.ok(result.success, result.errorMessage);
    assert.equal(characters, 3_200 * 65_536);
  });

  test("one that throws stops the program, and the result and onError say so", async () => {
    const errors: Error[] = [];
    const began = performance.now();
    const other = session.code.run("await new Promise(r => setTimeout(r, 500)); console.log('unharmed')", "javascript", 30, true, () => {});
    const result = await session.code.run(
      "import time\nprint('a')\ntime.sleep(60)", "python", 60, true,
      () => { throw new RangeError("mine"); },
      undefined,
      (error) => errors.push(error),
    );
    assert.ok(performance.now() - began < 10_000);
    assert.equal(result.success, false);
    assert.equal(result.error?.name, "CallbackError");
    assert.match(result.error?.value ?? "", /mine/);
    assert.match(result.errorMessage, /mine/);
    assert.equal(errors.length, 1);
    assert.ok(errors[0] instanceof RangeError);
    const unharmed = await other;
    assert.equal(unharmed.logs.stdout.join(""), "unharmed\n");
    const after = await collect("print('the kernel is free')");
    assert.equal(after.out.join(""), "the kernel is free\n");
  });

  test("a rejected promise is the same", async () => {
    const result = await session.code.run("print('a')", "python", 30, true, async () => Promise.reject(new Error("later")));
    assert.deepEqual([result.success, result.error?.name], [false, "CallbackError"]);
  });
});

describe("ends", () => {
  test("executionTime is the program's, in seconds", async () => {
    const { result } = await collect("import time\ntime.sleep(1)");
    assert.ok(result.executionTime! >= 1 && result.executionTime! < 1.5, `${result.executionTime}`);
  });

  test("executionCount counts", async () => {
    const [one, two] = [await collect("1"), await collect("2")];
    assert.equal(two.result.executionCount, one.result.executionCount! + 1);
  });

  test("an exception has name, value and the user's lines", async () => {
    const { result, errors, out } = await collect("print('so far')\ndef f():\n    raise ValueError('no')\nf()");
    assert.equal(result.success, false);
    assert.deepEqual([result.error?.name, result.error?.value], ["ValueError", "no"]);
    assert.match(result.error?.traceback ?? "", /line 3/);
    assert.match(result.errorMessage, /ValueError: no/);
    assert.equal(errors.length, 1);
    assert.equal(out.join(""), "so far\n");
  });

  test("a time limit interrupts and keeps the state", async () => {
    await collect("kept = 'yes'");
    const { result } = await collect("import time\ntime.sleep(60)", "python", 1);
    assert.equal(result.success, false);
    assert.match(result.errorMessage, /1 s|1 second|time/i);
    const { out } = await collect("print(kept)");
    assert.equal(out.join(""), "yes\n");
  });

  test("a program that ends its interpreter says how, and the next run has a new one", async () => {
    const { result, out } = await collect("import os\nprint('bye')\nos._exit(3)");
    assert.equal(result.success, false);
    assert.match(result.errorMessage, /3/);
    assert.equal(out.join(""), "bye\n");
    assert.equal((await collect("print('back')")).out.join(""), "back\n");
  });

  test("the last value is the main result", async () => {
    const { result } = await collect("class T:\n    def _repr_html_(self): return '<b>t</b>'\nT()");
    const main = result.results.find((item) => item.isMainResult);
    assert.equal(main?.html, "<b>t</b>");
    const { result: js } = await collect("const data = { value: 21 }; data.value * 2;", "javascript");
    assert.equal(js.results.find((item) => item.isMainResult)?.text, "42");
  });

  test("an unknown language is told before anything is sent", async () => {
    const { result, errors } = await collect("x", "cobol");
    assert.equal(result.success, false);
    assert.match(result.errorMessage, /cobol.*python.*javascript/is);
    assert.equal(errors.length, 1);
  });

  test("wrong arguments reject with a TypeError", async () => {
    await assert.rejects(session.code.run(7 as unknown as string, "python"), TypeError);
    await assert.rejects(session.code.run("x", "python", -1), TypeError);
  });

  test("without streaming the same results come", async () => {
    const result = await session.code.run("import sys\nprint('o')\nprint('e', file=sys.stderr)\n6 * 7", "python");
    assert.ok(result.success, result.errorMessage);
    assert.deepEqual([result.logs.stdout.join(""), result.logs.stderr.join("")], ["o\n", "e\n"]);
    assert.equal(result.results.find((item) => item.isMainResult)?.text, "42");
    const failed = await session.code.run("1 / 0", "python");
    assert.deepEqual([failed.success, failed.error?.name], [false, "ZeroDivisionError"]);
  });
});

describe("many", () => {
  test("two first runs at once open one socket, and two languages run side by side", async () => {
    const created = await agb.create({ imageId: "agb-code-space-1" });
    const fresh = created.session!;
    const began = performance.now();
    const results = await Promise.all([
      fresh.code.run("import time\ntime.sleep(1)\nprint('py')", "python", 30, true, () => {}),
      fresh.code.run("await new Promise(r => setTimeout(r, 1000)); console.log('js')", "javascript", 30, true, () => {}),
    ]);
    assert.ok(performance.now() - began < 1_900, "they ran one after the other");
    assert.deepEqual(results.map((result) => result.logs.stdout.join("")), ["py\n", "js\n"]);
    await agb.delete(fresh);
  });

  test("runs of one language queue in order", async () => {
    await collect("order = []");
    await Promise.all([1, 2, 3].map((i) => session.code.run(`order.append(${i})`, "python", 30, true)));
    assert.equal((await collect("print(order)")).out.join(""), "[1, 2, 3]\n");
  });
});

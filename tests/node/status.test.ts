/** How a run ended: each status by the real thing that causes it. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { EnhancedCodeExecutionResult, RunOptions, Session } from "agbcloud-sdk";

import { startStage } from "./local-server.ts";

let session: Session;
let leave: () => Promise<void>;

before(async () => {
  ({ session, leave } = await startStage());
});

after(() => leave());

/** What `onError` heard of the last run: names and codes. */
let heard: Array<readonly [name: string, code: string | undefined]> = [];

async function python(code: string, timeoutS = 60, options: RunOptions = { streamBeta: true }): Promise<EnhancedCodeExecutionResult> {
  heard = [];
  const result = await session.code.run(code, "python", timeoutS, { ...options, onError: ({ name, code }) => heard.push([name, code]) });
  assert.equal(result.success, result.status === "finished");
  assert.equal(result.success, result.errorMessage === "");
  return result;
}

for (const streamBeta of [true, false]) {
  describe(streamBeta ? "a run that streams" : "a run without callbacks", () => {
    const options = { streamBeta };

    test("finished", async () => {
      const result = await python("1 + 1", 60, options);
      assert.deepEqual([result.status, result.stateLost, result.interruptions], ["finished", false, 0]);
    });

    test("failed: the program raised", async () => {
      for (const name of ["Timeout", "Cancelled", "ValueError"]) {
        const own = name === "ValueError" ? "" : `class ${name}(Exception): pass\n`;
        const result = await python(`${own}raise ${name}('of my own')`, 60, options);
        assert.deepEqual([result.status, result.error?.name, result.error?.code], ["failed", name, undefined]);
        assert.deepEqual(heard, [[name, name]]);
      }
    });

    test("failed: it never began", async () => {
      const codes: unknown[] = [];
      const result = await session.code.run("1", "cobol", 60, { ...options, onError: ({ code }) => codes.push(code) });
      assert.deepEqual([result.success, result.status, result.error?.code], [false, "failed", "UNKNOWN_LANGUAGE"]);
      assert.deepEqual(codes, ["UNKNOWN_LANGUAGE"]);
    });

    test("timeout, with the state kept", async () => {
      await python("kept = 1", 60, options);
      const result = await python("import time\ntime.sleep(600)", 1, options);
      assert.deepEqual([result.status, result.stateLost], ["timeout", false]);
      assert.match(result.errorMessage, /after 1 s/);
      assert.equal(result.error?.code, "TIMED_OUT");
      assert.deepEqual(heard.at(-1), [result.error.name, "TIMED_OUT"]);
      assert.equal((await python("print(kept)", 60, options)).logs.stdout.join(""), "1\n");
    });

    test("killed: the interpreter ended itself", async () => {
      const result = await python("import os\nos._exit(3)", 60, options);
      assert.deepEqual([result.status, result.stateLost, result.killedBy], ["killed", true, { exitCode: 3, outOfMemory: false }]);
      assert.match(result.errorMessage, /code 3/);
      assert.equal(result.error?.code, "KILLED");
      assert.deepEqual(heard, [["Killed", "KILLED"]]);
    });

    test("killed: a signal", async () => {
      const result = await python("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", 60, options);
      assert.deepEqual([result.status, result.stateLost, result.killedBy], ["killed", true, { signal: "SIGSEGV", outOfMemory: false }]);
      assert.match(result.errorMessage, /SIGSEGV/);
    });
  });
}

describe("cancelled", () => {
  const cancelled = async (code: string): Promise<[EnhancedCodeExecutionResult, number]> => {
    const controller = new AbortController();
    let at = 0;
    const onStdout = (): void => {
      at ||= performance.now();
      controller.abort();
    };
    const result = await python(code, 600, { onStdout, signal: controller.signal });
    assert.deepEqual([result.status, result.error?.code], ["cancelled", "CANCELLED"]);
    assert.deepEqual(heard.at(-1), ["Cancelled", "CANCELLED"]);
    return [result, performance.now() - at];
  };

  test("by a signal, with the state kept", async () => {
    const [result] = await cancelled("kept = 2\nimport time\ntime.sleep(0.3)\nprint('on')\ntime.sleep(600)");
    assert.equal(result.stateLost, false);
    assert.ok(result.executionTime > 0.2 && result.executionTime < 60, `it took ${result.executionTime} s`);
    assert.equal((await python("print(kept)")).logs.stdout.join(""), "2\n");
  });

  test("with what the program says when it cleans up, in callbacks and logs", async () => {
    const code = "import time\ntry:\n    print('on')\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    time.sleep(1)\n    print('cleaned')";
    const controller = new AbortController();
    let seen = "";
    const onStdout = (text: string): void => {
      seen += text;
      controller.abort();
    };
    const result = await python(code, 600, { onStdout, signal: controller.signal });
    assert.deepEqual([result.status, result.stateLost], ["cancelled", false]);
    assert.deepEqual([seen, result.logs.stdout.join("")], ["on\ncleaned\n", "on\ncleaned\n"]);
  });

  test("even when the program ignores it: killed after a grace, and its state is lost", async () => {
    const code = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('on')\nwhile True:\n    try: time.sleep(1)\n    except BaseException: pass";
    const [result, took] = await cancelled(code);
    assert.ok(took < 25_000, `${took} ms`); // 2.5 s, on a machine that is not ten times slower
    assert.equal((await python("print('again')")).success, true);
    assert.ok(result.stateLost, result.errorMessage);
  });

  test("by a callback that throws", async () => {
    const result = await python("import time\nprint('on')\ntime.sleep(600)", 600, {
      onStdout: () => {
        throw new Error("no more");
      },
    });
    assert.deepEqual([result.status, result.error?.name], ["cancelled", "CallbackError"]);
    assert.equal(result.error?.code, "CALLBACK_THREW");
  });
});

test("interrupted: the server died", async () => {
  const { server: mortal, session: doomed } = await startStage();
  let seen = "";
  const result = await doomed.code.run("import time\nprint('on', flush=True)\ntime.sleep(600)", "python", 600, {
    onStdout: (chunk) => {
      seen += chunk;
      process.kill(mortal.pid, "SIGKILL");
    },
  });
  await mortal.stop();
  assert.deepEqual([result.success, result.status, result.error?.code], [false, "interrupted", "INTERRUPTED"]);
  assert.match(result.errorMessage, /outcome is unknown/);
  assert.deepEqual([seen, result.logs.stdout.join("")], ["on\n", "on\n"], "what had come is there");
});

/** `session.code.stream` and `attach` from Node through the addon to real interpreters. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { AGB, type CodeRun, type OutputEvent, type RunEvent, Session } from "agbcloud-sdk";

import { all, type LocalServer, startStage } from "./local-server.ts";

let server: LocalServer;
let session: Session;
let leave: () => Promise<void>;

before(async () => {
  ({ server, session, leave } = await startStage());
});

after(() => leave());

const isOutput = (event: RunEvent): event is OutputEvent => event.type === "stdout" || event.type === "stderr";
const textOf = (events: readonly RunEvent[]): string => events.filter(isOutput).map(({ text }) => text).join("");

/** Waits for something that happens soon, on whichever machine. */
async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 30_000; !(await holds()); await sleep(50)) {
    assert.ok(performance.now() < end, what);
  }
}

describe("events", () => {
  test("are numbered and timed by the server", async () => {
    const before = Date.now();
    const run = session.code.stream("import sys, time\nprint('a')\ntime.sleep(0.3)\nprint('b', file=sys.stderr)\n6 * 7", "python");
    const events = await all(run);
    const result = await run.result;
    assert.deepEqual(events.map(({ type }) => type), ["stdout", "stderr", "result", "end"]);
    assert.deepEqual([result.status, result.results[0]?.text, result.requestId], ["finished", "42", run.id]);
    const [a, b] = events;
    assert.ok(a?.time && b?.time && a.time >= before - 1_000 && b.time <= Date.now() + 1_000, "one machine has one clock");
    assert.ok(b.time - a.time >= 250, `${b.time - a.time} ms apart`);
    for (const [index, event] of events.entries()) {
      assert.ok(index === 0 || event.seq > events[index - 1]!.seq, "numbers grow");
    }
  });

  test("tell what was written before the run", async () => {
    await session.code.run("import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.2), print('late', flush=True))).start()", "python");
    await sleep(1_000);
    const events = (await all(session.code.stream("print('now')", "python"))).filter(isOutput);
    assert.deepEqual(events.map(({ text, background }) => [text, background]), [["late\n", true], ["now\n", false]]);
    const chunks: string[] = [];
    await session.code.run("import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.2), print('again', flush=True))).start()", "python");
    await sleep(1_000);
    await session.code.run("print('now')", "python", 60, { onStdout: (chunk) => chunks.push(chunk) });
    assert.equal(chunks.join(""), "again\nnow\n", "the callbacks have it, too");
  });

  test("come when they happen, and results with them", async () => {
    const seen: Array<[string, number]> = [];
    const began = performance.now();
    const result = await session.code.run("import time\ndisplay('shown')\ntime.sleep(1.5)\n'last'", "python", 60, {
      onResult: ({ text }) => seen.push([text ?? "", performance.now() - began]),
    });
    assert.deepEqual(seen.map(([text]) => text), ["'shown'", "'last'"]);
    assert.ok(seen[1]![1] - seen[0]![1] > 1_000);
    assert.equal(result.results.length, 2);
  });

  test("are more results than the server keeps, and no output at all", async () => {
    const code = "class Page:\n    def _repr_html_(self): return 'x' * 1_000_000\nfor _ in range(80): display(Page())";
    let characters = 0;
    const result = await session.code.run(code, "python", 120, {
      logLimit: 0,
      onResult: ({ html }) => void (characters += html?.length ?? 0),
    });
    assert.equal(result.errorMessage, "");
    assert.deepEqual([result.status, characters], ["finished", 80_000_000]);
  });
});

describe("leaving", () => {
  const ENDLESS = "import os, time\nopen('alive', 'w').write(str(os.getpid()))\nkept = 3\nwhile True:\n    print('on')\n    time.sleep(0.05)";

  test("a loop by break stops the program, and keeps the variables", async () => {
    const run = session.code.stream(ENDLESS, "python", { timeoutS: 600 });
    for await (const event of run) {
      if (event.type === "stdout") break;
    }
    const result = await run.result;
    assert.deepEqual([result.status, result.stateLost], ["cancelled", false]);
    const next = await session.code.run("print(kept)", "python");
    assert.equal(next.logs.stdout.join(""), "3\n");
  });

  test("a block of `await using` does, too", async () => {
    let run: CodeRun;
    {
      await using inner = session.code.stream(ENDLESS, "python", { timeoutS: 600 });
      run = inner;
      for await (const event of inner) {
        if (event.type === "stdout") break;
      }
    }
    assert.equal((await run.result).status, "cancelled");
  });
});

describe("streams of text", () => {
  test("can be piped", async () => {
    const run = session.code.stream("import sys\nfor i in range(1000): print(i)\nprint('warn', file=sys.stderr)", "python");
    const parts: string[] = [];
    const upper = run.stdout.pipeThrough(new TransformStream<string, string>({ transform: (text, to) => to.enqueue(`<${text}>`) }));
    const [errors] = await Promise.all([new Response(run.stderr.pipeThrough(new TextEncoderStream())).text(), (async () => {
      for await (const part of upper as unknown as AsyncIterable<string>) parts.push(part);
    })()]);
    assert.equal(parts.join("").replaceAll(/[<>]/g, "").split("\n").length, 1_001);
    assert.equal(errors, "warn\n");
    assert.equal((await run.result).status, "finished");
  });
});

describe("input", () => {
  test("is a conversation", async () => {
    const code = "name = input('name? ')\nage = int(input('age? '))\nprint(f'{name} will be {age + 1}')";
    const run = session.code.stream(code, "python");
    const prompts: string[] = [];
    const events: RunEvent[] = [];
    for await (const event of run) {
      events.push(event);
      if (event.type === "inputRequest") {
        prompts.push(event.prompt);
        run.write(prompts.length === 1 ? "Ada\n" : "36\n");
      }
    }
    assert.deepEqual(prompts, ["name? ", "age? "]);
    assert.match(textOf(events), /Ada will be 37\n$/);
    assert.equal((await run.result).status, "finished");
  });

  test("can come before it is asked for, and end", async () => {
    const run = session.code.stream("import sys\nprint(sum(int(line) for line in sys.stdin))", "python");
    run.write("1\n2\n");
    run.write("3\n");
    run.end();
    assert.equal(textOf(await all(run)).trim(), "6");
  });

  test("beyond the limit that was set is refused, and below it is not", async () => {
    const account = (inputLimitBytes: number): AGB =>
      new AGB({ apiKey: server.apiKey, config: { endpoint: server.endpoint, streaming: { inputLimitBytes, heartbeatS: 5.5 } } });
    for (const [limit, refused] of [[1_000, true], [100_000, false]] as const) {
      const near = (await account(limit).get(session.sessionId)).session!;
      const run = near.code.stream("print(len(input()))", "python");
      run.write(`${"x".repeat(2_000)}\n`);
      run.end();
      const codes = (await all(run)).map((event) => (event.type === "error" ? event.error.code : event.type));
      assert.equal(codes.includes("INPUT_REFUSED"), refused, codes.join());
    }
  });

  test("limits that are none are not taken", () => {
    const account = (streaming: object): AGB => new AGB({ apiKey: "k", config: { endpoint: server.endpoint, streaming } });
    for (const wrong of [{ heartbeatS: 0 }, { silenceS: "1" }, { windowBytes: 1.5 }, { socketAttempts: -1 }, { heartBeatS: 1 }, []]) {
      assert.throws(() => account(wrong), TypeError, JSON.stringify(wrong));
    }
    account({ heartbeatS: undefined, openTimeoutS: 0.5 });
  });

  test("is at its end at once for a run that nobody can answer", async () => {
    const result = await session.code.run("try:\n    input('? ')\nexcept EOFError:\n    print('nobody')", "python", 60, true, () => {});
    assert.match(result.logs.stdout.join(""), /nobody\n$/);
  });
});

describe("attach", () => {
  const LINES = "import time\nfor i in range(200):\n    print(f'line {i}')\n    time.sleep(0.01)\n'value'";

  test("from another process goes on where this one stopped, and nothing is lost or run twice", async () => {
    const run = session.code.stream(`open('runs', 'a').write('x')\n${LINES}`, "python");
    let text = "";
    for await (const event of run) {
      if (isOutput(event)) text += event.text;
      if (text.includes("line 20\n")) {
        break;
      }
      assert.notEqual(event.type, "end");
    }
    assert.equal((await run.result).status, "cancelled", "whoever leaves a loop wants no run");

    // So a run that is to be handed on is begun by a process that dies.
    const begun = await runInChild("begin", LINES, "");
    const went = await runInChild("attach", begun.id, String(begun.last));
    const lines = (begun.text + went.text).split("\n").slice(0, -1);
    assert.deepEqual(lines, Array.from({ length: 200 }, (_, i) => `line ${i}`));
    assert.deepEqual([went.status, went.results], ["finished", ["'value'"]]);
  });

  /** A process that begins a run and dies in the middle, or one that takes it up. */
  async function runInChild(what: "begin" | "hesitate" | "attach", code: string, after: string): Promise<ChildReport> {
    const child = spawn(process.execPath, ["--import", "tsx", fileURLToPath(new URL("./attach-child.ts", import.meta.url)), what, session.sessionId, code, after], {
      env: { ...process.env, AGB_API_KEY: server.apiKey, AGB_ENDPOINT: server.endpoint },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => (output += part));
    await once(child, "close");
    const line = output.trimEnd().split("\n").at(-1) ?? "";
    return JSON.parse(line) as ChildReport;
  }

  test("from another process, when the first one died over what it had, goes on behind that", async () => {
    const code = "import time\nfor n in range(1, 6):\n    print('line', n)\n    time.sleep(0.1)\n'the result'";
    const first = await runInChild("hesitate", code, "0");
    assert.equal(first.text, "line 1\n");
    const second = await runInChild("attach", first.id, String(first.last));
    const rest = [2, 3, 4, 5].map((n) => `line ${n}\n`).join("");
    assert.deepEqual([second.text, second.status, second.results], [rest, "finished", ["'the result'"]]);
  });

  test("to a run that is not known says so", async () => {
    const run = session.code.attach("0123456789abcdef0123456789abcdef");
    const result = await run.result;
    assert.deepEqual([result.success, result.status], [false, "interrupted"]);
    assert.match(result.errorMessage, /no such run.*outcome is unknown/);
  });

  test("stops it also when the cancel comes before there is a connection", async () => {
    const { access } = await session.browserAccess();
    const owned = session.code.stream("import time\nprint('begun', flush=True)\ntime.sleep(600)", "python", { timeoutS: 900 });
    await owned.stdout.getReader().read();
    const run = Session.attach(access!).code.attach(owned.id);
    void run.cancel();
    assert.equal((await run.result).status, "cancelled");
    const next = await session.code.run("print('next')", "python", 20); // would wait for the program
    assert.equal(next.logs.stdout.join(""), "next\n", next.errorMessage);
  });
});

describe("watching with an access that only reads", () => {
  test("shows the owner's run live, and changes nothing", async () => {
    const { access } = await session.browserAccess({ scope: "read" });
    assert.ok(access);
    const watching = Session.attach(access);
    const run = session.code.stream("name = input('name? ')\nprint('Hello', name)", "python", { timeoutS: 120 });
    let watched: CodeRun | undefined;
    const seen: RunEvent[] = [];
    const owned: RunEvent[] = [];
    for await (const event of run) {
      owned.push(event);
      if (event.type === "inputRequest") {
        watched = watching.code.attach(run.id);
        for await (const other of watched) {
          seen.push(other);
          if (other.type === "inputRequest") break; // the program still waits; leaving the loop must not stop it
        }
        assert.equal((await watched.result).success, false);
        watched = watching.code.attach(run.id);
        const refused = await watching.code.run("print('never')", "python");
        assert.match(refused.errorMessage, /watching only/);
        run.write("Ada\n");
      }
    }
    assert.ok(watched);
    const rest = await all(watched);
    assert.deepEqual([(await run.result).status, (await watched.result).status], ["finished", "finished"]);
    assert.match(textOf(rest), /Hello Ada\n$/);
    assert.equal(textOf(rest), textOf(owned));
    assert.deepEqual(seen.map(({ type, seq }) => [type, seq]), rest.slice(0, seen.length).map(({ type, seq }) => [type, seq]));
  });
});

interface ChildReport {
  readonly id: string;
  readonly text: string;
  readonly last: number;
  readonly status?: string;
  readonly results?: string[];
}

test("output that is not kept costs no memory", async () => {
  const CHUNKS = 4_000; // 256 MB: twenty times what a leak of a tenth would need to show
  const program = `import os\nchunk = b'x' * 65536\nfor _ in range(${CHUNKS}):\n    os.write(1, chunk)`;
  let [characters, most] = [0, 0];
  const before = process.memoryUsage().rss;
  const run = session.code.stream(program, "python", { logLimit: 0, timeoutS: 600 });
  let next = 0;
  for await (const event of run) {
    if (event.type === "stdout") {
      characters += event.text.length;
      if (characters >= next) {
        next += 4_000_000;
        most = Math.max(most, process.memoryUsage().rss);
      }
    }
  }
  const result = await run.result;
  assert.deepEqual([result.status, characters, result.truncated], ["finished", CHUNKS * 65_536, true]);
  assert.ok(most - before < 128_000_000, `${((most - before) / 1e6).toFixed(0)} MB more for ${CHUNKS * 65_536} bytes`);
});

test("a program that nobody reads waits, and runs that are read do not", async () => {
  const run = session.code.stream("import os\nopen('written', 'w').write('')\nfor i in range(2_000):\n    os.write(1, b'x' * 65536)\n    open('written', 'w').write(str(i))", "python", { timeoutS: 600, logLimit: 0 });
  const written = async (): Promise<number> => {
    const { logs } = await session.code.run("console.log(require('fs').readFileSync('written', 'utf8'))", "javascript", 60, true);
    return Number(logs.stdout.join(""));
  };
  await until("the program begins", async () => (await written()) > 0);
  let last = -1;
  await until("the program comes to stand", async () => {
    const now = await written();
    const stands = now === last;
    last = now;
    await sleep(300);
    return stands;
  });
  assert.ok(last < 200, `${last} chunks were written with nobody to read them`);
  await run.cancel();
  assert.equal((await run.result).status, "cancelled");
});

/**
 * Real programs in four languages behind a network that cuts, stalls, delays, refuses and falls silent: each line once
 * and in order, no program run twice. `AGB_LOSSY=runs,seed` chooses how many runs and which faults, as for the Rust
 * client; `cargo xtask soak` makes ten times as many.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { AGB, Session } from "agbcloud-sdk";

import { type Language, Lines, numbered, numberedCommand } from "./lines.ts";
import { type LocalServer, newSession, startServer } from "./local-server.ts";
import { Proxy, type Tally } from "./proxy.ts";

const [RUNS = 16, SEED = Math.floor(Math.random() * 1e6)] = (process.env["AGB_LOSSY"] ?? "").split(",").filter(Boolean).map(Number);
console.log(`# AGB_LOSSY=${RUNS},${SEED} gives the same faults`);

/** One session each, with one run after the other. R and Java start slowly and print slowly. */
const LANGUAGES: readonly Language[] = [...Array<Language>(8).fill("python"), ...Array<Language>(6).fill("javascript"), "r", "java"];
/** What a run prints: half a megabyte. */
const LINES = 9_000;
/** A frame has up to 64 KiB, and half of the connections live long enough for one. */
const FAULTS = `seed=${SEED} cut=99 stall=1 stall_for=1..300 after=1..160000 delay=0..3`;

let server: LocalServer;
let direct: AGB;

before(async () => {
  server = await startServer("--max-sessions", "100");
  direct = new AGB({ apiKey: server.apiKey, config: { endpoint: server.endpoint } });
});
after(() => server.stop());

/** Sessions that were made through the proxy, so that their WebSockets and event streams go this way, too. */
async function through<T>(count: number, faults: string, use: (sessions: Session[], proxy: Proxy) => Promise<T>): Promise<[T, Tally]> {
  const proxy = await Proxy.start(server.endpoint);
  try {
    const agb = new AGB({ apiKey: server.apiKey, config: { endpoint: proxy.endpoint } });
    const owned = await Promise.all(Array.from({ length: count }, () => newSession(agb)));
    // Taken up anew, so that no HTTP connection is used that was made before it could be harmed.
    const sessions = await Promise.all(owned.map(async (session) => Session.attach((await session.browserAccess()).access!)));
    await proxy.harm(faults);
    const used = await use(sessions, proxy);
    await Promise.all(sessions.map(({ sessionId }) => direct.delete(sessionId)));
    return [used, await proxy.tally()];
  } finally {
    await proxy.stop();
  }
}

/** One run, by events or by callbacks, each line checked as it comes; gives how often it was found again. */
async function runOnce(session: Session, language: Language, name: string, byEvents: boolean, count = LINES): Promise<number> {
  const [out, code] = [new Lines(name), numbered(language, name, count)];
  let [lost, found, last] = [0, 0, 0];
  const heard = (error: { code?: string | undefined; message: string }): void => {
    assert.match(error.code ?? "", /^CONNECTION_/, `${name}: ${error.message}`);
    lost += 1;
  };
  let result;
  if (byEvents) {
    const run = session.code.stream(code, language, { timeoutS: 600, logLimit: 0 });
    for await (const event of run) {
      if (event.type === "stdout") {
        out.take(event.text);
        assert.ok(event.seq > last, `${name}: ${event.seq} after ${last}`);
        last = event.seq;
      } else if (event.type === "error") {
        heard(event.error);
      } else if (event.type === "reconnected") {
        found += 1;
      } else {
        assert.equal(event.type, "end");
      }
    }
    result = await run.result;
    assert.equal(result.interruptions, found, name);
  } else {
    result = await session.code.run(code, language, 600, { logLimit: 0, onStdout: (chunk) => out.take(chunk), onError: heard });
  }
  assert.equal(result.status, "finished", `${name}: ${result.errorMessage}`);
  out.end(count);
  // The last loss may have come when everything was there.
  assert.ok(lost === result.interruptions || lost === result.interruptions + 1, `${name}: lost ${lost} times, found ${result.interruptions} times`);
  return result.interruptions;
}

/** Runs one after the other in each session, and looks how often each program was begun. */
async function runAll(sessions: Session[], languages: readonly Language[], each: number): Promise<number> {
  const counts = await Promise.all(
    sessions.map(async (session, at) => {
      let interruptions = 0;
      const names = Array.from({ length: each }, (_, n) => `${at}.${n}`);
      for (const [n, name] of names.entries()) {
        interruptions += await runOnce(session, languages[at]!, name, (at + n) % 2 === 0);
      }
      const near = (await direct.get(session.sessionId)).session!;
      const starts = await near.callMcpTool("read_file", { path: "starts" });
      assert.deepEqual(starts.data.trim().split("\n"), names, "each program was begun once");
      return interruptions;
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

describe(`a lossy network, seed ${SEED}`, { concurrency: true }, () => {
  test("that cuts, stalls and delays loses no line and runs no program twice", async () => {
    const each = Math.ceil(RUNS / LANGUAGES.length);
    const [interruptions, tally] = await through(LANGUAGES.length, FAULTS, (sessions) => runAll(sessions, LANGUAGES, each));
    console.log(`# ${each * LANGUAGES.length} runs, ${interruptions} interruptions, ${JSON.stringify(tally)}`);
    assert.ok(tally.cut >= 3 * RUNS, `only ${tally.cut} cuts`);
    assert.ok(interruptions >= tally.cut / 2, `${interruptions} interruptions of ${tally.cut} cuts`);
  });

  test("that cuts and stalls loses nothing of a command, and what is typed arrives once", async () => {
    const [interruptions] = await through(2, FAULTS, async ([one, other]) => {
      const near = (await direct.get(one!.sessionId)).session!;
      let interruptions = 0;
      for (const [name, detached] of [["a", false], ["b", true]] as const) {
        const out = new Lines(name);
        const run = one!.command.stream(numberedCommand(name, LINES), { timeoutMs: 600_000, logLimit: 0, detached });
        for await (const event of run) {
          if (event.type === "stdout") {
            out.take(event.text);
          }
        }
        out.end(LINES);
        const result = await run.result;
        assert.deepEqual([result.status, result.exitCode], ["exited", 0], result.errorMessage);
        interruptions += result.interruptions;
      }
      assert.equal((await near.command.execute("cat starts")).stdout, "a\nb\n", "each was begun once");
      const typed = Array.from({ length: 500 }, (_, n) => `line ${n} ${"x".repeat(200)}\n`);
      const cat = other!.command.stream("cat", { timeoutMs: 600_000 });
      for (const [n, line] of typed.entries()) {
        cat.write(line);
        if (n % 50 === 49) {
          await sleep(20);
        }
      }
      cat.end();
      const echoed = await cat.result;
      assert.equal(echoed.stdout, typed.join(""));
      assert.equal(echoed.exitCode, 0);
      return interruptions + echoed.interruptions;
    });
    assert.ok(interruptions >= 2, `${interruptions} interruptions`);
  });

  test("that refuses some WebSockets as well is left for event streams, which it harms, too", async () => {
    const languages: Language[] = ["python", "javascript", "python"];
    const [interruptions, tally] = await through(3, `${FAULTS} refuse=5 http`, (sessions) => runAll(sessions, languages, 4));
    assert.ok(interruptions >= 12, `${interruptions} interruptions, ${JSON.stringify(tally)}`);
  });

  test("that lets no WebSocket through has event streams, cut and stalled like them", async () => {
    const languages: Language[] = ["python", "javascript", "r", "java"];
    const [interruptions, tally] = await through(4, `${FAULTS} refuse=100 http`, (sessions) => runAll(sessions, languages, 3));
    assert.ok(tally.refused > 0 && tally.upgrades === tally.refused, JSON.stringify(tally));
    assert.ok(interruptions >= 12, `${interruptions} interruptions`);
  });

  test("that falls silent is noticed, and the run found again", async () => {
    const [result] = await through(1, "", async ([session], proxy) => {
      const lines: string[] = [];
      const code = "import time\nfor i in range(50):\n    print(i)\n    time.sleep(0.02)";
      const run = session!.code.stream(code, "python", { timeoutS: 600 });
      for await (const event of run) {
        if (event.type === "stdout") {
          lines.push(event.text);
          if (lines.length === 1) {
            proxy.now("silence");
          }
        }
      }
      assert.equal(lines.join(""), Array.from({ length: 50 }, (_, i) => `${i}\n`).join(""));
      return run.result;
    });
    assert.deepEqual([result.status, result.interruptions], ["finished", 1]);
  });

  test("loses nothing of a run without callbacks either", async () => {
    const [result] = await through(1, "", async ([session], proxy) => {
      const code = "import time\nopen('begun', 'w').close()\nfor i in range(50):\n    print(i)\n    time.sleep(0.02)\nopen('starts', 'a').write('x')";
      const run = session!.code.run(code, "python", 600);
      const near = (await direct.get(session!.sessionId)).session!;
      while (!(await near.callMcpTool("get_file_info", { path: "begun" })).success) {
        await sleep(10);
      }
      proxy.now("cut");
      const result = await run;
      const starts = await near.code.run("open('starts').read()", "python");
      assert.equal(starts.results[0]?.text, "'x'", "it ran once");
      return result;
    });
    assert.deepEqual([result.status, result.interruptions], ["finished", 1], result.errorMessage);
    assert.equal(result.logs.stdout.join(""), Array.from({ length: 50 }, (_, i) => `${i}\n`).join(""));
    assert.ok(result.executionTime > 0.5 && result.executionCount === 1, `${result.executionTime} ${result.executionCount}`);
  });

  test("does not keep a cancel from the program", async () => {
    await through(1, `seed=${SEED} cut=100 after=600..6000 http`, async ([session]) => {
      const code = "import time\ni = 0\nwhile True:\n    print(i)\n    i += 1\n    time.sleep(0.001)";
      for (let round = 0; round < 5; round += 1) {
        const run = session!.code.stream(code, "python", { timeoutS: 600, logLimit: 0 });
        for await (const event of run) {
          if (event.type === "reconnected") {
            await sleep(round * 10);
            break;
          }
        }
        const { status, stateLost } = await run.result;
        assert.deepEqual([status, stateLost], ["cancelled", false]);
        const near = (await direct.get(session!.sessionId)).session!;
        const next = await near.code.run("print(i > 0)", "python", 60);
        assert.equal(next.logs.stdout.join(""), "True\n", "the program has stopped, and its variables are there");
      }
    });
  });
});

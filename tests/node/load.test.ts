/**
 * One Node process with many sessions and runs at once, and what is left of them afterwards, in it and in the server.
 * `AGB_LOAD=sessions,runs` chooses how many; `cargo xtask soak` has a thousand runs at once.
 */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { AGB, type Session } from "agbcloud-sdk";

import { Lines } from "./lines.ts";
import { newSession, startServer } from "./local-server.ts";

const [SESSIONS = 10, RUNS = 10] = (process.env["AGB_LOAD"] ?? "").split(",").filter(Boolean).map(Number);
const LINES = 200;

/** One run, each line checked. Some read slowly, some go away in the middle. */
async function runOnce(session: Session, n: number): Promise<void> {
  const name = String(n);
  const code = `for i in range(${LINES}): print(f"{i} of ${name} " + "é" * (i % 40), flush=i % 7 == 0)`;
  const lines = new Lines(name);
  const run = session.code.stream(code, "python", { timeoutS: 600, logLimit: 0 });
  let events = 0;
  for await (const event of run) {
    assert.ok(event.type === "stdout" || event.type === "end", `run ${name}: ${JSON.stringify(event)}`);
    if (event.type === "stdout") {
      lines.take(event.text);
    }
    events += 1;
    if (n % 10 === 3) {
      await sleep(5);
    } else if (n % 10 === 7 && events === 2) {
      return; // which stops the program
    }
  }
  const { status, errorMessage } = await run.result;
  assert.equal(status, "finished", `run ${name}: ${errorMessage}`);
  lines.end(LINES);
}

/** Descriptors and memory in use, MiB, of a process. */
function usage(pid: number): { readonly descriptors: number; readonly memory: number } {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return { descriptors: readdirSync(`/proc/${pid}/fd`).length, memory: Number(kib) / 1024 };
}

test(`${SESSIONS * RUNS} runs at once over ${SESSIONS} sessions lose nothing and leave nothing`, async () => {
  const server = await startServer("--max-sessions", String(SESSIONS + 8));
  const agb = new AGB({ apiKey: server.apiKey, config: { endpoint: server.endpoint, timeoutMs: 300_000 } });
  const round = async (sessions: number): Promise<void> => {
    const opened = await Promise.all(Array.from({ length: sessions }, () => newSession(agb)));
    await Promise.all(opened.flatMap((session, at) => Array.from({ length: RUNS }, (_, n) => runOnce(session, at * RUNS + n))));
    const deleted = await Promise.all(opened.map((session) => session.delete()));
    assert.ok(deleted.every(({ success }) => success));
  };
  await round(2); // what is made once is made now
  const before = [process.pid, server.pid].map(usage);
  await round(SESSIONS);
  for (const [at, pid] of [process.pid, server.pid].entries()) {
    const { descriptors, memory } = before[at]!;
    const who = at === 0 ? "this process" : "the server";
    // Idle HTTP connections are kept for a while, and a session's folder is removed behind its end.
    const allowed = descriptors + 4;
    for (const end = performance.now() + 120_000; usage(pid).descriptors > allowed; await sleep(100)) {
      assert.ok(performance.now() < end, `${who} has ${usage(pid).descriptors} descriptors, ${descriptors} before`);
    }
    // Freed memory stays with the allocator for a while; a leak of each run's window and buffers would be more.
    const grown = usage(pid).memory - memory;
    console.log(`# ${who}: ${descriptors} descriptors before, ${usage(pid).descriptors} after; ${grown.toFixed(0)} MiB more`);
    assert.ok(grown < 128, `${who} has ${grown.toFixed(0)} MiB more than before`);
  }
  await server.stop();
});

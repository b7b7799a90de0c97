/** The SDK in Node through a balancer to three servers that act as one: nothing in it knows of that. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { AGB } from "agbcloud-sdk";

import { Lines, numbered } from "./lines.ts";
import { killEntry, type LocalCluster, startCluster } from "./local-cluster.ts";
import { newSession } from "./local-server.ts";

const SESSIONS = 6;

let cluster: LocalCluster;
let agb: AGB;
before(async () => {
  cluster = await startCluster();
  agb = new AGB({ apiKey: cluster.apiKey, config: { endpoint: cluster.endpoint } });
});
after(() => cluster?.stop());

/** Which run of a server has the session: its id says it. */
const owner = (id: string): string => id.slice("session-".length, "session-".length + 12);

test("sessions are at several servers, and runs, files, commands, lists and deletes work by any of them", async () => {
  const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => newSession(agb)));
  assert(new Set(sessions.map(({ sessionId }) => owner(sessionId))).size > 1, "all are at one server");
  await Promise.all(
    sessions.map(async (session, number) => {
      const lines = new Lines(`${number}`);
      const result = await session.code.run(numbered("python", `${number}`, 2_000), "python", 60, true, (text) => lines.take(text));
      assert(result.success, result.errorMessage);
      lines.end(2_000);
      const starts = await session.command.execute("cat starts");
      assert.equal(starts.output, `${number}\n`, "the program began once");
      const text = `${number} `.repeat(100_000);
      const written = await session.file.write("/tmp/a", text);
      assert(written.success, written.errorMessage);
      const read = await session.file.read("/tmp/a");
      assert(read.success && read.content === text, read.errorMessage);
    }),
  );
  const listed = await agb.list(null, 1, 100);
  assert(listed.success, listed.errorMessage);
  assert.deepEqual([...listed.sessionIds].sort(), sessions.map(({ sessionId }) => sessionId).sort());
  for (const session of sessions) {
    const deleted = await agb.delete(session);
    assert(deleted.success, deleted.errorMessage);
  }
});

test("a run goes on when the server that it comes through is killed, and each line comes once", async () => {
  const code = "import time\nfor i in range(300):\n    print(i, flush=True)\n    time.sleep(0.02)";
  const expected = Array.from({ length: 300 }, (_, i) => `${i}\n`).join("");
  let kills = 0;
  // The balancer may choose the owner itself, which passes nothing on: another session then.
  for (let tries = 0; kills === 0 && tries < 8; tries += 1) {
    const session = await newSession(agb);
    let out = "";
    let killing: Promise<number> | undefined;
    const result = await session.code.run(code, "python", 60, {
      onStdout: (text) => {
        out += text;
        killing ??= killEntry(cluster);
      },
    });
    kills = (await killing) ?? 0;
    assert(result.success, result.errorMessage);
    assert.equal(out, expected);
    assert.equal(result.interruptions, kills);
    await agb.delete(session);
  }
  assert.equal(kills, 1, "no run came through a server that did not have its session");
});

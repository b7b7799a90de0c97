/** A page through a balancer to three servers that act as one: nothing in the SDK knows of that. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { killEntry, type LocalCluster, startCluster } from "../node/local-cluster.js";
import { Stage } from "./stage.js";

let cluster: LocalCluster;
let stage: Stage;
before(async () => {
  cluster = await startCluster();
  stage = await Stage.with(cluster);
});
after(() => stage?.close());

const LINES = 300;
const PROGRAM = `import time\nfor i in range(${LINES}):\n    print(i, flush=True)\n    time.sleep(0.02)`;
const EXPECTED = Array.from({ length: LINES }, (_, i) => `${i}\n`).join("");

describe("a page of a cluster", () => {
  it("sees each line once when the server that its WebSocket goes through is killed", async () => {
    const page = await stage.page();
    let kills = 0;
    // The balancer may choose the session's own server, which passes nothing on: another session then.
    for (let tries = 0; kills === 0 && tries < 8; tries += 1) {
      const access = await stage.access();
      await page.evaluate(
        ([access, program]) => {
          const seen = { text: "", result: null as unknown };
          Object.assign(globalThis, { seen });
          const { code } = agb.Session.attach(access as never);
          const onStdout = (text: string): unknown => (seen.text += text);
          void code.run(program, "python", 60, { onStdout }).then((result) => (seen.result = { success: result.success, errorMessage: result.errorMessage }));
        },
        [access, PROGRAM] as const,
      );
      await page.waitForFunction(() => (globalThis as unknown as { seen: { text: string } }).seen.text.includes("\n5\n"));
      kills = await killEntry(cluster);
      await page.waitForFunction(() => (globalThis as unknown as { seen: { result: unknown } }).seen.result !== null, null, { timeout: 90_000 });
      const seen = await page.evaluate(() => (globalThis as unknown as { seen: { text: string; result: { success: boolean; errorMessage: string } } }).seen);
      assert(seen.result.success, seen.result.errorMessage);
      assert.equal(seen.text, EXPECTED);
    }
    assert.equal(kills, 1, "no run came through a server that did not have its session");
  });
});

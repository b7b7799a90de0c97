/**
 * A page behind a network that cuts and delays: each line once and in order, no program run twice. `AGB_LOSSY=runs,seed`
 * chooses how many runs and which faults, as for Node.
 */

import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { Lines, numbered } from "../node/lines.js";
import { Proxy } from "../node/proxy.js";
import { Stage } from "./stage.js";

const [RUNS = 24, SEED = Math.floor(Math.random() * 1e6)] = (process.env["AGB_LOSSY"] ?? "").split(",").filter(Boolean).map(Number);
console.log(`# AGB_LOSSY=${RUNS},${SEED} gives the same faults`);

const SESSIONS = 4;
const LINES = 9_000;

let stage: Stage;
let proxy: Proxy;
before(async () => {
  stage = await Stage.build();
  proxy = await Proxy.start(stage.server.endpoint);
});
after(async () => {
  await proxy.stop();
  await stage.close();
});

it("loses no line over a network that cuts, and runs no program twice", async () => {
  const page = await stage.page();
  const authorization = `Bearer ${stage.server.apiKey}`;
  const create = () => stage.post(`${proxy.endpoint}/mcp/createSession?imageId=agb-code-space-1`, { authorization }, {});
  const sessions = await Promise.all(Array.from({ length: SESSIONS }, create));
  const accesses = await Promise.all(sessions.map((session) => stage.grant(session, {})));
  await proxy.harm(`seed=${SEED} cut=99 stall=1 stall_for=1..300 after=1..160000 delay=0..3`);
  const each = Math.ceil(RUNS / SESSIONS);
  const counts = await Promise.all(
    accesses.map(async (access, at) => {
      let interruptions = 0;
      const names = Array.from({ length: each }, (_, n) => `${at}.${n}`);
      for (const name of names) {
        const seen = await page.evaluate(
          async ({ access, code }) => {
            const chunks: string[] = [];
            const codes: unknown[] = [];
            const { status, errorMessage, interruptions } = await agb.Session.attach(access as never).code.run(code, "python", 600, {
              logLimit: 0,
              onStdout: (chunk) => chunks.push(chunk),
              onError: (error) => codes.push(error.code),
            });
            return { text: chunks.join(""), codes, status, errorMessage, interruptions };
          },
          { access, code: numbered("python", name, LINES) },
        );
        assert.equal(seen.status, "finished", `${name}: ${seen.errorMessage}`);
        const lines = new Lines(name);
        lines.take(seen.text);
        lines.end(LINES);
        assert.ok(seen.codes.every((code) => String(code).startsWith("CONNECTION_")), `${name}: ${seen.codes.join()}`);
        interruptions += seen.interruptions;
      }
      const starts = await page.evaluate(
        async (access) => agb.Session.attach(access as never).code.run("print(open('starts').read(), end='')", "python", 600, true),
        access,
      );
      assert.equal(starts.logs.stdout.join(""), names.map((name) => `${name}\n`).join(""), "each program was begun once");
      return interruptions;
    }),
  );
  const interruptions = counts.reduce((sum, count) => sum + count, 0);
  const tally = await proxy.tally();
  console.log(`# ${each * SESSIONS} runs, ${interruptions} interruptions, ${JSON.stringify(tally)}`);
  assert.ok(tally.cut >= 2 * RUNS, `only ${tally.cut} cuts`);
});

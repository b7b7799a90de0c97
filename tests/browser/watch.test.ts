import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Stage } from "./stage.js";

let stage: Stage;
before(async () => {
  stage = await Stage.build();
});
after(() => stage.close());

describe("a page that only watches", () => {
  it("sees another page's run live and whole, and can neither stop it nor begin one", async () => {
    const { endpoint, apiKey } = stage.server;
    const created = await stage.post(`${endpoint}/mcp/createSession?imageId=agb-code-space-1`, { authorization: `Bearer ${apiKey}` }, {});
    const [runs, reads] = [await stage.grant(created, {}), await stage.grant(created, { scope: "read" })];
    const owner = await stage.page();
    await owner.evaluate(async (access) => {
      const code = "import time\nprint('0', flush=True)\ntime.sleep(2)\nfor i in range(1, 6):\n    print(i, flush=True)\n    time.sleep(0.4)";
      const run = agb.Session.attach(access as never).code.stream(code, "python");
      await new Promise<void>((begun) => {
        const followed = (async () => {
          for await (const event of run) event.type === "stdout" && begun();
          return run.result;
        })();
        Object.assign(globalThis, { run, followed });
      });
    }, runs);
    const id = await owner.evaluate(() => (globalThis as unknown as { run: { id: string } }).run.id);
    const watcher = await stage.page();
    const seen = await watcher.evaluate(async ({ access, id }) => {
      const { code } = agb.Session.attach(access as never);
      const chunks: Array<{ at: number; text: string }> = [];
      const watched = code.attach(id);
      for await (const event of watched) {
        if (event.type === "stdout") chunks.push({ at: performance.now(), text: event.text });
        if (chunks.length === 2) break; // leaving stops the watching, and nothing else
      }
      const again = agb.Session.attach(access as never).code.attach(id);
      for await (const event of again) if (event.type === "stdout") chunks.push({ at: performance.now(), text: event.text });
      const refused = await code.run("print('never')", "python", 20, { onStdout: () => {} });
      return { chunks, status: (await again.result).status, refused: refused.errorMessage };
    }, { access: reads, id });
    const result = await owner.evaluate(() => (globalThis as unknown as { followed: Promise<{ status: string; logs: { stdout: string[] } }> }).followed);
    assert.deepEqual([result.status, result.logs.stdout.join("")], ["finished", "0\n1\n2\n3\n4\n5\n"]);
    assert.match(seen.chunks.map(({ text }) => text).join(""), /3\n4\n5\n$/);
    assert(seen.chunks.at(-1)!.at - seen.chunks[0]!.at > 800, JSON.stringify(seen.chunks));
    assert.equal(seen.status, "finished");
    assert.match(seen.refused, /watching only/);
  });
});

describe("a run that a page finds again", () => {
  it("is stopped by a cancel that comes before the page's WebAssembly and its connection", async () => {
    const { endpoint, apiKey } = stage.server;
    const created = await stage.post(`${endpoint}/mcp/createSession?imageId=agb-code-space-1`, { authorization: `Bearer ${apiKey}` }, {});
    const access = await stage.grant(created, {});
    const owner = await stage.page();
    const id = await owner.evaluate(async (access) => {
      const code = "import time\nprint('begun', flush=True)\ntime.sleep(600)";
      const run = agb.Session.attach(access as never).code.stream(code, "python", { timeoutS: 900 });
      const reader = run.stdout.getReader();
      await reader.read();
      Object.assign(globalThis, { reader });
      return run.id;
    }, access);
    const other = await stage.page();
    const seen = await other.evaluate(async ({ access, id }) => {
      const { code } = agb.Session.attach(access as never);
      const run = code.attach(id);
      void run.cancel();
      const { status } = await run.result;
      const next = await code.run("print('next')", "python", 20); // would wait for the program
      return { status, next: next.logs.stdout.join("") };
    }, { access, id });
    assert.deepEqual(seen, { status: "cancelled", next: "next\n" });
  });
});

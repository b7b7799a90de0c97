import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Page } from "playwright-core";
import { open, Stage, serve, WEB } from "./stage.js";

let stage: Stage;
let site: { readonly origin: string; close(): Promise<void> };
before(async () => {
  stage = await Stage.build();
  const script = '<script type="module">globalThis.agb = await import("/sdk/worker.js");</script>';
  site = await serve({ "/sdk/": WEB }, { "/": `<!doctype html><link rel="icon" href="data:,"><title>worker</title>${script}` });
});
after(async () => {
  await site.close();
  await stage.close();
});

async function blank(): Promise<Page & { readonly complaints: string[] }> {
  const page = await open(stage.browser.context, `${site.origin}/`);
  await page.waitForFunction(() => "agb" in globalThis);
  return page;
}

describe("agbcloud-sdk/worker", () => {
  it("has callbacks, results, logs and errors as the page's own entry, and loads no WebAssembly on the page", async () => {
    const page = await blank();
    const code = "import sys, time\nfor i in range(3):\n    print('grün', i)\n    time.sleep(0.9)\nprint('bad', file=sys.stderr)\n6 * 7";
    const seen = await page.evaluate(async ({ access, code }) => {
      const chunks: Array<{ at: number; text: string }> = [];
      const heard: string[] = [];
      const { code: runner } = agb.Session.attach(access as never);
      const result = await runner.run(code, "python", 60, {
        onStdout: (text) => chunks.push({ at: performance.now(), text }),
        onStderr: (text) => heard.push(text),
        onResult: ({ text }) => heard.push(String(text)),
      });
      const failed = await runner.run("raise ValueError('no')", "python", 60, { onError: (error) => heard.push(error.message) });
      const files = performance.getEntriesByType("resource").map(({ name }) => name.split("/").at(-1));
      return { chunks, heard, files, logs: result.logs, text: result.results[0]?.text, success: result.success, error: failed.error?.name, has: "AGB" in agb };
    }, { access: await stage.access(), code });
    assert.equal(seen.chunks.map(({ text }) => text).join(""), "grün 0\ngrün 1\ngrün 2\n");
    assert(seen.chunks.at(-1)!.at - seen.chunks[0]!.at > 1_600, JSON.stringify(seen.chunks));
    assert.deepEqual(seen.heard, ["bad\n", "42", "no"]);
    assert.deepEqual([seen.success, seen.text, seen.error, seen.has], [true, "42", "ValueError", false]);
    assert.deepEqual([seen.logs.stdout.join(""), seen.logs.stderr.join("")], ["grün 0\ngrün 1\ngrün 2\n", "bad\n"]);
    assert(seen.files.includes("worker-thread.js") && !seen.files.some((file) => file!.endsWith(".wasm")), String(seen.files));
    assert.deepEqual(page.complaints, []);
  });

  it("follows a run event by event, answers its questions, and stops it by cancel, by a signal and by leaving", async () => {
    const page = await blank();
    const seen = await page.evaluate(async (access) => {
      const { code } = agb.Session.attach(access as never);
      const asked = code.stream("print('hello', input('name? '))", "python");
      const types: string[] = [];
      for await (const event of asked) {
        types.push(event.type);
        if (event.type === "inputRequest") asked.write("é\n");
      }
      const endless = "import time\nwhile True:\n    print('.', flush=True)\n    time.sleep(0.05)";
      const abort = new AbortController();
      const signalled = await code.run(endless, "python", 60, { signal: abort.signal, onStdout: () => abort.abort() });
      const left = code.stream(endless, "python");
      for await (const event of left) {
        if (event.type === "stdout") break;
      }
      const again = code.stream(endless, "python");
      await again.cancel();
      return {
        types,
        stdout: (await asked.result).logs.stdout.join(""),
        id: asked.id,
        statuses: [signalled.status, (await left.result).status, (await again.result).status],
      };
    }, await stage.access());
    assert(seen.types.includes("inputRequest") && seen.types.at(-1) === "end", String(seen.types));
    assert.match(seen.stdout, /hello é\n/);
    assert.match(seen.id, /^[0-9a-f]{32}$/);
    assert.deepEqual(seen.statuses, ["cancelled", "cancelled", "cancelled"]);
  });

  it("holds the program back while a callback is slow, loses nothing of it, and cuts the log where it is told to", async () => {
    const page = await blank();
    const code = "import time\nbegan = time.time()\nfor i in range(12):\n    print(str(i % 10) * 1_000_000)\nprint('took', time.time() - began)";
    const seen = await page.evaluate(async ({ access, code }) => {
      let [size, last, slept, most] = [0, "", false, 0];
      const onStdout = (chunk: string): unknown => {
        size += chunk.length;
        last = chunk;
        most = Math.max(most, chunk.length);
        const first = !slept;
        slept = true;
        return first ? new Promise((done) => setTimeout(done, 3_000)) : undefined;
      };
      const result = await agb.Session.attach(access as never).code.run(code, "python", 60, { onStdout, logLimit: 1_500_000 });
      const log = result.logs.stdout.join("");
      return { size, last, truncated: result.truncated, kept: log.length, begins: log[0], ends: log.at(-1) };
    }, { access: await stage.access(), code });
    const took = Number(/took ([\d.]+)/.exec(seen.last)?.[1]);
    assert(took > 2, `the program was not held back: ${took} s`);
    assert(seen.size > 12_000_012, String(seen.size));
    assert.deepEqual([seen.truncated, seen.kept, seen.begins, seen.ends], [true, 1_500_000, "0", "1"]);
  });

  it("watches a run with an access that only reads, and says in words when it is not let in", async () => {
    const page = await blank();
    const { endpoint, apiKey } = stage.server;
    const created = await stage.post(`${endpoint}/mcp/createSession?imageId=agb-code-space-1`, { authorization: `Bearer ${apiKey}` }, {});
    const [owner, reads] = [await stage.grant(created, {}), await stage.grant(created, { scope: "read" })];
    const seen = await page.evaluate(async ({ owner, reads }) => {
      const run = agb.Session.attach(owner as never).code.stream("import time\nfor i in range(5):\n    print(i, flush=True)\n    time.sleep(0.4)", "python");
      const mine = (async () => {
        for await (const event of run) void event;
      })();
      while (run.id === "") await new Promise((done) => setTimeout(done, 20));
      const watched = agb.Session.attach(reads as never).code.attach(run.id);
      let text = "";
      for await (const event of watched) text += event.type === "stdout" ? event.text : "";
      await mine;
      const refused = await agb.Session.attach({ ...owner, token: "0".repeat(64) } as never).code.run("1", "python", 20);
      return { text, status: (await watched.result).status, refused: refused.errorMessage };
    }, { owner, reads });
    assert.match(seen.text, /^\d[\d\n]*4\n$/);
    assert.equal(seen.status, "finished");
    assert.match(seen.refused, /code 4401/);
  });

  it("says so when its worker cannot be loaded", async () => {
    const page = await open(stage.browser.context, `${site.origin}/`);
    await page.route("**/worker-thread.js", (route) => route.fulfill({ status: 404, body: "" }));
    await page.waitForFunction(() => "agb" in globalThis);
    const said = await page.evaluate((access) => agb.Session.attach(access as never).code.run("1", "python", 20).then((r) => r.errorMessage), await stage.access());
    assert.match(said, /worker of agbcloud-sdk cannot be used/);
  });
});

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { brotliCompressSync } from "node:zlib";
import { Stage, WEB } from "./stage.js";

let stage: Stage;
before(async () => {
  stage = await Stage.build();
});
after(() => stage.close());

/** What a page may load, with brotli, to run code. */
const BUDGET_KIB = 64;

describe("a page that its server has let into a session", () => {
  it("sees output while the program runs, and then its result", async () => {
    const page = await stage.page();
    const access = await stage.access();
    const { seen, result } = await page.evaluate(async (access) => {
      const session = agb.Session.attach(access);
      const seen: Array<{ at: number; text: string }> = [];
      const code = "import time\nfor i in range(3):\n    print('grün 漢字 🦀', i)\n    time.sleep(1)\n6 * 7";
      const result = await session.code.run(code, "python", 60, true, (text) => seen.push({ at: performance.now(), text }));
      return { seen, result: { ...result, logs: result.logs } };
    }, access as never);
    assert.deepEqual(seen.map(({ text }) => text), ["grün 漢字 🦀 0\n", "grün 漢字 🦀 1\n", "grün 漢字 🦀 2\n"]);
    for (const [index, { at }] of seen.entries()) {
      const before = seen[index - 1];
      assert(before === undefined || at - before.at >= 800, `chunk ${index} came ${at - (before?.at ?? 0)} ms after the one before`);
    }
    assert.deepEqual([result.success, result.errorMessage, result.results[0]?.text], [true, "", "42"]);
    assert.deepEqual(result.logs.stdout, seen.map(({ text }) => text));
    assert.deepEqual(page.complaints, []);
  });

  it("loads the small build only, and nothing before it is needed", async () => {
    const page = await stage.page();
    const access = await stage.access();
    const files = (): Promise<string[]> =>
      page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name.split("/").at(-1) ?? ""));
    assert(!(await files()).some((name) => name.endsWith(".wasm")));
    await page.evaluate((access) => agb.Session.attach(access).code.run("1", "python"), access as never);
    const loaded = (await files()).filter((name) => /\.(js|wasm)$/.test(name));
    assert.deepEqual(loaded.filter((name) => name.endsWith(".wasm")), ["agb_bg.wasm"]);
    const sizes = loaded.map((name) => brotliCompressSync(readFileSync(`${WEB}${name}`)).length);
    const kib = sizes.reduce((sum, size) => sum + size, 0) / 1_024;
    console.log(`# a page loads ${kib.toFixed(1)} KiB with brotli: ${loaded.map((name, i) => `${name} ${sizes[i]}`).join(", ")}`);
    assert(loaded.includes("index.js") && kib <= BUDGET_KIB, `${kib} KiB`);
  });

  it("runs without streaming, keeps variables, tells streams apart and shows what was raised", async () => {
    const page = await stage.page();
    const access = await stage.access();
    const [first, second, third] = await page.evaluate(async (access) => {
      const { code } = agb.Session.attach(access);
      const first = await code.run("import sys\nx = 20\nprint('out')\nprint('err', file=sys.stderr)", "Py");
      const second = await code.run("x + 1", "python", 10, false);
      const errors: string[] = [];
      const third = await code.run("1 / 0", "python", 10, { onError: (error) => errors.push(error.name) });
      return [{ ...first, logs: first.logs }, second, { ...third, errors }] as const;
    }, access as never);
    assert.deepEqual(first.logs, { stdout: ["out\n"], stderr: ["err\n"] });
    assert.equal(second.results[0]?.text, "21");
    assert.deepEqual([third.success, third.error?.name, third.errors], [false, "ZeroDivisionError", ["ZeroDivisionError"]]);
  });

  it("stops a silent program by a signal, and goes on in the same interpreter", async () => {
    const page = await stage.page();
    const access = await stage.access();
    const { took, stopped, next } = await page.evaluate(async (access) => {
      const { code } = agb.Session.attach(access);
      await code.run("kept = 'yes'", "python");
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 500);
      const began = performance.now();
      const stopped = await code.run("import time\ntime.sleep(60)", "python", 90, { signal: controller.signal });
      const took = performance.now() - began;
      const aborted = await code.run("kept = 'no'", "python", 90, { signal: AbortSignal.abort() });
      return { took, stopped: [stopped.error?.name, aborted.error?.name], next: (await code.run("kept", "python")).results[0]?.text };
    }, access as never);
    assert(took < 5_000, `stopping took ${took} ms`);
    assert.deepEqual(stopped, ["Cancelled", "Cancelled"]);
    assert.equal(next, "'yes'");
  });

  it("has several runs at once on one connection, and a callback that throws stops its own only", async () => {
    const page = await stage.page();
    const access = await stage.access();
    let sockets = 0;
    page.on("websocket", () => (sockets += 1));
    const outcome = await page.evaluate(async (access) => {
      const { code } = agb.Session.attach(access);
      const texts: string[] = ["", "", ""];
      const runs = texts.map((_, at) =>
        code.run(`for (let i = 0; i < 3; i++) { console.log(${at}, i); await new Promise((r) => setTimeout(r, 200)); }`, "javascript", 30, {
          onStdout: (chunk) => {
            texts[at] += chunk;
            if (at === 1) throw new Error("enough");
          },
        }),
      );
      const results = await Promise.all(runs);
      return { texts, names: results.map((result) => result.error?.name) };
    }, access as never);
    assert.deepEqual(outcome, { texts: ["0 0\n0 1\n0 2\n", "1 0\n", "2 0\n2 1\n2 2\n"], names: [undefined, "CallbackError", undefined] });
    assert.equal(sockets, 1);
  });

  it("is not late where the page's clock leaps by hours, ahead or back", async () => {
    const page = await stage.page();
    const access = await stage.access();
    const outcomes = await page.evaluate(async (access) => {
      const real = performance.now.bind(performance);
      let offset = 10 * 3_600_000;
      performance.now = () => real() + offset;
      const { code } = agb.Session.attach(access);
      const outcomes = [];
      // Silent for longer than a heartbeat takes: what is waited for comes due after the leap.
      for (const [leap, silence] of [[3_600_000, 12], [5_000_000_000, 1], [-3_600_000, 1]] as const) {
        let text = "";
        const errors: Array<string | undefined> = [];
        const program = `import time\nfor i in range(3):\n    print(i)\n    time.sleep(0.2)\ntime.sleep(${silence})\nprint('end')`;
        const result = await code.run(program, "python", 20, {
          onStdout: (chunk) => {
            text += chunk;
            offset += chunk.includes("2\n") ? leap : 0;
          },
          onError: (error) => errors.push(error.code),
        });
        outcomes.push([result.status, errors, text, result.executionTime < 19]);
      }
      // A limit is one still, of the time that has really passed.
      const late = await code.run("import time\ntime.sleep(60)", "python", 1, { onStdout: () => {} });
      return [...outcomes, [late.status, late.executionTime > 0.5]];
    }, access as never);
    const whole = ["finished", [], "0\n1\n2\nend\n", true];
    assert.deepEqual(outcomes, [whole, whole, whole, ["timeout", true]]);
  });

  it("says what it cannot do without the key, and which language it does not know", async () => {
    const page = await stage.page();
    const access = await stage.access();
    const [deleted, unknown, tool] = await page.evaluate(async (access) => {
      const session = agb.Session.attach(access);
      const tool = await session.callMcpTool("shell", { command: "echo hello" });
      return [await session.delete(), await session.code.run("1", "cobol"), tool] as const;
    }, access as never);
    assert.deepEqual([deleted.success, deleted.code], [false, "NO_API_KEY"]);
    assert.match(unknown.errorMessage, /cobol.*python, javascript, r, java/);
    assert.equal(tool.success, true, tool.errorMessage);
    assert.match(tool.data, /hello/);
  });
});

describe("a page with an API key", () => {
  it("works with AGB as in Node, and warns once", async () => {
    const page = await stage.page();
    const { endpoint, apiKey } = stage.server;
    const outcome = await page.evaluate(
      async ({ endpoint, apiKey }) => {
        const agbs = [0, 1].map(() => new agb.AGB({ apiKey, config: { endpoint } }));
        const { session, errorMessage } = await agbs[0]!.create(new agb.CreateSessionParams({ imageId: "agb-code-space-1", labels: { a: "1" } }));
        if (session === undefined) throw new Error(errorMessage);
        const streamed: string[] = [];
        const run = await session.code.run("print(6 * 7)", "python", 30, true, (chunk) => streamed.push(chunk));
        const plain = await session.code.run("print(7)", "python");
        const listed = await agbs[1]!.list({ a: "1" });
        const labels = await session.getLabels();
        const gone = await session.delete();
        return { streamed, run: run.success, plain: plain.logs.stdout, listed: listed.totalCount, labels: labels.data, gone: gone.success, endpoint: agbs[0]!.endpoint };
      },
      { endpoint, apiKey },
    );
    assert.deepEqual(outcome, { streamed: ["42\n"], run: true, plain: ["7\n"], listed: 1, labels: { a: "1" }, gone: true, endpoint });
    // Chromium itself reports each answer that is an error: here that the deleted session is gone.
    const complaints = page.complaints.filter((text) => !text.startsWith("Failed to load resource"));
    assert.equal(complaints.length, 1, complaints.join("\n"));
    assert.match(complaints[0] ?? "", /local development only.*browserAccess/);
    assert(!complaints[0]?.includes(apiKey));
  });

  it("is told of a missing key, a wrong one and a server that does not answer", async () => {
    const page = await stage.page();
    const outcome = await page.evaluate(async (endpoint) => {
      const missing = await new agb.AGB({ config: { endpoint } }).create({ imageId: "i" }).catch((error: Error & { code: string }) => error.code);
      const wrong = await new agb.AGB({ apiKey: "wrong", config: { endpoint } }).create({ imageId: "i" });
      const nobody = await new agb.AGB({ apiKey: "key", config: { endpoint: "http://127.0.0.1:9" } }).list();
      return { missing, wrong: wrong.httpStatus, nobody: [nobody.success, nobody.code] };
    }, stage.server.endpoint);
    assert.deepEqual(outcome, { missing: "NO_API_KEY", wrong: 401, nobody: [false, "INTERRUPTED"] });
  });
});

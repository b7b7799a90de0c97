/**
 * Run times beside Node's main thread: worker threads, Bun, Deno work; Cloudflare's workerd and edge functions refuse in
 * one sentence.
 *
 * @module
 */

import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { CJS, ESM, NODE_22, Stage, tool } from "./stage.mjs";

const stage = new Stage("runtimes");
before(() => stage.open());

const BUN = tool("bun/bin/bun.exe");
const DENO = tool("@deno/linux-x64-glibc/deno");

describe("worker threads", () => {
  it("each have the SDK to themselves, beside the main thread", async (t) => {
    const program = stage.write(
      "threads.mjs",
      `import { isMainThread, parentPort, Worker } from "node:worker_threads";
      import { AGB } from "agbcloud-sdk";
      async function printed() {
        const agb = new AGB();
        const { session, errorMessage } = await agb.create({ imageId: "agb-code-space-1" });
        if (!session) throw new Error(errorMessage);
        const { logs } = await session.code.run("for i in range(3): print(i)", "python");
        await agb.delete(session);
        return logs.stdout.join("");
      }
      if (isMainThread) {
        const workers = Array.from({ length: 3 }, () => new Worker(new URL(import.meta.url)));
        const answers = workers.map((worker) => new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject)));
        console.log(JSON.stringify([await printed(), ...(await Promise.all(answers))]));
      } else {
        parentPort.postMessage(await printed());
      }`,
    );
    const { printed, code, errors } = await stage.run(t, [program]);
    assert.equal(code, 0, errors);
    assert.deepEqual(JSON.parse(printed[0]), Array(4).fill("0\n1\n2\n"));
  });

  it("can be ended in the middle of a run", async (t) => {
    const program = stage.write(
      "ended.mjs",
      `import { isMainThread, parentPort, Worker } from "node:worker_threads";
      import { AGB } from "agbcloud-sdk";
      if (isMainThread) {
        for (let round = 0; round < 3; round += 1) {
          const worker = new Worker(new URL(import.meta.url));
          await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
          await worker.terminate();
        }
        console.log("ended");
      } else {
        const { session } = await new AGB().create({ imageId: "agb-code-space-1" });
        const run = session.code.stream("import time\\nprint(1, flush=True)\\ntime.sleep(60)", "python");
        for await (const event of run) if (event.type === "stdout") parentPort.postMessage("runs");
      }`,
    );
    const { printed, code, errors } = await stage.run(t, [program]);
    assert.deepEqual([printed, code], [["ended"], 0], errors);
  });
});

describe("Bun", () => {
  for (const [file, source] of [["program.mjs", ESM], ["program.cjs", CJS]]) {
    it(`runs ${file}`, async (t) => {
      stage.write(`bun/${file}`, source);
      await stage.works(t, [stage.path(`bun/${file}`)], { program: BUN });
    });
  }
});

describe("Deno", () => {
  const files = () => {
    stage.write("deno/deno.json", '{ "nodeModulesDir": "manual" }\n');
    return stage.write("deno/program.mjs", ESM);
  };

  it("runs a program that it allows to load the addon", async (t) => {
    const allowed = ["--allow-ffi", "--allow-read", "--allow-env", "--allow-sys", "--allow-net"];
    await stage.works(t, ["run", ...allowed, files()], { program: DENO });
  });

  it("says which permission is missing", async (t) => {
    const { code, errors } = await stage.run(t, ["run", "--no-prompt", "--allow-read", "--allow-env", "--allow-sys", files()], { program: DENO });
    assert.equal(code, 1);
    assert.match(errors, /NATIVE_ADDON_BROKEN|cannot be loaded/);
    assert.match(errors, /Start Deno with --allow-ffi/);
  });
});

describe("workerd, by Miniflare", () => {
  it("refuses in one sentence when the package is used, and not when it is imported", async (t) => {
    stage.write("workerd/package.json", '{ "name": "worker", "private": true, "type": "module" }\n');
    stage.write(
      "workerd/in.mjs",
      `import { AGB, NativeAddonError } from "agbcloud-sdk";
      export default {
        async fetch() {
          try { new AGB("key"); return new Response("made"); }
          catch (error) { return Response.json({ code: error.code, typed: error instanceof NativeAddonError, message: error.message }); }
        },
      };\n`,
    );
    // As wrangler bundles.
    const options = ["in.mjs", "--bundle", "--format=esm", "--conditions=workerd,worker,browser", "--outfile=out.mjs"];
    await stage.tool(t, "workerd", options, { program: tool("esbuild/bin/esbuild") });
    const program = stage.write(
      "workerd/serve.mjs",
      `import { Miniflare } from ${JSON.stringify(tool("miniflare/dist/src/index.js"))};
      const worker = new Miniflare({ modules: true, scriptPath: "out.mjs", compatibilityDate: "2025-10-01" });
      console.log(await (await worker.dispatchFetch("http://worker/")).text());
      await worker.dispose();\n`,
    );
    const done = await stage.node(t, [program], {}, NODE_22, { cwd: stage.path("workerd") });
    assert.equal(done.code, 0, done.errors);
    const { code, typed, message } = JSON.parse(done.lines.at(-1).text);
    assert.deepEqual([code, typed], ["NATIVE_ADDON_MISSING", true]);
    assert.match(message, /^agbcloud-sdk does not run in edge functions and Cloudflare Workers: .*Node/);
  });
});

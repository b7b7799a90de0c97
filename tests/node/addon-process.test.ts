/** What the addon does to a process: nothing keeps one alive that should not, and none dies of it. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { Worker } from "node:worker_threads";

import { ADDON } from "./addon.ts";
import { FakeService } from "./fake-service.ts";

let service: FakeService;

before(async () => {
  service = await FakeService.start();
});

after(() => service.stop());

describe("a process", () => {
  /** Runs a script with the addon as `binding` and the service's address as `endpoint`. */
  async function script(body: string): Promise<{ code: number | null; signal: string | null; out: string; ms: number }> {
    const source = `
      const binding = require(${JSON.stringify(ADDON)});
      const endpoint = ${JSON.stringify(service.endpoint)};
      const client = new binding.Client({ apiKey: "k", endpoint, timeoutMs: null, envFile: null, env: [], localServer: null, streaming: null, proxy: null, ca: null });
      const create = () => client.createSession({ imageId: "i", labels: null, idleReleaseTimeout: null, mcpPolicyId: null, contextId: null, persistence: null, options: null, sdkVersion: "0" });
      const stream = (session, wake) => session.stream({ code: "1", language: "python", timeoutS: 30, logLimit: null, resultLimit: null, stamps: false, stdin: false }, wake);
      ${body}`;
    const started = Date.now();
    const child = spawn(process.execPath, ["-e", source], { stdio: ["ignore", "pipe", "inherit"] });
    let out = "";
    child.stdout.on("data", (chunk) => (out += String(chunk)));
    const [code, signal] = (await once(child, "close")) as [number | null, string | null];
    return { code, signal, out, ms: Date.now() - started };
  }

  test("exits by itself when its sessions are idle, and not before its runs have ended", async () => {
    service.onRun = async (run) => {
      run.chunk("out", "a");
      await new Promise((resolve) => setTimeout(resolve, 300));
      run.end();
    };
    const { code, out, ms } = await script(`
      create().then(({ data }) => {
        globalThis.kept = data;
        const run = stream(data, () => { for (let b; (b = run.take()); ) { if (b.ended) console.log(run.result().success); } });
      });`);
    assert.deepEqual([code, out], [0, "true\n"]);
    assert.ok(ms < 5_000, `${ms}`);
  });

  test("ends in the middle of a run that nobody reads, and of one that is read no further", { timeout: 60_000 }, async () => {
    service.onRun = async (run) => {
      for (;;) {
        if (!(await run.pushed(run.chunk("out", "0123456789".repeat(1_000))))) {
          return;
        }
      }
    };
    for (const wake of ["", "if (!begun) { begun = true; run.take(); setTimeout(() => { for (let i = 0; i < 100; i += 1) run.take(); console.log('read'); }, 500); }"]) {
      const { code, out } = await script(`
        let begun = false;
        create().then(({ data }) => {
          const run = stream(data, () => { ${wake} });
          globalThis.kept = [data, run];
        });
        process.on("exit", () => console.log("exit"));`);
      assert.deepEqual([code, out], [0, wake === "" ? "exit\n" : "read\nexit\n"]);
    }
  });

  test("lives as long as a run that is read slowly, and no longer", { timeout: 60_000 }, async () => {
    const CHUNKS = 1_000;
    service.onRun = async (run) => {
      for (let chunk = 0; chunk < CHUNKS; chunk += 1) {
        if (!(await run.pushed(run.chunk("out", "0123456789".repeat(1_000))))) {
          return;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 500)); // nothing but the run keeps the process alive meanwhile
      run.end();
    };
    const { code, out } = await script(`
      let length = 0;
      create().then(({ data }) => {
        const run = stream(data, () => setTimeout(() => {
          for (let b; (b = run.take()); ) { length += b.text.length; if (b.ended) console.log(run.result().success, length); }
        }, 200)); // long enough to fill what lies between, again and again
      });`);
    assert.deepEqual([code, out], [0, `true ${CHUNKS * 10_000}\n`]);
  });

  test("can be ended in the middle of runs", async () => {
    service.onRun = async (run) => {
      for (;;) {
        if (!(await run.pushed(run.chunk("out", "0123456789")))) {
          return;
        }
      }
    };
    for (const how of ["process.exit(3)", "process.kill(process.pid, 'SIGTERM')", "throw new Error('expected by the test')"]) {
      const { code, signal, ms } = await script(`
        process.on("uncaughtException", () => process.exit(3));
        let count = 0;
        create().then(({ data }) => {
          for (let index = 0; index < 20; index += 1) {
            const run = stream(data, () => { while (run.take()) { if (++count === 500) { ${how}; } } });
          }
        });`);
      assert.ok(code === 3 || signal === "SIGTERM", `${how}: ${code} ${signal}`);
      assert.ok(ms < 10_000, `${how}: ${ms}`);
    }
  });

  test("survives workers that load the addon and end in the middle of runs", { timeout: 60_000 }, async () => {
    service.onRun = async (run) => {
      for (;;) {
        if (!(await run.pushed(run.chunk("out", "你好"), 5))) {
          return;
        }
      }
    };
    const { code, out } = await script(`
      const { Worker } = require("node:worker_threads");
      const source = ${JSON.stringify(`
        const { parentPort, workerData } = require("node:worker_threads");
        const binding = require(workerData.addon);
        const client = new binding.Client({ apiKey: "k", endpoint: workerData.endpoint, timeoutMs: null, envFile: null, env: [], localServer: null, streaming: null, proxy: null, ca: null });
        client.createSession({ imageId: "i", labels: null, idleReleaseTimeout: null, mcpPolicyId: null, contextId: null, persistence: null, options: null, sdkVersion: "0" }).then(({ data }) => {
          for (let index = 0; index < 5; index += 1) {
            const run = data.stream({ code: "1", language: "python", timeoutS: 30, logLimit: null, resultLimit: null, stamps: false, stdin: false }, () => {
              while (run.take()) parentPort.postMessage("taken");
            });
          }
        });`)};
      const one = () => new Promise((resolve, reject) => {
        const worker = new Worker(source, { eval: true, workerData: { addon: ${JSON.stringify(ADDON)}, endpoint } });
        let taken = 0;
        worker.on("message", () => { if (++taken === 3) worker.terminate().then(resolve, reject); });
        worker.on("error", reject);
      });
      (async () => { for (let round = 0; round < 5; round += 1) await Promise.all([one(), one()]); console.log("done"); })();`);
    assert.deepEqual([code, out], [0, "done\n"]);
  });

  test("survives when only a worker ever loaded the addon", { timeout: 60_000 }, async () => {
    service.onRun = async (run) => run.end();
    const worker = new Worker(
      `const { workerData } = require("node:worker_threads"); require(workerData);`,
      { eval: true, workerData: ADDON },
    );
    const [code] = (await once(worker, "exit")) as [number];
    assert.equal(code, 0);
    const source = `
      const { Worker } = require("node:worker_threads");
      const body = "const b = require(" + JSON.stringify(${JSON.stringify(ADDON)}) + "); const c = new b.Client({ apiKey: 'k', endpoint: " +
        JSON.stringify(${JSON.stringify(service.endpoint)}) + ", timeoutMs: null, envFile: null, env: [], localServer: null, streaming: null, proxy: null, ca: null }); c.invoke('image.tools', '{\\"imageId\\":\\"x\\"}')";
      const next = (left) => { if (left === 0) { setTimeout(() => console.log("done"), 200); return; }
        new Worker(body, { eval: true }).on("exit", () => next(left - 1)); };
      next(5);`;
    const child = spawn(process.execPath, ["-e", source], { stdio: ["ignore", "pipe", "inherit"] });
    let out = "";
    child.stdout.on("data", (chunk) => (out += String(chunk)));
    assert.deepEqual(await once(child, "close"), [0, null]);
    assert.equal(out, "done\n");
  });
});

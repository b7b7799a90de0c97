import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Stage } from "./stage.js";

let stage: Stage;
before(async () => {
  stage = await Stage.build();
});
after(() => stage.close());

const MB = 1_000_000;

/** The page's memory as the browser's own tools show it: JavaScript's heap, and what lies beside it (WebAssembly too). */
interface Usage {
  readonly usedSize: number;
  readonly backingStorageSize: number;
}

describe("a page that is slower than its program", () => {
  it("takes 2 GB without growing, loses nothing, and does not hold up another run", async () => {
    const page = await stage.page();
    const access = await stage.access();
    const tools = await stage.browser.context.newCDPSession(page);
    const used = async (): Promise<number> => {
      const { usedSize, backingStorageSize } = (await tools.send("Runtime.getHeapUsage")) as Usage;
      return usedSize + backingStorageSize;
    };
    const settled = async (): Promise<number> => {
      await tools.send("HeapProfiler.collectGarbage");
      return used();
    };
    await page.evaluate(async (access) => {
      const { code } = agb.Session.attach(access);
      await code.run("1", "python");
      Object.assign(globalThis, { code });
    }, access as never);
    const before = await settled();
    await page.evaluate(() => {
      const { code } = globalThis as unknown as { code: import("agbcloud-sdk").Code };
      const line = "0123456789abcdef".repeat(3);
      const seen = { bytes: 0, chunks: 0, bad: 0, waited: 0, beside: "", success: false, error: "", over: false };
      Object.assign(globalThis, { seen });
      const program = `const s = "0123456789abcdef".repeat(4096); // 64 KiB
        const more = () => new Promise((done) => process.stdout.write(s, done));
        for (let i = 0; i < 30518; i++) await more();`;
      const flood = code.run(program, "javascript", 600, {
        logLimit: 0,
        onStdout: (chunk) => {
          // Whole and in order: each chunk goes on where the last one ended.
          const from = seen.bytes % 16;
          seen.bad += Number(chunk.slice(0, 32) !== line.slice(from, from + Math.min(32, chunk.length)));
          seen.bytes += chunk.length;
          seen.chunks += 1;
          // Slower than the program: now and then it takes its time.
          return seen.chunks % 64 === 0 ? new Promise((done) => setTimeout(done, 5)) : undefined;
        },
      });
      const began = performance.now();
      void code.run("print('beside')", "python", 30).then((result) => {
        seen.beside = result.logs.stdout.join("");
        seen.waited = performance.now() - began;
      });
      void flood.then(({ success, errorMessage }) => Object.assign(seen, { success, error: errorMessage, over: true }));
    });
    let [most, held, looks] = [0, 0, 0];
    const seen = (): Promise<Record<string, unknown>> => page.evaluate(() => ({ ...(globalThis as unknown as { seen: object }).seen }));
    let state = await seen();
    while (state["over"] !== true) {
      await sleep(250);
      most = Math.max(most, (await used()) - before);
      if (looks % 4 === 0) {
        held = Math.max(held, (await settled()) - before); // what is left when the garbage is gone
      }
      looks += 1;
      state = await seen();
    }
    const after = (await settled()) - before;
    console.log(`# at most ${(most / MB).toFixed(1)} MB more in ${looks} looks, ${(held / MB).toFixed(1)} MB of it in use, ${(after / MB).toFixed(1)} MB more afterwards`);
    const { success, error, bytes, bad, beside, waited } = state;
    assert.deepEqual({ success, error, bytes, bad, beside }, { success: true, error: "", bytes: 30518 * 65536, bad: 0, beside: "beside\n" });
    // The window is 1 MiB, in two bytes a character and with what is on its way.
    assert(held < 16 * MB, `${held / MB} MB were in use`);
    // The rest is garbage, of which the browser lets some tens of megabytes pile up: of 2 GB, that is none.
    assert(most > 0 && most < 128 * MB, `memory grew by ${most / MB} MB`);
    assert(after < 4 * MB, `${after / MB} MB are left`);
    assert(Number(waited) < 5_000, `a run beside it took ${waited} ms`);
  });
});

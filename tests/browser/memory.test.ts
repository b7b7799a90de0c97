import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Stage } from "./stage.js";

let stage: Stage;
before(async () => {
  stage = await Stage.build();
});
after(() => stage.close());

const MB = 1_000_000;

describe("a page that is slower than its program", () => {
  it("takes 2 GB without growing, loses nothing, and does not hold up another run", async () => {
    const page = await stage.page();
    const access = await stage.access();
    const outcome = await page.evaluate(async (access) => {
      const memory = (performance as unknown as { memory: { usedJSHeapSize: number } }).memory;
      const collect = (globalThis as unknown as { gc: () => void }).gc;
      const { code } = agb.Session.attach(access);
      await code.run("1", "python");
      collect();
      const before = memory.usedJSHeapSize;
      let [bytes, most, chunks, bad] = [0, 0, 0, 0];
      const line = "0123456789abcdef".repeat(4096); // 64 KiB
      const flood = code.run(`const s = ${JSON.stringify("0123456789abcdef")}.repeat(4096);
        const more = () => new Promise((done) => process.stdout.write(s, done));
        for (let i = 0; i < 30518; i++) await more();`, "javascript", 600, {
        logLimit: 0,
        onStdout: async (chunk) => {
          // Whole and in order: each chunk goes on where the last one ended.
          const from = bytes % 16;
          if (chunk.slice(0, 32) !== line.slice(from, from + Math.min(32, chunk.length))) bad += 1;
          bytes += chunk.length;
          chunks += 1;
          if (chunks % 64 === 0) {
            await new Promise((done) => setTimeout(done, 5)); // slower than the program
            most = Math.max(most, memory.usedJSHeapSize - before);
          }
        },
      });
      const began = performance.now();
      const beside = await code.run("print('beside')", "python", 30);
      const waited = performance.now() - began;
      const result = await flood;
      collect();
      return { bytes, most, bad, waited, beside: beside.logs.stdout, success: result.success, error: result.errorMessage, after: memory.usedJSHeapSize - before };
    }, access as never);
    const { bytes, most, bad, waited, beside, success, error, after } = outcome;
    console.log(`# heap: at most ${(most / MB).toFixed(1)} MB more while it ran, ${(after / MB).toFixed(1)} MB afterwards`);
    assert.deepEqual([success, error, bytes, bad], [true, "", 30518 * 65536, 0]);
    assert(most < 64 * MB, `the heap grew by ${most / MB} MB`);
    assert(after < 8 * MB, `${after / MB} MB are left`);
    assert.deepEqual(beside, ["beside\n"]);
    assert(waited < 5_000, `a run beside it took ${waited} ms`);
  });
});

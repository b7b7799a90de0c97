import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { DevTools } from "../bench/devtools.ts";
import { startServer } from "../node/local-server.js";
import { Stage } from "./stage.js";

let stage: Stage;
before(async () => {
  stage = await Stage.build();
});
after(() => stage.close());

describe("over the life of a page", () => {
  it("a reload takes the session up again, variables and all", async () => {
    const page = await stage.page();
    const access = await stage.access();
    await page.evaluate((access) => agb.Session.attach(access).code.run("kept = 5", "python"), access as never);
    await page.reload();
    await page.waitForFunction(() => "agb" in globalThis);
    const result = await page.evaluate((access) => agb.Session.attach(access).code.run("kept + 1", "python"), access as never);
    assert.equal(result.results[0]?.text, "6");
  });

  it("a tab in the background, whose timers are throttled, hears each chunk as it is printed and loses nothing", async () => {
    // Playwright keeps every page visible, so this browser is driven by hand.
    const browser = await DevTools.launch();
    const loaded = async (): Promise<Awaited<ReturnType<DevTools["open"]>>> => {
      const page = await browser.open(`${stage.site.origin}/`);
      for (let ready = false; !ready; await sleep(50)) {
        ready = (await page.evaluate('"agb" in globalThis').catch(() => false)) as boolean; // it navigates still
      }
      return page;
    };
    try {
      const page = await loaded();
      await loaded(); // is now in front
      await page.evaluate("new Promise((done) => document.hidden ? done() : addEventListener('visibilitychange', done))");
      // Two turns: the first is not throttled yet.
      const tick = "new Promise((done) => setTimeout(() => { const began = performance.now(); setTimeout(() => done(performance.now() - began), 10); }, 10))";
      const throttled = Number(await page.evaluate(tick));
      assert(throttled > 500, `a timer of 10 ms took ${throttled} ms: nothing is throttled here`);
      const code = "import time\nfor i in range(40):\n    print(i)\n    time.sleep(0.1)";
      const seen = (await page.evaluate(`(async () => {
        const [times, texts] = [[], []];
        const onStdout = (chunk) => { texts.push(chunk); times.push(performance.now()); };
        const session = agb.Session.attach(${JSON.stringify(await stage.access())});
        const { success } = await session.code.run(${JSON.stringify(code)}, "python", 60, { onStdout });
        return { success, hidden: document.hidden, texts, times };
      })()`)) as { success: boolean; hidden: boolean; texts: string[]; times: number[] };
      assert.deepEqual([seen.success, seen.hidden], [true, true]);
      assert.equal(seen.texts.join(""), Array.from({ length: 40 }, (_, i) => `${i}\n`).join(""));
      // By a throttled timer they would come once a second, ten together.
      const moments = seen.times.filter((time, i) => time - (seen.times[i - 1] ?? 0) > 30).length;
      const seconds = (seen.times.at(-1)! - seen.times[0]!) / 1_000;
      assert(moments > 1.5 * seconds, `${moments} moments in ${seconds} s`);
    } finally {
      await browser.close();
    }
  });

  for (const end of ["told to stop", "killed"]) it(`a server that is ${end} and started again under the page ends the run honestly, and the next one asks for a new way in`, async (test) => {
    const first = await startServer();
    test.after(() => first.stop());
    const page = await stage.page();
    const created = await stage.post(`${first.endpoint}/mcp/createSession?imageId=agb-code-space-1`, { authorization: `Bearer ${first.apiKey}` }, {});
    const access = await stage.grant(created, {});
    await page.evaluate((access) => {
      const session = agb.Session.attach(access);
      const run = session.code.run("import time\nprint('begun')\ntime.sleep(60)", "python", 90, {
        onStdout: () => document.body.append("begun"),
      });
      Object.assign(globalThis, { session, run });
    }, access as never);
    await page.waitForFunction(() => document.body.textContent?.includes("begun"));
    const { port } = new URL(first.endpoint);
    if (end === "killed") {
      process.kill(first.pid, "SIGKILL");
    }
    await first.stop();
    const second = await startServer("--listen", `127.0.0.1:${port}`);
    test.after(() => second.stop());
    const ended = await page.evaluate(async () => (await (globalThis as unknown as { run: Promise<{ errorMessage: string }> }).run).errorMessage);
    assert.match(ended, end === "killed" ? /outcome is unknown/ : /told to stop|outcome is unknown/);
    const next = await page.evaluate(async () => {
      const { session } = globalThis as unknown as { session: import("agbcloud-sdk").Session };
      return (await session.code.run("1", "python", 20)).errorMessage;
    });
    // The new server knows neither the session nor its token, and tells a made-up one nothing.
    assert.match(next, /fetch it anew/);
  });
});

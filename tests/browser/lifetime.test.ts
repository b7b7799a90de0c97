import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
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

  it("a tab in the background loses nothing", async () => {
    const page = await stage.page();
    const access = await stage.access();
    await page.evaluate((access) => {
      const seen: string[] = [];
      const code = "import time\nfor i in range(40):\n    print(i)\n    time.sleep(0.1)";
      const run = agb.Session.attach(access).code.run(code, "python", 60, { onStdout: (chunk) => seen.push(chunk) });
      Object.assign(globalThis, { seen, run });
    }, access as never);
    const front = await stage.page(); // is now in front
    await sleep(2_000);
    const hidden = await page.evaluate(() => document.visibilityState);
    const { text, success } = await page.evaluate(async () => {
      const { seen, run } = globalThis as unknown as { seen: string[]; run: Promise<{ success: boolean }> };
      return { success: (await run).success, text: seen.join("") };
    });
    assert.equal(text, Array.from({ length: 40 }, (_, i) => `${i}\n`).join(""), `while it was ${hidden}`);
    assert.equal(success, true);
    await front.close();
  });

  it("a server that is restarted under the page ends the run honestly, and the next one asks for a new way in", async () => {
    const first = await startServer();
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
    await first.stop();
    const ended = await page.evaluate(async () => (await (globalThis as unknown as { run: Promise<{ errorMessage: string }> }).run).errorMessage);
    assert.match(ended, /outcome is unknown|released|4404|Cancelled/);
    const second = await startServer("--listen", `127.0.0.1:${port}`);
    const next = await page.evaluate(async () => {
      const { session } = globalThis as unknown as { session: import("agbcloud-sdk").Session };
      return (await session.code.run("1", "python", 20)).errorMessage;
    });
    assert.match(next, /code 4404.*not found/);
    await second.stop();
  });
});

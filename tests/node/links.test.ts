/** What a session serves and uses, from Node against the real server. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";

import { type Stage, startStage } from "./local-server.ts";

let stage: Stage;

before(async () => {
  stage = await startStage();
});
after(() => stage.leave());

describe("a session", () => {
  test("serves a port over a link while its program goes on in the background", async () => {
    const { command, file } = stage.session;
    await file.mkdir("/tmp/site");
    await file.write("/tmp/site/page.txt", "served");
    const started = await command.execute("nohup python3 -m http.server 30100 > /tmp/log 2>&1 &", 10_000, "/tmp/site");
    assert.ok(started.success, started.errorMessage);
    const link = await stage.session.getLink("http", 30100);
    assert.ok(link.data, link.errorMessage);
    const url = new URL("page.txt", link.data.endsWith("/") ? link.data : `${link.data}/`);
    let text = "";
    // Nothing tells when the program listens; the bound is against hanging.
    for (const end = Date.now() + 60_000; text !== "served" && Date.now() < end; await setTimeout(20)) {
      const answer = await fetch(url);
      const body = await answer.text();
      text = answer.ok ? body : "";
    }
    assert.equal(text, "served");
  });

  test("refuses a link to a port that it does not offer, in words", async () => {
    const refused = await stage.session.getLink("http", 1);
    assert.deepEqual([refused.success, refused.data], [false, undefined]);
    assert.notEqual(refused.errorMessage, "");
    assert.equal((await stage.session.getLink("http", 70_000)).code, "BAD_ARGUMENTS");
  });

  test("tells what it uses", async () => {
    const { success, metrics, raw, errorMessage } = await stage.session.getMetrics();
    assert.ok(success, errorMessage);
    assert.ok((metrics?.cpuCount ?? 0) > 0 && (metrics?.memTotal ?? 0) > 0, JSON.stringify(raw));
    assert.notEqual(metrics?.timestamp, "");
  });

  test("says honestly that it has no desktop", async () => {
    const clicked = await stage.session.computer.mouse.click(1, 1);
    assert.deepEqual([clicked.success, clicked.code], [false, "NOT_SUPPORTED"]);
    assert.match(clicked.errorMessage, /agb-code-space-1 has no tool click_mouse/);
    assert.equal(await stage.session.browser.initialize(), false);
  });
});

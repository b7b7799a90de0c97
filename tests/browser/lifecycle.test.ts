/**
 * Pages that are put away and shown again, frozen and thawed, hidden and shown: each line once, one program. Playwright keeps
 * every page visible and out of the back/forward cache, so this browser is driven by hand.
 */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { DevTools, type DevToolsPage } from "../bench/devtools.ts";
import { type LocalServer, startServer } from "../node/local-server.js";
import { Proxy } from "../node/proxy.js";
import { keptPage, type Seen, SocketCounter } from "./kept-page.js";
import { serve, WEB } from "./stage.js";

const AWAY_MS = 5_000;
const LINES = 120;
/** Prints for seven seconds, and leaves a mark each time it is run. */
const CODE = `import time\nopen("starts", "a").write("x")\nfor i in range(${LINES}):\n    print(i, flush=True)\n    time.sleep(0.06)`;
const EXPECTED = Array.from({ length: LINES }, (_, i) => `${i}\n`).join("");

/** How a page reaches the service, and what it imports. */
const WAYS = [
  { name: "over a WebSocket", page: "/kept", streams: false },
  { name: "by event streams", page: "/kept", streams: true },
  { name: "in agbcloud-sdk/worker", page: "/worker", streams: false },
] as const;

let server: LocalServer;
let noSockets: Proxy;
let site: Awaited<ReturnType<typeof serve>>;
let browser: DevTools;
before(async () => {
  // A server that notices within seconds that somebody is silent.
  server = await startServer("--heartbeat", "1", "--silence-timeout", "3");
  noSockets = await Proxy.start(server.endpoint);
  await noSockets.harm("refuse=100");
  const pages = { "/kept": keptPage("/sdk/index.js"), "/worker": keptPage("/sdk/worker.js"), "/elsewhere": "<!doctype html><title>elsewhere</title>" };
  site = await serve({ "/sdk/": WEB }, pages);
  browser = await DevTools.launch();
});
after(async () => {
  await browser?.close();
  await site?.close();
  await noSockets?.stop();
  await server?.stop();
});

async function post(url: string, headers: Record<string, string>): Promise<Record<string, unknown>> {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: "{}" });
  const { success, message, data } = (await response.json()) as { success: boolean; message: string; data: Record<string, unknown> };
  assert(success, message);
  return data;
}

/** A new session as a page is let into it, at this address. */
async function access(endpoint: string): Promise<Record<string, unknown>> {
  const session = await post(`${endpoint}/mcp/createSession?imageId=agb-code-space-1`, { authorization: `Bearer ${server.apiKey}` });
  return post(`${String(session["linkUrl"])}/browserAccess`, { "x-access-token": String(session["token"]) });
}

/** Evaluates again until something true comes: while a page navigates there is nothing to ask. */
async function until<T>(page: DevToolsPage, expression: string): Promise<T> {
  for (;;) {
    const value = await page.evaluate(expression).catch(() => false);
    if (value) {
      return value as T;
    }
    await sleep(50);
  }
}

/** Opens the page, lets it begin its run, and waits for the first lines. */
async function begun(way: (typeof WAYS)[number], counter?: SocketCounter): Promise<DevToolsPage> {
  const given = await access(way.streams ? noSockets.endpoint : (counter ?? server).endpoint);
  const page = await browser.open(`${site.origin}${way.page}`);
  await until(page, "globalThis.ready");
  await page.evaluate(`globalThis.access = ${JSON.stringify(given)}; begin(access, ${JSON.stringify(CODE)})`);
  await until(page, "seen.lines.length > 5");
  return page;
}

/** Waits for the run's end. Every line came once, the end once, and the program ran once. */
async function whole(page: DevToolsPage, name: string): Promise<Seen> {
  await until(page, "globalThis.ready && seen.ends.length > 0");
  const seen = (await page.evaluate("seen")) as Seen;
  assert.equal(seen.lines.join(""), EXPECTED, name);
  assert.deepEqual(seen.ends, ["finished"], name);
  const read = `(async () => {
    const { Session } = await import("/sdk/index.js");
    const result = await Session.attach(JSON.parse(sessionStorage.getItem("access"))).code.run("open('starts').read()", "python", 30);
    return result.results[0]?.text ?? result.errorMessage;
  })()`;
  assert.equal(await page.evaluate(read), "'x'", `${name}: the program was begun once`);
  return seen;
}

describe("a page's life", { concurrency: true }, () => {
  for (const way of WAYS) {
    it(`is left and shown again after 5 s, its run ${way.name}`, async () => {
      const page = await begun(way);
      await page.evaluate('sessionStorage.setItem("access", JSON.stringify(access)); location.href = "/elsewhere"');
      await until(page, 'location.pathname === "/elsewhere" && document.readyState === "complete"');
      await sleep(AWAY_MS);
      await page.evaluate("history.back()");
      const seen = await whole(page, way.name);
      const cached = seen.shows.at(-1) === true;
      assert.equal(seen.shows.length, 2);
      assert.equal(seen.loads, cached ? 1 : 2, "kept as it was, or loaded anew");
      console.log(`# ${way.name}: ${cached ? "kept in the back/forward cache" : `loaded anew: ${JSON.stringify(seen.reasons)}`}; ${seen.interruptions} interruptions`);
    });

    it(`is frozen for 5 s and goes on, its run ${way.name}`, async () => {
      const page = await begun(way);
      await page.evaluate(`
        sessionStorage.setItem("access", JSON.stringify(access));
        globalThis.life = [];
        for (const name of ["freeze", "resume"]) document.addEventListener(name, () => life.push(name));
        globalThis.ticks = [performance.now()];
        setInterval(() => ticks.push(performance.now()), 50);`);
      await page.send("Page.setWebLifecycleState", { state: "frozen" });
      await sleep(AWAY_MS);
      await page.send("Page.setWebLifecycleState", { state: "active" });
      const seen = await whole(page, way.name);
      const longest = Number(await page.evaluate("Math.max(...ticks.map((tick, i) => tick - (ticks[i - 1] ?? tick)))"));
      assert(longest > AWAY_MS / 2, `it was not frozen: the longest pause was ${longest} ms`);
      assert.deepEqual(await page.evaluate("life"), ["freeze", "resume"]);
      assert.equal(seen.loads, 1);
      console.log(`# ${way.name}: ${seen.interruptions} interruptions`);
    });
  }

  it("is hidden and shown, over and over, on two sockets at most", async () => {
    const counter = await SocketCounter.start(server.endpoint);
    const page = await begun(WAYS[0], counter);
    const other = await browser.open(`${site.origin}/elsewhere`);
    try {
      await page.evaluate(`
        sessionStorage.setItem("access", JSON.stringify(access));
        globalThis.changes = 0;
        document.addEventListener("visibilitychange", () => changes++);`);
      for (let turn = 0; turn < 30; turn++) {
        await other.send("Page.bringToFront");
        await page.send("Page.bringToFront");
      }
      // What the browser joins into one change comes here one by one, with all that a page hears about its life.
      await page.evaluate(`for (let i = 0; i < 500; i++) {
        for (const name of ["visibilitychange", "freeze", "resume"]) document.dispatchEvent(new Event(name));
        for (const name of ["blur", "focus", "offline", "online", "pagehide", "pageshow"]) dispatchEvent(new Event(name));
      }`);
      const seen = await whole(page, "hidden and shown");
      assert.equal(seen.interruptions, 0);
      assert(Number(await page.evaluate("changes")) >= 500);
      assert(counter.most <= 2, `${counter.most} sockets at once`);
    } finally {
      counter.close();
    }
  });
});

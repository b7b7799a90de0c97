/**
 * `cargo xtask demo --browser --upstream`, from its start to Ctrl+C: the example page through a gateway to a service with part 1
 * of the wire alone. Loaded anew in mid-run it goes on with its run and loses no line.
 */

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, it } from "node:test";
import { fileURLToPath } from "node:url";
import { descendants, ExampleSite, isAlive } from "./example-site.js";
import { launch, open } from "./stage.js";

const ARTEFACTS = fileURLToPath(new URL("../../target/browser/", import.meta.url));
const LINES = 100;
const PROGRAM = `import time
for i in range(${LINES}):
    print(f"\\x1b[32mline {i}\\x1b[0m", flush=True)
    time.sleep(0.06)
"the value"`;

let site: ExampleSite;
let browser: Awaited<ReturnType<typeof launch>>;
before(async () => {
  mkdirSync(ARTEFACTS, { recursive: true });
  site = await ExampleSite.demo("--upstream");
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await site?.stop();
});

it("goes on with its run after F5, without losing a line", async () => {
  const page = await open(browser.context, site.address);
  await page.setViewportSize({ width: 1280, height: 2_400 }); // all lines at once: the terminal draws what is in view
  await page.waitForSelector("#state[data-kind=ready]");
  await page.click(".cm-content");
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText(PROGRAM);
  await page.click("#run");
  const shown = (): Promise<string[]> => page.locator(".xterm-rows").innerText().then((text) => text.match(/line \d+/g) ?? []);
  for (const line of [10, 40]) {
    await page.waitForFunction((line) => document.querySelector(".xterm-rows")?.textContent?.includes(`line ${line}`), line);
    await page.reload();
    await page.waitForSelector("#state[data-kind=running]");
  }
  await page.waitForFunction(() => document.querySelector(".xterm-rows")?.textContent?.includes("line 60"));
  await page.screenshot({ path: `${ARTEFACTS}example-gateway-running.png` });
  await page.waitForSelector("#state[data-kind=finished]", { timeout: 60_000 });
  await page.waitForFunction((line) => document.querySelector(".xterm-rows")?.textContent?.includes(`line ${line}`), LINES - 1);
  const lines = await shown();
  const view = lines.map((line) => Number(line.slice(5)));
  assert.deepEqual(view, Array.from({ length: view.length }, (_, i) => LINES - view.length + i), "each line once, in order");
  assert(!(await page.locator(".xterm-rows").innerText()).includes("Output appears here"));
  assert((await page.locator(".cm-content").innerText()).includes("the value"), "the program is in the editor");
  assert(view.length >= 80, `${view.length} lines are in view`);
  assert.match(await page.locator("#results").innerText(), /the value/);
  await page.screenshot({ path: `${ARTEFACTS}example-gateway-finished.png` });
  assert.deepEqual(page.complaints, []);
});

it("ends with all that it started at Ctrl+C", async () => {
  const started = descendants(site.process.pid!);
  const servers = started.filter(({ name }) => name === "agb-server");
  assert(servers.length >= 2, `the service and the gateway: ${JSON.stringify(started)}`);
  await site.stop("SIGINT");
  assert.equal(site.process.exitCode, 130);
  assert.deepEqual(started.filter(isAlive), []);
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { type LocalServer, startServer } from "../node/local-server.js";
import { ExampleSite } from "./example-site.js";
import { launch, open } from "./stage.js";
import { answersItsOwnPageOnly, givesOutNothingElse } from "./strangers.js";

const ARTEFACTS = fileURLToPath(new URL("../../target/browser/", import.meta.url));

let server: LocalServer;
let site: ExampleSite;
let address: string;
let browser: Awaited<ReturnType<typeof launch>>;
let page: Page & { readonly complaints: string[] };

before(async () => {
  mkdirSync(ARTEFACTS, { recursive: true });
  // With the default image, which `cargo xtask test` prepares: tqdm is in it.
  const target = fileURLToPath(new URL("../../target/", import.meta.url));
  server = await startServer("--image-dir", `${target}images`, "--cache-dir", `${target}tmp/cache`);
  const { endpoint, apiKey } = server;
  site = await ExampleSite.start(endpoint, apiKey);
  ({ address } = site);
  browser = await launch();
  page = await open(browser.context, address);
  await page.setViewportSize({ width: 1280, height: 760 });
  await page.waitForSelector("#state[data-kind=ready]");
});

after(async () => {
  await browser?.close();
  await site?.stop();
  await server?.stop();
});

/** Replaces the program, by keyboard only. */
async function type(program: string): Promise<void> {
  await page.click(".cm-content");
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText(program);
}

const shown = (): Promise<string> => page.locator(".xterm-rows").innerText();
const state = (kind: string): Promise<unknown> => page.waitForSelector(`#state[data-kind=${kind}]`);

describe("the example page", () => {
  it("shows a progress bar that moves in place, colours and a table", async () => {
    await page.click("#run");
    await state("running");
    await page.waitForFunction(() => /\d\d%/.test(document.querySelector(".xterm-rows")?.textContent ?? ""));
    const early = (await shown()).match(/\d+%/g) ?? [];
    await state("finished");
    const late = await shown();
    assert.equal(early.length, 1, "the bar is drawn once, not line after line");
    assert.deepEqual(late.match(/\d+%/g), ["100%"]);
    assert.match(late, /red is a colour[^]*blue is a colour/);
    const colours = await page.locator(".xterm-rows span").evaluateAll((spans) => new Set(spans.map((span) => getComputedStyle(span).color)).size);
    assert(colours >= 4, `${colours} colours`);
    const table = page.frameLocator("#results iframe").locator("table");
    assert.match(await table.innerText(), /5\s+25\s+125/);
    await page.waitForFunction(() => document.querySelector<HTMLImageElement>("#results img")?.naturalWidth === 480); // the picture
    assert.equal(await page.getAttribute("#results iframe", "sandbox"), "");
    await page.screenshot({ path: `${ARTEFACTS}example-laptop.png` });
  });

  it("shows each result when the program shows it, not at the end", async () => {
    await type("import time\nclass P:\n    def _repr_svg_(self):\n        return '<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"30\" height=\"30\"/>'\nfor i in range(3):\n    display(P())\n    time.sleep(1)");
    await page.keyboard.press("Control+Enter");
    for (const count of [1, 2, 3]) {
      await page.waitForFunction((count) => document.querySelectorAll("#results img").length === count, count);
      assert.equal(await page.getAttribute("#state", "data-kind"), "running", `result ${count}`);
    }
    await state("finished");
    assert.equal(await page.locator("#results figure").count(), 3);
  });

  it("redraws a bar of tqdm itself in place, and keeps one that is left above", async () => {
    await type("from tqdm import tqdm\nimport time\nfor _ in tqdm(range(40), desc='outer', ncols=70):\n    time.sleep(0.08)\ntime.sleep(0.5)\nprint('below')");
    await page.keyboard.press("Control+Enter");
    const bars = async (): Promise<string[]> => (await shown()).split("\n").filter((line) => line.includes("outer:"));
    const percents = new Set<string>();
    for (let bar; !(bar = (await bars())[0] ?? "").includes("100%"); ) {
      const drawn = await bars();
      assert(drawn.length <= 1, `the bar is drawn line after line:\n${drawn.join("\n")}`);
      percents.add(/\d+%/.exec(bar)?.[0] ?? "");
    }
    assert(percents.size >= 4, `it moved: ${[...percents].join(" ")}`);
    await state("finished");
    await page.waitForFunction(() => document.querySelector(".xterm-rows")?.textContent?.includes("below"));
    assert.match(await shown(), /outer: 100%\|█+\| 40\/40 \[.*it\/s\]\s*\n\s*below/);
    await page.screenshot({ path: `${ARTEFACTS}example-tqdm.png` });
  });

  it("is used by keyboard: type, run, stop, with the time and the state told", async () => {
    await type("import time\nprint('begun')\ntime.sleep(60)");
    await page.keyboard.press("Control+Enter");
    await page.waitForFunction(() => document.querySelector(".xterm-rows")?.textContent?.includes("begun"));
    await page.keyboard.press("Control+.");
    await state("stopped");
    assert.match((await page.textContent("#elapsed")) ?? "", /^\d+\.\d s$/);
    assert.match((await page.textContent("#announcer")) ?? "", /^Stopped, \d/);
    await type("print('still there')");
    await page.keyboard.press("Control+Enter");
    await state("finished");
    await page.waitForFunction(() => document.querySelector(".xterm-rows")?.textContent?.includes("still there"));
  });

  it("shows what was raised, and pictures", async () => {
    await type("1 / 0");
    await page.keyboard.press("Control+Enter");
    await state("failed");
    await page.waitForFunction(() => document.querySelector(".xterm-rows")?.textContent?.includes("ZeroDivisionError"));
    await type("class P:\n    def _repr_svg_(self):\n        return '<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"40\" height=\"40\"><circle cx=\"20\" cy=\"20\" r=\"15\"/></svg>'\nP()");
    await page.keyboard.press("Control+Enter");
    await state("finished");
    await page.waitForFunction(() => (document.querySelector<HTMLImageElement>("#results img")?.naturalWidth ?? 0) === 40);
    await type("import base64\nclass P:\n    def _repr_png_(self):\n        return base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==')\nP()");
    await page.keyboard.press("Control+Enter");
    await state("finished");
    await page.waitForFunction(() => (document.querySelector<HTMLImageElement>("#results img")?.naturalWidth ?? 0) === 1);
  });

  it("lets nothing of a result run in the page", async () => {
    await type("class D:\n    def _repr_html_(self):\n        return '<p>shown</p><script>parent.document.title = \"taken\"</script><img src=x onerror=\"parent.document.title = 1\">'\nD()");
    await page.keyboard.press("Control+Enter");
    await state("finished");
    assert.equal(await page.frameLocator("#results iframe").locator("p").innerText(), "shown");
    assert.equal(await page.title(), "Run code");
    page.complaints.length = 0; // Chromium's own words about the script that it has not run
  });

  it("lets a result speak to nobody", async () => {
    const heard: string[] = [];
    const listener = createServer((request, response) => {
      heard.push(request.url!);
      response.end();
    });
    await once(listener.listen(0, "127.0.0.1"), "listening");
    const { port } = listener.address() as AddressInfo;
    const to = (name: string): string => `http://127.0.0.1:${port}/${name}`;
    const html =
      `<img src=${to("img")}><style>@import url(${to("import")}); p { background: url(${to("background")}) } @font-face { font-family: x; src: url(${to("font")}) }</style>` +
      `<link rel=stylesheet href=${to("link")}><link rel=prefetch href=${to("prefetch")}><link rel=preconnect href=${to("")}><iframe src=${to("frame")}></iframe>` +
      `<video src=${to("video")} poster=${to("poster")}></video><object data=${to("object")}></object><meta http-equiv=refresh content="0;url=${to("refresh")}"><p style="font-family: x">said</p>`;
    await type(`class D:\n    def _repr_html_(self):\n        return ${JSON.stringify(html)}\nD()`);
    await page.keyboard.press("Control+Enter");
    await state("finished");
    await page.locator("#results iframe").last().waitFor();
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 1_000))); // whatever would be loaded has begun
    listener.close();
    assert.deepEqual(heard, []);
    page.complaints.length = 0; // Chromium's own words about what it has not loaded
  });

  it("gives out its own files and serves its own page only", async () => {
    await givesOutNothingElse(address, "/etc/passwd", "root:");
    await givesOutNothingElse(address, fileURLToPath(import.meta.url), "gives out its own files");
    await answersItsOwnPageOnly(address, "/api/session");
  });

  it("has a program for each language", async () => {
    for (const [language, printed] of [["javascript", "step 5 of 5"], ["r", "step 5 of 5"], ["java", "step 5 of 5"], ["python", "blue is a colour"]] as const) {
      await page.selectOption("#language", language);
      await page.keyboard.press("Control+Enter");
      await page.waitForFunction((words) => document.querySelector(".xterm-rows")?.textContent?.includes(words), printed);
      await state("finished");
    }
  });

  it("stays responsive while a program floods it", async () => {
    await type("for i in range(400_000): print('line', i)");
    await page.evaluate(() => {
      const tasks: number[] = [];
      new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => tasks.push(duration))).observe({ entryTypes: ["longtask"] });
      Object.assign(globalThis, { tasks });
    });
    await page.keyboard.press("Control+Enter");
    await state("running");
    await state("finished");
    const tasks = await page.evaluate(() => (globalThis as unknown as { tasks: number[] }).tasks);
    console.log(`# tasks above 50 ms: ${tasks.length}, the longest ${Math.max(0, ...tasks).toFixed(0)} ms`);
    // Without the terminal's brake this is tens of seconds in one task. A busy machine makes 50 ms ten times as long.
    assert(Math.max(0, ...tasks) < 2_000, "the page froze");
    assert.match(await shown(), /line 399999/);
  });

  it("keeps its session over a reload, and fits a phone", async () => {
    await type("kept = 'kept'");
    await page.keyboard.press("Control+Enter");
    await state("finished");
    await page.reload();
    await page.setViewportSize({ width: 390, height: 800 });
    await state("ready");
    await type("print(kept)");
    await page.keyboard.press("Control+Enter");
    await state("finished");
    await page.waitForFunction(() => document.querySelector<HTMLElement>(".xterm-rows")?.innerText.includes("kept")); // it draws when the page has time
    assert.match(await shown(), /kept/);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(overflow <= 0, `${overflow} pixels too wide`);
    await page.screenshot({ path: `${ARTEFACTS}example-phone.png` });
    await page.emulateMedia({ colorScheme: "dark" });
    await page.waitForFunction(() => {
      const bright = (part: Element): number => Math.max(...(getComputedStyle(part).backgroundColor.match(/\d+/g) ?? []).slice(0, 3).map(Number));
      return Array.from(document.querySelectorAll(".cm-editor, .cm-gutters")).every((part) => bright(part) < 80);
    });
    await page.screenshot({ path: `${ARTEFACTS}example-dark.png` });
    assert.deepEqual(page.complaints, []);
  });

  it("renews its way in by the time that is left of it, whatever its own clock says", async () => {
    for (const hours of [-5, 5]) {
      const other = await open(browser.context, address);
      await other.addInitScript(`
        const [now, timer] = [Date.now, setTimeout];
        Date.now = () => now() + ${hours * 3_600_000};
        globalThis.waits = [];
        globalThis.setTimeout = (call, wait, ...rest) => (waits.push(wait), timer(call, wait, ...rest));`);
      await other.reload();
      await other.waitForSelector("#state[data-kind=ready]");
      await other.click("#run");
      await other.waitForSelector("#state[data-kind=finished]", { timeout: 60_000 });
      const waits = await other.evaluate(() => (globalThis as unknown as { waits: number[] }).waits);
      assert.deepEqual(waits.filter((wait) => wait > 13 * 60_000), [14 * 60_000], "a minute before the 15 are over");
      await other.close();
    }
  });

  it("has a shell that knows its size, takes Ctrl-C and is found again after a reload", async () => {
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 1280, height: 760 });
    const inShell = (text: string): Promise<unknown> =>
      page.waitForFunction((text) => document.querySelector<HTMLElement>("#shell .xterm-rows")?.innerText.includes(text), text);
    const typed = async (line: string): Promise<void> => {
      await page.locator("#shell .xterm-helper-textarea").focus();
      await page.keyboard.insertText(line);
      await page.keyboard.press("Enter");
    };
    await page.click("#shell-tab");
    await typed("echo $((40 + 2)) of $(stty size | wc -w); kept=still-here");
    await inShell("42 of 2");
    let asked = 0;
    const size = async (): Promise<string> => {
      const mark = `asked ${(asked += 1)}:`; // an earlier answer may still be shown
      await typed(`clear; echo "${mark}" $(stty size)`);
      const answer = await page.waitForFunction((mark) => {
        const shown = document.querySelector<HTMLElement>("#shell .xterm-rows")?.innerText ?? "";
        return new RegExp(`${mark} (\\d+ \\d+)`).exec(shown)?.[1];
      }, mark);
      return (await answer.jsonValue())!;
    };
    /** The page tells the terminal of its new size in a later frame. */
    const sizeThat = async (is: (size: string) => boolean): Promise<void> => {
      for (let tries = 0; !is(await size()); tries += 1) assert(tries < 100, "the terminal does not follow the page");
    };
    const large = await size();
    await page.setViewportSize({ width: 900, height: 500 });
    await sizeThat((size) => size !== large);
    await page.setViewportSize({ width: 1280, height: 760 });
    await sizeThat((size) => size === large);
    await typed("sleep 600");
    await page.keyboard.press("Control+c");
    await typed("printf '\\033[32mgreen\\033[0m after-%d\\n' 23; ls -la / | head -8");
    await inShell("after-23");
    await page.screenshot({ path: `${ARTEFACTS}example-shell.png` });
    await page.reload();
    await state("ready");
    await page.click("#shell-tab");
    await typed("echo $kept $kept");
    await inShell("still-here still-here");
    assert.deepEqual(page.complaints, []);
  });
});

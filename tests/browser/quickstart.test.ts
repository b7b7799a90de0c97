import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type LocalServer, startGateway, startServer } from "../node/local-server.js";
import { ExampleSite } from "./example-site.js";
import { launch, open } from "./stage.js";
import { answersItsOwnPageOnly, givesOutNothingElse } from "./strangers.js";

describe("the README's quick start for browsers", () => {
  let server: LocalServer;
  let service: LocalServer;
  let gateway: LocalServer;
  let site: ExampleSite;
  let browser: Awaited<ReturnType<typeof launch>>;

  before(async () => {
    server = await startServer();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await site?.stop();
    await server?.stop();
    await gateway?.stop();
    await service?.stop();
  });

  it("shows output in the page while the program runs", async () => {
    site = await ExampleSite.start(server.endpoint, server.apiKey, "browser-quickstart.ts");
    const page = await open(browser.context, site.address);
    const times: number[] = [];
    for (let step = 1; step <= 5; step += 1) {
      await page.waitForFunction((step) => document.body.textContent?.includes(`Progress: ${step}/5`), step);
      times.push(performance.now());
    }
    await page.waitForFunction(() => document.querySelector("#output")?.textContent?.endsWith("Done!"));
    for (const [index, time] of times.entries()) {
      const before = times[index - 1] ?? time - 1_000;
      assert(time - before >= 800, `step ${index + 1} came ${time - before} ms after the one before`);
    }
    assert.deepEqual(page.complaints, []);
  });

  it("shows it through a gateway, with the key of a service that lets no page in", async () => {
    service = await startServer("--plain-wire");
    gateway = await startGateway(service);
    const before = await ExampleSite.start(service.endpoint, service.apiKey, "browser-quickstart.ts");
    const refused = await fetch(`${before.address}/session`, { method: "POST" }).finally(() => before.stop());
    assert.match(await refused.text(), /npx agbcloud-local serve --upstream/);
    const behind = await ExampleSite.start(gateway.endpoint, gateway.apiKey, "browser-quickstart.ts");
    try {
      const page = await open(browser.context, behind.address);
      await page.waitForFunction(() => document.querySelector("#output")?.textContent?.endsWith("Done!"));
      assert.match(await page.locator("#output").innerText(), /^(Progress: [1-5]\/5\n){5}Done!$/);
      assert.deepEqual(page.complaints, []);
    } finally {
      await behind.stop();
    }
  });

  it("gives out its four files and serves its own page only", async () => {
    await givesOutNothingElse(site.address, "/etc/passwd", "root:");
    await givesOutNothingElse(site.address, fileURLToPath(import.meta.url), "gives out its four files");
    await answersItsOwnPageOnly(site.address, "/session");
  });
});

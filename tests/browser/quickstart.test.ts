import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type LocalServer, startServer } from "../node/local-server.js";
import { launch, open } from "./stage.js";
import { answersItsOwnPageOnly, givesOutNothingElse } from "./strangers.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

describe("the README's quick start for browsers", () => {
  let server: LocalServer;
  let program: ChildProcess;
  let address: string;
  let browser: Awaited<ReturnType<typeof launch>>;

  before(async () => {
    server = await startServer();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    if (program?.exitCode === null) {
      program.kill("SIGTERM");
      await once(program, "exit");
    }
    await server?.stop();
  });

  it("shows output in the page while the program runs", async () => {
    program = spawn(process.execPath, ["--import", "tsx", "browser-quickstart.ts"], {
      cwd: `${ROOT}examples`,
      env: { ...process.env, AGB_ENDPOINT: server.endpoint, AGB_API_KEY: server.apiKey, PORT: "0" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    [address] = (await once(createInterface({ input: program.stdout! }), "line")) as [string];
    const page = await open(browser.context, address);
    const times: number[] = [];
    for (let step = 1; step <= 5; step += 1) {
      await page.waitForFunction((step) => document.body.textContent?.includes(`Progress: ${step}/5`), step);
      times.push(performance.now());
    }
    await page.waitForFunction(() => document.body.textContent?.includes("Done!"));
    for (const [index, time] of times.entries()) {
      const before = times[index - 1] ?? time - 1_000;
      assert(time - before >= 800, `step ${index + 1} came ${time - before} ms after the one before`);
    }
    assert.deepEqual(page.complaints, []);
  });

  it("gives out its four files and serves its own page only", async () => {
    await givesOutNothingElse(address, "/etc/passwd", "root:");
    await givesOutNothingElse(address, fileURLToPath(import.meta.url), "gives out its four files");
    await answersItsOwnPageOnly(address, "/session");
  });
});

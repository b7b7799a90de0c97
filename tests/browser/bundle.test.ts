import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { open, serve, Stage } from "./stage.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The little of Vite that is used here; it is installed for the examples. */
interface Vite {
  build(config: object): Promise<unknown>;
  createServer(config: object): Promise<{ listen(): Promise<unknown>; close(): Promise<void>; resolvedUrls: { local: string[] } | null }>;
}

let stage: Stage;
let vite: Vite;
let project: string;

before(async () => {
  stage = await Stage.build();
  vite = (await import(pathToFileURL(join(ROOT, "examples/node_modules/vite/dist/node/index.js")).href)) as Vite;
  project = mkdtempSync(join(tmpdir(), "agb-vite-"));
  const installed = join(project, "node_modules/agbcloud-sdk");
  mkdirSync(installed, { recursive: true });
  const tarball = execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", project], { cwd: join(ROOT, "npm/sdk"), encoding: "utf8" }).trim();
  execFileSync("tar", ["--strip-components=1", "-xzf", join(project, tarball), "-C", installed]);
  writeFileSync(join(project, "package.json"), '{ "private": true, "type": "module", "dependencies": { "agbcloud-sdk": "*" } }');
  writeFileSync(join(project, "index.html"), '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/main.ts"></script>');
  writeFileSync(
    join(project, "main.ts"),
    'import * as agb from "agbcloud-sdk"; import * as threaded from "agbcloud-sdk/worker"; const work = () => new Worker(new URL("./worker.ts", import.meta.url), { type: "module" }); Object.assign(globalThis, { agb, threaded, work });',
  );
  writeFileSync(
    join(project, "worker.ts"),
    'import { Session } from "agbcloud-sdk"; onmessage = async ({ data }) => postMessage((await Session.attach(data).code.run("print(6 * 7)", "python")).logs.stdout);',
  );
});
after(async () => {
  await stage.close();
  rmSync(project, { recursive: true, force: true });
});

async function works(origin: string, hasWorker = true): Promise<void> {
  const page = await open(stage.browser.context, origin);
  await page.waitForFunction(() => "agb" in globalThis, null, { timeout: 20_000 });
  const access = await stage.access();
  const guest = await page.evaluate((access) => agb.Session.attach(access).code.run("print(6 * 7)", "python"), access as never);
  assert.deepEqual([guest.errorMessage, guest.logs.stdout], ["", ["42\n"]]);
  const elsewhere = await page.evaluate(
    (access) => (globalThis as unknown as { threaded: typeof agb }).threaded.Session.attach(access).code.run("print(6 * 7)", "python"),
    access as never,
  );
  assert.deepEqual([elsewhere.errorMessage, elsewhere.logs.stdout], ["", ["42\n"]]);
  const worked = !hasWorker || await page.evaluate((access) => {
    const worker = (globalThis as unknown as { work(): Worker }).work();
    return new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(`the worker: ${message}`));
      worker.postMessage(access);
    });
  }, access as never);
  assert.deepEqual(worked, hasWorker ? ["42\n"] : true);
  const { endpoint, apiKey } = stage.server;
  const listed = await page.evaluate(({ endpoint, apiKey }) => new agb.AGB({ apiKey, config: { endpoint } }).list(), { endpoint, apiKey });
  assert.equal(listed.errorMessage, "");
  await page.close();
}

describe("the packed package", () => {
  it("is bundled by Vite, and its WebAssembly comes along as files", async () => {
    await vite.build({ root: project, logLevel: "warn" });
    const files = readdirSync(join(project, "dist/assets"));
    assert.equal(files.filter((name) => name.endsWith(".wasm")).length, 2, files.join(", "));
    const built = await serve({ "/": join(project, "dist") });
    try {
      await works(`${built.origin}/index.html`);
    } finally {
      await built.close();
    }
  });

  it("works in Vite's development server", async () => {
    const server = await vite.createServer({ root: project, logLevel: "warn", server: { host: "127.0.0.1" } });
    await server.listen();
    try {
      await works(server.resolvedUrls!.local[0]!);
    } finally {
      await server.close();
    }
  });

  it("works in a page without a bundler", async () => {
    const page = '<!doctype html><link rel="icon" href="data:,"><script type="module">globalThis.threaded = await import("/node_modules/agbcloud-sdk/web/worker.js"); globalThis.agb = await import("/node_modules/agbcloud-sdk/web/index.js");</script>';
    const site = await serve({ "/node_modules/": join(project, "node_modules") }, { "/": page });
    try {
      await works(`${site.origin}/`, false); // environment.test.ts has a worker without a bundler
    } finally {
      await site.close();
    }
  });
});

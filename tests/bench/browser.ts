/**
 * What the SDK costs a page, in the page, by its worker entry or in a worker of the page, beside thirty lines of JavaScript that do the same.
 *
 * `node --import tsx bench/browser.ts [--json] [--runs N]`, after `cargo build --release -p agb-testkit` and
 * `cargo xtask wasm`; `cargo xtask bench browser` does all of it. A page a measurement, the clients in turn. The main
 * thread's CPU is the browser's own figure, thread time of its tasks.
 */

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { parseArgs } from "node:util";
import { DevTools } from "./devtools.ts";
import { program, startServer } from "./processes.ts";
import { median, short, table } from "./statistics.ts";

const CASES = [
  { s: 64, n: 300_000 },
  { s: 1024, n: 150_000 },
  { s: 65536, n: 8_000 },
] as const;
const CLIENTS = ["plain", "sdk", "entry", "worker"] as const;

interface Figures {
  seconds: number;
  chunks: number;
  characters: number;
  longest: number;
  /** CPU time of the page's main thread, seconds. */
  cpu: number;
}

const { values: options } = parseArgs({ options: { json: { type: "boolean", default: false }, runs: { type: "string", default: "3" } } });
const web = new URL("../../npm/sdk/web/", import.meta.url);
const site = createServer((request, response) => {
  const path = request.url ?? "/";
  const type = path.endsWith(".wasm") ? "application/wasm" : path.endsWith(".js") ? "text/javascript" : "text/html";
  try {
    const file = path.startsWith("/sdk/") ? new URL(path.slice(5), web) : new URL(`./browser-${path === "/worker.js" ? "worker" : "page"}.js`, import.meta.url);
    response.writeHead(200, { "content-type": type }).end(path === "/" ? '<script src="/page.js"></script>' : readFileSync(file));
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}/`;

const server = await startServer(program("agb-load"), [], { pinned: false });
const browser = await DevTools.launch();
const rows: Array<Record<string, number | string>> = [];
try {
  for (const load of CASES) {
    const figures = { plain: [] as Figures[], sdk: [] as Figures[], entry: [] as Figures[], worker: [] as Figures[] };
    for (let run = 0; run < Number(options.runs); run++) {
      for (const client of CLIENTS) {
        process.stderr.write(`  ${load.s} bytes, ${client}, ${run + 1} of ${options.runs}      \r`);
        figures[client].push(await measure(client, load));
      }
    }
    for (const client of CLIENTS) {
      const of = (pick: (each: Figures) => number): number => median(figures[client].map(pick));
      rows.push({
        bytes: load.s,
        client,
        messagesPerSecond: of(({ chunks, seconds }) => chunks / seconds),
        megabytesPerSecond: of(({ characters, seconds }) => characters / seconds / 1e6),
        mainThreadUsPerMessage: of(({ cpu, chunks }) => (cpu / chunks) * 1e6),
        longestTaskMs: of(({ longest }) => longest),
      });
    }
  }
} finally {
  await browser.close();
  await server.stop();
  site.close();
}
process.stderr.write(`${" ".repeat(60)}\r`);
if (options.json) {
  console.log(JSON.stringify(rows));
} else {
  const head = ["chunk", "client", "messages/s", "MB/s", "main thread, µs each", "longest task, ms"];
  const lines = rows.map((row) => [`${row["bytes"]} B`, String(row["client"]), ...["messagesPerSecond", "megabytesPerSecond", "mainThreadUsPerMessage", "longestTaskMs"].map((key) => short(Number(row[key])))]);
  console.log(table([head, ...lines]));
}

async function measure(client: string, load: { s: number; n: number }): Promise<Figures> {
  const response = await fetch(`${server.endpoint}/mcp/createSession?imageId=load`, { method: "POST", body: "{}" });
  const { data } = (await response.json()) as { data: Record<string, unknown> };
  const access = { ...data, token: data["token"] || "token", expiresAt: "never", scope: "run" };
  const page = await browser.open(origin);
  try {
    await page.evaluate('new Promise((done) => (document.readyState === "complete" ? done() : addEventListener("load", done)))');
    const call = (from: number): string => `measure(${JSON.stringify(client)}, ${JSON.stringify(access)}, ${JSON.stringify({ ...load, n: from })})`;
    await page.evaluate(call(Math.min(load.n, 20_000))); // warm
    const before = await page.cpu();
    const figures = (await page.evaluate(call(load.n))) as Omit<Figures, "cpu">;
    return { ...figures, cpu: (await page.cpu()) - before };
  } finally {
    await page.close();
  }
}

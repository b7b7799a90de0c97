/** The built site in Chromium: no dead link, nothing that axe-core finds, nothing wider than a telephone. */

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { after, before, describe, it } from "node:test";
import { createRequire } from "node:module";
import { type Browser, chromium, type Page } from "playwright-core";
import { DOCS, pages } from "./blocks.ts";

const SITE = join(DOCS, "../../target/docs");
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TYPES: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json", ".txt": "text/plain", ".woff2": "font/woff2" };
const LOOKS = [
  { name: "light", colorScheme: "light", viewport: { width: 1280, height: 900 } },
  { name: "dark", colorScheme: "dark", viewport: { width: 1280, height: 900 } },
  { name: "narrow", colorScheme: "light", viewport: { width: 380, height: 800 } },
  { name: "narrow-dark", colorScheme: "dark", viewport: { width: 380, height: 800 } },
] as const;
/** Where screenshots go, when somebody wants to look. */
const SHOTS = process.env["DOCS_SCREENSHOTS"];
const API = ["api/index", "api/sdk/src/node/classes/Code"];
const addresses = [...pages().map((page) => page.replace(/\.md$/, "")), ...API];

let server: Server;
let origin: string;
let browser: Browser;

/** The file of a path, as a server of static files with `cleanUrls` finds it. */
function fileOf(path: string): string | undefined {
  const base = join(SITE, normalize(decodeURIComponent(path)));
  return [base, `${base}.html`, join(base, "index.html")].find((file) => extname(file) !== "" && existsSync(file));
}

before(async () => {
  assert.ok(existsSync(join(SITE, "index.html")), "the site is not built: cargo xtask docs");
  server = createServer((request, response) => {
    const file = fileOf(new URL(request.url ?? "/", "http://x").pathname);
    response.writeHead(file === undefined ? 404 : 200, { "content-type": TYPES[extname(file ?? "")] ?? "application/octet-stream" });
    response.end(file === undefined ? "not found" : readFileSync(file));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  browser = await chromium.launch({ executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
});
after(async () => {
  await browser?.close();
  server?.close();
});

async function open(look: (typeof LOOKS)[number], address: string): Promise<Page & { complaints: string[] }> {
  const page = await browser.newPage({ colorScheme: look.colorScheme, viewport: look.viewport, reducedMotion: "reduce" });
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("response", (response) => response.status() >= 400 && complaints.push(`${response.status()} ${response.url()}`));
  await page.goto(`${origin}/${address.replace(/(^|\/)index$/, "$1")}`, { waitUntil: "networkidle" });
  return Object.assign(page, { complaints });
}

describe("the site", () => {
  it("has a page for each that was written", () => {
    assert.deepEqual(addresses.filter((address) => !existsSync(join(SITE, `${address}.html`))), []);
    const llms = readFileSync(join(SITE, "llms.txt"), "utf8");
    assert.deepEqual(pages().filter((page) => page !== "index.md" && !llms.includes(`(/${page})`)), []);
  });

  it("has no dead link, within a page either", () => {
    // rustdoc checks its own.
    const ours = (name: string): boolean => name.endsWith(".html") && name !== "404.html" && !name.startsWith("rust/");
    const html = readdirSync(SITE, { recursive: true, encoding: "utf8" }).filter(ours);
    const texts = new Map(html.map((name) => [join(SITE, name), readFileSync(join(SITE, name), "utf8")]));
    const dead: string[] = [];
    for (const [file, text] of texts) {
      const here = new URL(file.slice(SITE.length), "http://x");
      for (const [, href] of text.matchAll(/(?:href|src)="([^"]+)"/g)) {
        const to = new URL(href!.replaceAll("&amp;", "&"), here);
        if (to.origin !== here.origin) continue;
        const target = fileOf(to.pathname);
        const anchor = decodeURIComponent(to.hash.slice(1));
        const found = target !== undefined && (anchor === "" || !texts.has(target) || texts.get(target)!.includes(`id="${anchor}"`));
        if (!found) dead.push(`${here.pathname}: ${href}`);
      }
    }
    assert.deepEqual([...new Set(dead)], []);
    assert.ok(texts.size > 100, "the API reference is missing");
  });

  for (const look of LOOKS) {
    it(`is accessible and fits: ${look.name}`, async () => {
      const found: string[] = [];
      for (const address of addresses) {
        const page = await open(look, address);
        // A narrow page has the same elements: axe looks at the wide ones.
        if (look.viewport.width > 1_000) await page.evaluate(AXE);
        const { violations } = await page.evaluate(() => (globalThis as unknown as { axe?: { run(): Promise<{ violations: { id: string; nodes: { target: unknown[] }[] }[] }> } }).axe?.run() ?? { violations: [] });
        found.push(...violations.map(({ id, nodes }) => `${address}: ${id}: ${nodes.slice(0, 3).map(({ target }) => String(target[0])).join(", ")}`));
        found.push(...page.complaints.map((complaint) => `${address}: ${complaint}`));
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (wide > 0) found.push(`${address}: ${wide} pixels wider than the window`);
        if (SHOTS !== undefined) {
          mkdirSync(SHOTS, { recursive: true });
          await page.screenshot({ path: join(SHOTS, `${address.replaceAll("/", "-")}-${look.name}.png`), fullPage: false });
        }
        await page.close();
      }
      assert.deepEqual(found, []);
    });
  }
});

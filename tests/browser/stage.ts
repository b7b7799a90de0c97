/// <reference lib="dom" />
/// <reference lib="dom.asynciterable" />
/** What every test in a browser needs: a server, pages from an origin of their own, and Chromium. */

import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { type LocalServer, startGateway, startServer } from "../node/local-server.js";

/** The folder of the bundle that the package ships. */
export const WEB = fileURLToPath(new URL("../../npm/sdk/web/", import.meta.url));

/** As little as possible of what Chromium does by itself, and no sandbox, which needs rights that a container lacks. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--js-flags=--expose-gc",
  "--enable-precise-memory-info",
];

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".wasm": "application/wasm",
  ".svg": "image/svg+xml",
};

export interface Access {
  readonly sessionId: string;
  readonly wsUrl: string;
  readonly token: string;
  readonly [field: string]: unknown;
}

/** Starts Chromium with a fresh profile. */
export async function launch(options: { readonly ignoreHTTPSErrors?: boolean } = {}): Promise<{ context: BrowserContext; close(): Promise<void> }> {
  const profile = mkdtempSync(join(tmpdir(), "agb-chromium-"));
  const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  const context = await chromium.launchPersistentContext(profile, { executablePath, args: FLAGS, headless: true, ...options });
  return {
    context,
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** A page of its own on `origin`, that says what goes wrong in it. */
export async function open(context: BrowserContext, url: string): Promise<Page & { readonly complaints: string[] }> {
  const page = await context.newPage();
  // tsx names functions by calling this, also those that are sent into the page.
  await page.addInitScript("globalThis.__name = (named) => named");
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") {
      complaints.push(message.text());
    }
  });
  await page.goto(url);
  return Object.assign(page, { complaints });
}

/** Serves files of some folders and pages that are given here. */
export async function serve(
  folders: Record<string, string>,
  pages: Record<string, string> = {},
  headers: Record<string, string> = {},
): Promise<{ readonly origin: string; close(): Promise<void> }> {
  const server: Server = createServer((request, response) => {
    void (async () => {
      const path = decodeURIComponent(new URL(request.url ?? "/", "http://x").pathname);
      const page = pages[path];
      const [prefix, folder] = Object.entries(folders).find(([start]) => path.startsWith(start)) ?? ["", null];
      const body =
        page ?? (folder === null ? null : await readFile(join(folder, normalize(path.slice(prefix.length)))).catch(() => null));
      const type = TYPES[extname(path)] ?? (page === undefined ? "application/octet-stream" : TYPES[".html"]);
      response.writeHead(body === null ? 404 : 200, { ...headers, "content-type": type });
      response.end(body ?? "not found");
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://localhost:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** Everything above at once: a server with a session, a blank page that has imported the SDK as `agb`. */
export class Stage {
  private constructor(
    readonly server: LocalServer,
    readonly site: { readonly origin: string; close(): Promise<void> },
    readonly browser: { readonly context: BrowserContext; close(): Promise<void> },
  ) {}

  static async build(...serverArgs: string[]): Promise<Stage> {
    return Stage.with(await startServer(...serverArgs));
  }

  /** The same with a gateway in front of this service. */
  static async before(service: LocalServer): Promise<Stage> {
    return Stage.with(await startGateway(service));
  }

  /** The same with this server, and with these pages and scripts beside the blank page. */
  static async with(server: LocalServer, pages: Record<string, string> = {}): Promise<Stage> {
    const script = '<script type="module">globalThis.agb = await import("/sdk/index.js");</script>';
    const blank = `<!doctype html><link rel="icon" href="data:,"><title>blank</title>${script}`;
    return new Stage(server, await serve({ "/sdk/": WEB }, { "/": blank, ...pages }), await launch());
  }

  async close(): Promise<void> {
    await this.browser.close();
    await this.site.close();
    await this.server.stop();
  }

  /** The blank page, once the SDK is there. */
  async page(): Promise<Page & { readonly complaints: string[] }> {
    const page = await open(this.browser.context, `${this.site.origin}/`);
    await page.waitForFunction(() => "agb" in globalThis);
    return page;
  }

  /** Creates a session as a page's server does, and gives the page's way in. */
  async access(options: Record<string, unknown> = {}): Promise<Access> {
    const { endpoint, apiKey } = this.server;
    const created = await this.post(`${endpoint}/mcp/createSession?imageId=agb-code-space-1`, { authorization: `Bearer ${apiKey}` }, {});
    return this.grant(created, options);
  }

  /** Another way into the session that `access` is for, or more time for it. */
  async grant(session: { linkUrl?: unknown; token?: unknown }, options: Record<string, unknown>): Promise<Access> {
    return (await this.post(`${String(session.linkUrl)}/browserAccess`, { "x-access-token": String(session.token) }, options)) as unknown as Access;
  }

  async post(url: string, headers: Record<string, string>, body: unknown): Promise<Record<string, unknown>> {
    const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
    const answer = (await response.json()) as { success: boolean; message: string; data: Record<string, unknown> };
    if (!answer.success) {
      throw new Error(answer.message);
    }
    return answer.data;
  }
}

/**
 * Next.js: a route handler of the app router that streams a run, and a client component that imports the package, with
 * both of its bundlers, in `next start` and as standalone output.
 *
 * @module
 */

import assert from "node:assert/strict";
import { readFileSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join, relative } from "node:path";
import { before, describe, it } from "node:test";
import { BUILD_MS, HERE, Stage, tool } from "./stage.mjs";

const stage = new Stage("next");
/** Beside the package, as in an application: the search for the addon begins at the script that Node was started with. */
const NEXT = stage.path("node_modules/.bin/next");
before(async () => {
  await stage.open();
  symlinkSync(tool("next/dist/bin/next"), NEXT);
});

const ROUTE = `import { AGB } from "agbcloud-sdk";

export const dynamic = "force-dynamic";
const CODE = "import time\\nfor i in range(3):\\n    print(i)\\n    time.sleep(1)";

export async function GET() {
  const agb = new AGB();
  const { session, errorMessage } = await agb.create({ imageId: "agb-code-space-1" });
  if (!session) return new Response(errorMessage, { status: 502 });
  const run = session.code.stream(CODE, "python");
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    async start(controller) {
      for await (const event of run) {
        if (event.type === "stdout") controller.enqueue(encoder.encode(event.text));
      }
      controller.enqueue(encoder.encode((await run.result).status));
      await agb.delete(session);
      controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/plain; charset=utf-8" } });
}
`;

const PAGE = `"use client";
import { Session } from "agbcloud-sdk";

export default function Page() {
  return <p>attach is a {typeof Session.attach}</p>;
}
`;

function application(folder, config = "") {
  stage.write(`${folder}/package.json`, '{ "name": "application", "private": true }\n');
  stage.write(`${folder}/app/run/route.js`, ROUTE);
  stage.write(`${folder}/app/page.jsx`, PAGE);
  stage.write(`${folder}/app/layout.jsx`, "export default ({ children }) => <html lang=\"en\"><body>{children}</body></html>;\n");
  const root = JSON.stringify(HERE.replace(/\/$/, "")); // the tools lie further up than in an application
  stage.write(`${folder}/next.config.mjs`, `export default { turbopack: { root: ${root} }, outputFileTracingRoot: ${root}, ${config} };\n`);
}

const build = (t, folder, bundler) =>
  stage.tool(t, folder, [NEXT, "build", ...(bundler === "webpack" ? ["--webpack"] : [])], { env: { NEXT_TELEMETRY_DISABLED: "1" } });

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts a built application and gives its address when it takes connections. */
async function serve(t, args, options, port) {
  const environment = { ...stage.environment, NEXT_TELEMETRY_DISABLED: "1", PORT: String(port), HOSTNAME: "127.0.0.1" };
  const server = stage.start(t, args, environment, process.execPath, { timeoutMs: BUILD_MS, ...options });
  await server.line(/Ready in/);
  return server;
}

const start = (t, folder, port) => serve(t, [NEXT, "start", "--port", String(port), "--hostname", "127.0.0.1"], { cwd: stage.path(folder) }, port);

/** All that a server has written. */
const said = (server) => `${server.errors()}\n${server.lines.map(({ text }) => text).join("\n")}`;

async function streams(port, server) {
  const answer = await fetch(`http://127.0.0.1:${port}/run`);
  const decoder = new TextDecoder();
  let text = "";
  const arrivals = [];
  for await (const chunk of answer.body) {
    text += decoder.decode(chunk, { stream: true });
    arrivals.push(performance.now());
  }
  assert.deepEqual([answer.status, text], [200, "0\n1\n2\nfinished"], said(server));
  // The program takes three seconds: what comes at its end comes within a moment.
  const spread = arrivals.at(-1) - arrivals[0];
  assert.ok(spread > 1_000, `everything came within ${spread} ms`);
  const page = await (await fetch(`http://127.0.0.1:${port}/`)).text();
  assert.match(page, /attach is a (<!-- -->)?function/);
}

for (const bundler of ["Turbopack", "webpack"]) {
  describe(`Next.js with ${bundler}`, () => {
    it("streams a run without any configuration", async (t) => {
      const folder = `plain-${bundler}`;
      application(folder);
      await build(t, folder, bundler);
      const port = await freePort();
      await streams(port, await start(t, folder, port));
    });

    it("streams as standalone output with serverExternalPackages", async (t) => {
      const folder = `standalone-${bundler}`;
      application(folder, 'output: "standalone", serverExternalPackages: ["agbcloud-sdk"]');
      await build(t, folder, bundler);
      const place = stage.elsewhere(t, `${folder}/.next/standalone`);
      const server = join(place, relative(HERE, stage.path(folder)), "server.js");
      const port = await freePort();
      await streams(port, await serve(t, [server], { cwd: dirname(server) }, port));
    });

    it("says in standalone output without it which line is missing", async (t) => {
      const folder = `bundled-${bundler}`;
      application(folder, 'output: "standalone"');
      await build(t, folder, bundler);
      const place = stage.elsewhere(t, `${folder}/.next/standalone`);
      const server = join(place, relative(HERE, stage.path(folder)), "server.js");
      const port = await freePort();
      const running = await serve(t, [server], { cwd: dirname(server) }, port);
      const { status } = await fetch(`http://127.0.0.1:${port}/run`);
      if (status !== 200) {
        assert.match(said(running), /was bundled.*serverExternalPackages: \["agbcloud-sdk"\]/);
      }
    });
  });
}

describe("the README of the package", () => {
  it("names the line for Next.js", () => {
    const readme = readFileSync(stage.path("node_modules/agbcloud-sdk/README.md"), "utf8");
    assert.ok(readme.includes('serverExternalPackages: ["agbcloud-sdk"]'));
  });
});

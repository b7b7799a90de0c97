/**
 * The server behind nginx, HAProxy, Caddy and nghttpx, with the configuration that the manual of `agbcloud-local` shows: it is
 * taken from there, checked by the proxy's own program, and used, from Node and from a page, which speaks HTTP/2 where the
 * proxy does. `AGB_SILENT_S` says how long a program is silent: `cargo xtask
 * soak` takes 150 s, longer than the proxies' time limits of 60 s.
 */

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { arch, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { connect as tlsConnect } from "node:tls";
import { fileURLToPath } from "node:url";
import { AGB } from "agbcloud-sdk";
import { launch, open, serve, WEB } from "../browser/stage.js";
import { freePort } from "../node/free-port.js";
import { type LocalServer, newSession, startServer } from "../node/local-server.js";

const SILENT_S = Number(process.env["AGB_SILENT_S"] ?? 3);
/** Where `cargo xtask test --only proxies` unpacks it. */
const NGHTTPX = fileURLToPath(new URL("../../target/tools/nghttp2-proxy", import.meta.url));
const TRIPLET = `${arch() === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
const MANUAL = readFileSync(new URL("../../npm/local/README.md", import.meta.url), "utf8");
const certificate = (name: string): string => fileURLToPath(new URL(`../node/certificates/${name}`, import.meta.url));
const ca = readFileSync(certificate("authority.pem"), "utf8");

let server: LocalServer;
let folder: string;
before(async () => {
  server = await startServer();
  folder = mkdtempSync(join(tmpdir(), "agb-proxies-"));
  writeFileSync(join(folder, "both.pem"), readFileSync(certificate("server.pem"), "utf8") + readFileSync(certificate("server.key"), "utf8"));
});
after(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Kind {
  readonly name: "nginx" | "haproxy" | "caddy" | "nghttpx";
  /** What a page's calls and its WebSocket are made with: a WebSocket within HTTP/2 (RFC 8441) is answered by 200, not 101. */
  readonly page: { readonly calls: "http/1.1" | "h2"; readonly socket: 101 | 200 };
  /** What the manual's lines become here, beside ports and certificates. */
  readonly whole: (lines: string) => string;
  /** `null`: its program has no check. */
  readonly check: ((file: string) => [string, string[]]) | null;
  readonly run: (file: string) => [string, string[]];
}

const KINDS: Kind[] = [
  {
    name: "nginx",
    page: { calls: "http/1.1", socket: 101 },
    whole: (lines) =>
      `daemon off;\nmaster_process off;\npid ${folder}/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n` +
      ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/nginx-${name};\n`).join("") +
      `${lines}\n}\n`,
    check: (file) => ["nginx", ["-t", "-c", file]],
    run: (file) => ["nginx", ["-c", file]],
  },
  {
    name: "haproxy",
    page: { calls: "h2", socket: 200 },
    whole: (lines) => `${lines}\n`,
    check: (file) => ["haproxy", ["-c", "-f", file]],
    run: (file) => ["haproxy", ["-f", file]],
  },
  {
    name: "caddy",
    page: { calls: "h2", socket: 101 },
    whole: (lines) => `{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n${lines}\n`,
    check: (file) => ["caddy", ["validate", "--adapter", "caddyfile", "--config", file]],
    run: (file) => ["caddy", ["run", "--adapter", "caddyfile", "--config", file]],
  },
  {
    name: "nghttpx",
    page: { calls: "h2", socket: 200 },
    whole: (lines) => `${lines}\n`,
    check: null,
    run: (file) => [join(NGHTTPX, "usr/sbin/nghttpx"), [`--conf=${file}`, "--single-process"]],
  },
];

/** Programs of the system's administrators are not on everybody's path, nor are libraries that are not installed. */
const env = { ...process.env, LD_LIBRARY_PATH: join(NGHTTPX, `usr/lib/${TRIPLET}`), PATH: `${process.env["PATH"]}:/usr/sbin:/sbin`, HOME: tmpdir(), XDG_DATA_HOME: tmpdir(), XDG_CONFIG_HOME: tmpdir() };

/** Starts a proxy with the manual's lines, changed as the test wants them. */
async function start(kind: Kind, change: (lines: string) => string = (lines) => lines): Promise<{ endpoint: string; port: number; stop(): Promise<void> }> {
  const [, lines] = new RegExp(`\`\`\`${kind.name}\\n([^]*?)\`\`\``).exec(MANUAL) ?? [];
  assert(lines !== undefined, `the manual has no lines for ${kind.name}`);
  assert(lines.trim().split("\n").length <= 16, "about ten lines");
  const port = await freePort();
  const filled = change(lines)
    .replaceAll("127.0.0.1:8080", new URL(server.endpoint).host)
    .replaceAll("127.0.0.1,8080", new URL(server.endpoint).host.replace(":", ","))
    .replaceAll(/\b443\b/g, String(port))
    .replaceAll("agb.example.org", "localhost")
    .replaceAll(/(crt\s+)\/etc\/ssl\/agb\.pem/g, `$1${folder}/both.pem`)
    .replaceAll("/etc/ssl/agb.pem", certificate("server.pem"))
    .replaceAll("/etc/ssl/agb.key", certificate("server.key"));
  const file = join(folder, `${kind.name}-${port}.conf`);
  writeFileSync(file, kind.whole(filled));
  if (kind.check !== null) {
    execFileSync(...kind.check(file), { env, stdio: "pipe" });
  }
  const child: ChildProcess = spawn(...kind.run(file), { env, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr!.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4_000)));
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
  };
  const endpoint = `https://localhost:${port}`;
  for (let tries = 0; ; tries++) {
    const answers = await new Promise<boolean>((resolve) => {
      const socket = tlsConnect({ port, host: "127.0.0.1", servername: "localhost", ca }, () => resolve(true));
      socket.on("error", () => resolve(false));
      socket.on("secureConnect", () => socket.end());
    });
    if (answers) {
      return { endpoint, port, stop };
    }
    if (tries > 100 || child.exitCode !== null) {
      await stop();
      throw new Error(`${kind.name} does not answer: ${said}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** A run whose output is to come as it is printed, and a file, through a proxy. */
async function use(endpoint: string): Promise<{ gaps: number[]; interruptions: number; transport: string[] }> {
  const agb = new AGB({ apiKey: server.apiKey, config: { endpoint, ca } });
  const session = await newSession(agb);
  const times: number[] = [];
  const code = `import time\nfor i in range(3):\n    print(i, flush=True)\n    time.sleep(0.6)\ntime.sleep(${SILENT_S})\nprint('x' * 3_000_000)`;
  const transport: string[] = [];
  const result = await session.code.run(code, "python", SILENT_S + 60, {
    onStdout: (text) => /^\d\n$/.test(text) && times.push(performance.now()),
    onError: (error) => transport.push(error.message),
  });
  assert(result.success, result.errorMessage);
  assert.equal(result.logs.stdout.join(""), `0\n1\n2\n${"x".repeat(3_000_000)}\n`);
  const bytes = "0123456789".repeat(300_000);
  const written = await session.file.write("/tmp/large", bytes);
  assert(written.success, written.errorMessage);
  const read = await session.file.read("/tmp/large");
  assert(read.content === bytes, "the file came back whole");
  await agb.delete(session);
  return { gaps: times.slice(1).map((time, i) => time - times[i]!), interruptions: result.interruptions, transport };
}

for (const kind of KINDS) {
  describe(`behind ${kind.name}`, () => {
    it("output comes as it is printed, a silent program is not given up, and files go through", async () => {
      const proxy = await start(kind);
      try {
        const { gaps, interruptions } = await use(proxy.endpoint);
        assert(gaps.length === 2 && gaps.every((gap) => gap > 200), `lines came in one go: ${gaps.join(", ")} ms`);
        assert.equal(interruptions, 0);
      } finally {
        await proxy.stop();
      }
    });
  });
}

/** nginx with what it does by itself: no WebSockets, buffers, HTTP/1.0. */
const bare = (lines: string): string => lines.split("\n").filter((line) => !/Upgrade|upgrade|buffering|http_version/.test(line)).join("\n");

describe("a page", () => {
  /** Generous for 5 s, which a person waits for the first line over whatever way there is. */
  const FIRST_LINE_MS = 10_000;
  let site: Awaited<ReturnType<typeof serve>>;
  let browser: Awaited<ReturnType<typeof launch>>;
  before(async () => {
    const page = '<!doctype html><link rel="icon" href="data:,"><script type="module">globalThis.agb = await import("/sdk/index.js");</script>';
    site = await serve({ "/sdk/": WEB }, { "/": page });
    browser = await launch({ ignoreHTTPSErrors: true });
  });
  after(async () => {
    await browser?.close();
    await site?.close();
  });

  /** Runs a program in a page, and tells what Chromium reached the proxy with. */
  async function usePage(endpoint: string): Promise<{ gaps: number[]; firstMs: number; calls: Set<string>; sockets: number[] }> {
    const session = await newSession(new AGB({ apiKey: server.apiKey, config: { endpoint, ca } }));
    const page = await open(browser.context, `${site.origin}/`);
    await page.waitForFunction(() => "agb" in globalThis);
    const [calls, sockets] = [new Set<string>(), [] as number[]];
    const devtools = await browser.context.newCDPSession(page);
    devtools.on("Network.responseReceived", ({ response }) => response.url.startsWith(endpoint) && calls.add(response.protocol ?? "?"));
    devtools.on("Network.webSocketHandshakeResponseReceived", ({ response }) => sockets.push(response.status));
    await devtools.send("Network.enable");
    const seen = await page.evaluate(async ({ access, endpoint }) => {
      // As a page that comes through the proxy itself: with a connection that has its cookies, as a WebSocket has.
      await fetch(`${endpoint}/healthz`, { mode: "no-cors", credentials: "include" });
      const session = agb.Session.attach(access as never);
      await session.file.write("/tmp/page", "written");
      const [times, texts] = [[] as number[], [] as string[]];
      const onStdout = (text: string): void => void [times.push(performance.now()), texts.push(text)];
      const began = performance.now();
      const code = "import time\nfor i in range(4):\n    print(i, flush=True)\n    time.sleep(0.6)\nprint('x' * 1_500_000)";
      const { success, errorMessage } = await session.code.run(code, "python", 60, { onStdout });
      const { content } = await session.file.read("/tmp/page");
      return { success, errorMessage, content, text: texts.join(""), firstMs: times[0]! - began, gaps: times.slice(1, 4).map((time, i) => time - times[i]!) };
    }, { access: (await session.browserAccess()).access, endpoint });
    assert(seen.success, seen.errorMessage);
    assert.deepEqual([seen.text.length, seen.text.slice(0, 8), seen.content], [1_500_009, "0\n1\n2\n3\n", "written"]);
    await page.close();
    return { ...seen, calls, sockets };
  }

  for (const kind of KINDS) {
    it(`behind ${kind.name} has live output by ${kind.page.calls}${kind.page.socket === 200 ? ", its WebSocket within (RFC 8441)" : ""}`, async () => {
      const proxy = await start(kind);
      try {
        const { gaps, firstMs, calls, sockets } = await usePage(proxy.endpoint);
        assert(firstMs < FIRST_LINE_MS, `${firstMs} ms to the first line`);
        assert(gaps.every((gap) => gap > 200), `lines came in one go: ${gaps.join(", ")} ms`);
        assert.deepEqual([[...calls], sockets], [[kind.page.calls], [kind.page.socket]]);
      } finally {
        await proxy.stop();
      }
    });
  }

  it("behind nginx without the manual's lines has live output by event streams", async () => {
    const proxy = await start(KINDS[0]!, bare);
    try {
      const { gaps, firstMs } = await usePage(proxy.endpoint);
      assert(firstMs < FIRST_LINE_MS, `${firstMs} ms to the first line`);
      assert(gaps.every((gap) => gap > 200), `lines came in one go: ${gaps.join(", ")} ms`);
    } finally {
      await proxy.stop();
    }
  });
});

describe("behind nginx as it is without these lines", () => {
  it("streams by events where no WebSocket gets through and answers are buffered", async () => {
    const proxy = await start(KINDS[0]!, bare);
    try {
      const { gaps } = await use(proxy.endpoint);
      assert(gaps.length === 2 && gaps.every((gap) => gap > 200), `lines came in one go: ${gaps.join(", ")} ms`);
    } finally {
      await proxy.stop();
    }
  });
});

/**
 * The server behind nginx, HAProxy and Caddy, with the configuration that the manual of `agbcloud-local` shows: it is taken
 * from there, checked by the proxy's own program, and used. `AGB_SILENT_S` says how long a program is silent: `cargo xtask
 * soak` takes 150 s, longer than the proxies' time limits of 60 s.
 */

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { connect as tlsConnect } from "node:tls";
import { fileURLToPath } from "node:url";
import { AGB } from "agbcloud-sdk";
import { type LocalServer, newSession, startServer } from "../node/local-server.js";

const SILENT_S = Number(process.env["AGB_SILENT_S"] ?? 3);
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
  readonly name: "nginx" | "haproxy" | "caddy";
  /** What the manual's lines become here, beside ports and certificates. */
  readonly whole: (lines: string) => string;
  readonly check: (file: string) => [string, string[]];
  readonly run: (file: string) => [string, string[]];
}

const KINDS: Kind[] = [
  {
    name: "nginx",
    whole: (lines) =>
      `daemon off;\nmaster_process off;\npid ${folder}/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n` +
      ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/nginx-${name};\n`).join("") +
      `${lines}\n}\n`,
    check: (file) => ["nginx", ["-t", "-c", file]],
    run: (file) => ["nginx", ["-c", file]],
  },
  {
    name: "haproxy",
    whole: (lines) => `${lines}\n`,
    check: (file) => ["haproxy", ["-c", "-f", file]],
    run: (file) => ["haproxy", ["-f", file]],
  },
  {
    name: "caddy",
    whole: (lines) => `{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n${lines}\n`,
    check: (file) => ["caddy", ["validate", "--adapter", "caddyfile", "--config", file]],
    run: (file) => ["caddy", ["run", "--adapter", "caddyfile", "--config", file]],
  },
];

/** Programs of the system's administrators are not on everybody's path. */
const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin`, HOME: tmpdir(), XDG_DATA_HOME: tmpdir(), XDG_CONFIG_HOME: tmpdir() };

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}

/** Starts a proxy with the manual's lines, changed as the test wants them. */
async function start(kind: Kind, change: (lines: string) => string = (lines) => lines): Promise<{ endpoint: string; port: number; stop(): Promise<void> }> {
  const [, lines] = new RegExp(`\`\`\`${kind.name}\\n([^]*?)\`\`\``).exec(MANUAL) ?? [];
  assert(lines !== undefined, `the manual has no lines for ${kind.name}`);
  assert(lines.trim().split("\n").length <= 16, "about ten lines");
  const port = await freePort();
  const filled = change(lines)
    .replaceAll("127.0.0.1:8080", new URL(server.endpoint).host)
    .replaceAll(/\b443\b/g, String(port))
    .replaceAll("agb.example.org", "localhost")
    .replaceAll(/(crt\s+)\/etc\/ssl\/agb\.pem/g, `$1${folder}/both.pem`)
    .replaceAll("/etc/ssl/agb.pem", certificate("server.pem"))
    .replaceAll("/etc/ssl/agb.key", certificate("server.key"));
  const file = join(folder, `${kind.name}-${port}.conf`);
  writeFileSync(file, kind.whole(filled));
  execFileSync(...kind.check(file), { env, stdio: "pipe" });
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

describe("behind nginx as it is without these lines", () => {
  it("streams by events where no WebSocket gets through and answers are buffered", async () => {
    const bare = (lines: string): string => lines.split("\n").filter((line) => !/Upgrade|upgrade|buffering|http_version/.test(line)).join("\n");
    const proxy = await start(KINDS[0]!, bare);
    try {
      const { gaps } = await use(proxy.endpoint);
      assert(gaps.length === 2 && gaps.every((gap) => gap > 200), `lines came in one go: ${gaps.join(", ")} ms`);
    } finally {
      await proxy.stop();
    }
  });
});

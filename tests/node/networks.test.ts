/**
 * The networks that people have: forward proxies by the environment or by settings, and certificates of private
 * authorities, for calls, WebSockets and event streams alike. What a process trusts and finds in its environment is read
 * once, so each case is a process of its own (`networks-child.mjs`).
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type LocalServer, startServer } from "./local-server.ts";

const file = (name: string): string => fileURLToPath(new URL(`./certificates/${name}`, import.meta.url));
const AUTHORITY = file("authority.pem");
const folder = mkdtempSync(join(tmpdir(), "agb-networks-"));
/** A folder of certificates, with names as OpenSSL makes them: eight digits of a hash, and a number. */
const HASHED = join(folder, "hashed");
/** What a machine without certificates has. */
const EMPTY = join(folder, "empty");
[HASHED, EMPTY].forEach((name) => mkdirSync(name));
copyFileSync(AUTHORITY, join(HASHED, "0a1b2c3d.0"));

/** A host that exists behind the proxy alone. */
const HOST = "service.test";
/** Generous: what hangs would take 30 s and more. */
const SECONDS = 20;
const PASSWORD = "p:ss@word";

interface Outcome {
  readonly success: boolean;
  readonly message: string;
  readonly seconds: number;
}

interface Report {
  readonly created: Outcome;
  readonly run: Outcome & { readonly stdout: string; readonly chunks: number; readonly interruptions: number };
}

/** A forward proxy that leads everything to one server, whatever host is asked for. */
class ForwardProxy {
  readonly heads: string[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** What it does with a connection. `calls`: it makes no tunnels. */
  manner: "through" | "calls" | "hang" | "cut" | number = "through";

  constructor(target: number) {
    this.#server = createServer((asked, answer) => {
      this.#note(asked);
      if (typeof this.manner === "number") {
        answer.writeHead(this.manner).end();
        return;
      }
      const { pathname, search } = new URL(asked.url ?? "/");
      const passed = request({ host: "127.0.0.1", port: target, method: asked.method, path: pathname + search, headers: asked.headers });
      passed.on("response", (response) => {
        answer.writeHead(response.statusCode ?? 502, response.headers);
        response.pipe(answer);
      });
      passed.on("error", () => answer.destroy());
      answer.on("close", () => passed.destroy());
      asked.pipe(passed);
    });
    this.#server.on("connect", (asked: IncomingMessage, client: Socket) => {
      this.#note(asked);
      client.on("error", () => {});
      if (this.manner === "hang") {
        return;
      }
      if (this.manner === "cut") {
        client.destroy();
        return;
      }
      if (this.manner !== "through") {
        client.end(`HTTP/1.1 ${this.manner === "calls" ? 403 : this.manner} No\r\ncontent-length: 0\r\n\r\n`);
        return;
      }
      const passed = connect(target, "127.0.0.1", () => {
        client.write("HTTP/1.1 200 OK\r\n\r\n");
        passed.pipe(client).pipe(passed);
      });
      passed.on("error", () => client.destroy());
      client.on("close", () => passed.destroy());
    });
    this.#server.on("connection", (socket) => this.#sockets.add(socket));
  }

  #note(asked: IncomingMessage): void {
    this.heads.push(`${asked.method} ${asked.url} ${asked.headers["proxy-authorization"] ?? ""}`);
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#sockets.forEach((socket) => socket.destroy());
    this.#server.close();
  }
}

let secure: LocalServer;
let plain: LocalServer;
const closing: Array<() => void> = [];
before(async () => {
  secure = await startServer("--tls-cert", file("server.pem"), "--tls-key", file("server.key"));
  plain = await startServer();
});
after(async () => {
  closing.forEach((close) => close());
  await secure?.stop();
  await plain?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function proxy(server: LocalServer, manner: ForwardProxy["manner"] = "through"): Promise<{ made: ForwardProxy; address: string }> {
  const made = new ForwardProxy(Number(new URL(server.endpoint).port));
  made.manner = manner;
  closing.push(() => made.close());
  return { made, address: await made.listen() };
}

/** Creates a session and runs a program in it, in a process with this environment and these settings. */
async function tried(server: LocalServer, endpoint: string, env: Record<string, string>, config: object = {}): Promise<Report> {
  const child = spawn(process.execPath, [fileURLToPath(new URL("./networks-child.mjs", import.meta.url)), JSON.stringify({ endpoint, ...config })], {
    env: { PATH: process.env["PATH"], AGB_API_KEY: server.apiKey, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err] = [child.stdout, child.stderr].map((stream) => {
    const kept: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => kept.push(chunk));
    return () => Buffer.concat(kept).toString();
  });
  await new Promise((resolve) => child.on("close", resolve));
  const all = `${out!()}${err!()}`;
  assert(!all.includes(PASSWORD) && !all.includes(encodeURIComponent(PASSWORD)), "the proxy's password is shown");
  assert(out!().startsWith("{"), all);
  return JSON.parse(out!()) as Report;
}

function works({ created, run }: Report): void {
  assert(created.success, created.message);
  assert(run.success, run.message);
  assert.deepEqual([run.stdout, run.interruptions], ["0\n1\n2\n", 0]);
}

describe("forward proxies", () => {
  const port = (): string => new URL(secure.endpoint).port;
  /** Variables, what they are given, and whether the proxy is to be used. */
  const table: Array<[string, (address: string) => Record<string, string>, boolean]> = [
    ["HTTPS_PROXY", (address) => ({ HTTPS_PROXY: `http://${address}` }), true],
    ["https_proxy", (address) => ({ https_proxy: `http://${address}` }), true],
    ["ALL_PROXY", (address) => ({ ALL_PROXY: `http://${address}` }), true],
    ["all_proxy", (address) => ({ all_proxy: `http://${address}` }), true],
    ["a NO_PROXY for others", (address) => ({ HTTPS_PROXY: `http://${address}`, NO_PROXY: "other.test,10.0.0.0/8,.example.org" }), true],
    ["HTTP_PROXY, which is for http alone", (address) => ({ HTTP_PROXY: `http://${address}` }), false],
    ["a NO_PROXY with the name", (address) => ({ HTTPS_PROXY: `http://${address}`, NO_PROXY: HOST }), false],
    ["a no_proxy with a suffix", (address) => ({ https_proxy: `http://${address}`, no_proxy: ".test" }), false],
    ["a NO_PROXY with a star", (address) => ({ ALL_PROXY: `http://${address}`, NO_PROXY: "*" }), false],
  ];
  for (const [name, env, used] of table) {
    it(`${used ? "uses" : "leaves out"} the proxy by ${name}`, async () => {
      const { made, address } = await proxy(secure);
      const report = await tried(secure, `https://${HOST}`, { SSL_CERT_FILE: AUTHORITY, ...env(address) }, { timeoutMs: 5_000 });
      if (used) {
        works(report);
        assert(made.heads.length >= 2 && made.heads.every((head) => head.startsWith(`CONNECT ${HOST}:443`)), made.heads.join("\n"));
      } else {
        assert.deepEqual([report.created.success, made.heads], [false, []]); // nobody else knows the host
        assert(report.created.message.includes(HOST) && report.created.seconds < SECONDS, report.created.message);
      }
    });
  }

  it("leaves out the proxy by a CIDR of NO_PROXY, and by proxy: false", async () => {
    const { made, address } = await proxy(secure);
    const own = `https://127.0.0.1:${port()}`;
    works(await tried(secure, own, { SSL_CERT_FILE: AUTHORITY, HTTPS_PROXY: `http://${address}` })); // this machine, always
    const cidr = { HTTPS_PROXY: `http://${address}`, NO_PROXY: "192.0.2.0/24" };
    const outside = await tried(secure, "https://192.0.2.7", cidr, { timeoutMs: 2_000 });
    const off = await tried(secure, `https://${HOST}`, { HTTPS_PROXY: `http://${address}` }, { proxy: false, timeoutMs: 5_000 });
    assert.deepEqual([outside.created.success, off.created.success, made.heads], [false, false, []]);
  });

  it("says by config.proxy which one, with credentials whose escapes are undone", async () => {
    const { made, address } = await proxy(secure);
    const given = `http://us%40er:${encodeURIComponent(PASSWORD)}@${address}`;
    works(await tried(secure, `https://${HOST}`, { HTTPS_PROXY: "http://127.0.0.1:9" }, { proxy: given, ca: "AUTHORITY" }));
    const expected = `Basic ${Buffer.from(`us@er:${PASSWORD}`).toString("base64")}`;
    assert(made.heads.length >= 2 && made.heads.every((head) => head.endsWith(expected)), made.heads.join("\n"));
  });

  it("leads a session that is attached to through its own config.proxy, with its config.ca", async () => {
    const { made, address } = await proxy(secure);
    const config = { proxy: `http://user:${encodeURIComponent(PASSWORD)}@${address}`, ca: "AUTHORITY" };
    works(await tried(secure, `https://${HOST}`, {}, { ...config, attach: true })); // only the proxy knows the host
    assert(made.heads.length >= 2 && made.heads.every((head) => head.startsWith(`CONNECT ${HOST}:443 Basic`)), made.heads.join("\n"));
    const plainly = await proxy(plain, "calls");
    works(await tried(plain, `http://${HOST}`, {}, { proxy: `http://${plainly.address}`, attach: true }));
    assert(plainly.made.heads.some((head) => head.includes("/events?")), plainly.made.heads.join("\n"));
  });

  it("streams by events where the proxy makes no tunnel", async () => {
    const { made, address } = await proxy(plain, "calls");
    const report = await tried(plain, `http://${HOST}`, { HTTP_PROXY: `http://${address}` });
    works(report);
    assert(report.run.chunks === 3, `${report.run.chunks} chunks: not as they were printed`);
    assert(made.heads.some((head) => head.includes("/events?")), made.heads.join("\n"));
  });

  for (const [manner, word] of [[407, "407"], [403, "403"], ["cut", ""], ["hang", ""]] as const) {
    it(`names within seconds a proxy that ${typeof manner === "number" ? `answers ${manner}` : `${manner}s`}, and not its password`, async () => {
      const { address } = await proxy(secure, manner);
      const env = { HTTPS_PROXY: `http://user:${encodeURIComponent(PASSWORD)}@${address}` };
      const { created } = await tried(secure, `https://${HOST}`, { SSL_CERT_FILE: AUTHORITY, ...env });
      assert(!created.success && created.seconds < SECONDS, `${created.seconds} s`);
      assert(created.message.includes(address) && created.message.includes(word), created.message);
    });
  }
});

describe("certificates", () => {
  const endpoint = (): string => secure.endpoint;
  for (const [name, env, config] of [
    ["NODE_EXTRA_CA_CERTS", { NODE_EXTRA_CA_CERTS: AUTHORITY }, {}],
    ["SSL_CERT_FILE", { SSL_CERT_FILE: AUTHORITY }, {}],
    ["SSL_CERT_DIR", { SSL_CERT_DIR: HASHED }, {}],
    ["NODE_EXTRA_CA_CERTS, on a machine without certificates", { SSL_CERT_DIR: EMPTY, NODE_EXTRA_CA_CERTS: AUTHORITY }, {}],
    ["config.ca, on a machine without certificates", { SSL_CERT_DIR: EMPTY }, { ca: "AUTHORITY" }],
    ["config.ca", {}, { ca: "AUTHORITY" }],
  ] as const) {
    it(`trusts the authority by ${name}, for calls and streams`, async () => works(await tried(secure, endpoint(), { ...env }, config)));
  }

  const fails: Array<[string, string, Record<string, string>, RegExp]> = [
    ["of an unknown authority", "server.pem", {}, /authority/],
    ["of an unknown authority, on a machine without certificates", "server.pem", { SSL_CERT_DIR: EMPTY }, /authority/],
    ["that has expired", "expired.pem", { NODE_EXTRA_CA_CERTS: AUTHORITY }, /expired/],
    ["for another name", "other.pem", { NODE_EXTRA_CA_CERTS: AUTHORITY }, /another name/],
  ];
  for (const [what, certificate, env, words] of fails) {
    it(`says of a certificate ${what} what it is, once and at once`, async () => {
      const server = await startServer("--tls-cert", file(certificate), "--tls-key", file("server.key"));
      try {
        const address = server.endpoint;
        const { created, run } = await tried(server, address, env);
        for (const outcome of [created, run]) {
          assert(!outcome.success && outcome.seconds < SECONDS, `${outcome.seconds} s`);
          assert.match(outcome.message, words);
          assert(outcome.message.includes("127.0.0.1"), outcome.message);
        }
        assert.equal(run.interruptions, 0);
      } finally {
        await server.stop();
      }
    });
  }

  it("does not honour NODE_TLS_REJECT_UNAUTHORIZED=0, and says what to do instead", async () => {
    const { created, run } = await tried(secure, endpoint(), { NODE_TLS_REJECT_UNAUTHORIZED: "0" });
    for (const outcome of [created, run]) {
      assert(!outcome.success && outcome.seconds < SECONDS, outcome.message);
      assert.match(outcome.message, /authority/);
    }
    assert.match(created.message, /\bca\b|NODE_EXTRA_CA_CERTS/);
  });
});

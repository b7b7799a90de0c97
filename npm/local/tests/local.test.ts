import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, afterEach, describe, it } from "node:test";
import { serverPath, startLocalServer } from "../src/index.js";

const PACKAGE = resolve(__dirname, "..");
const scratch = mkdtempSync(join(tmpdir(), "agb-local-test-"));
const kept = process.env["AGB_SERVER"];

afterEach(() => {
  if (kept === undefined) delete process.env["AGB_SERVER"];
  else process.env["AGB_SERVER"] = kept;
});
after(() => rmSync(scratch, { recursive: true }));

/** A program in Node that stands for the server. */
function program(name: string, body: string): string {
  const path = join(scratch, name);
  writeFileSync(path, `#!${process.execPath}\n${body}`);
  chmodSync(path, 0o755);
  return path;
}

const echo = `
  console.error("args " + process.argv.slice(2).join(" "));
  console.error("key " + process.env.AGB_API_KEY + ", extra " + process.env.EXTRA);
  console.log("agb-server listening on http://127.0.0.1:4711");
  process.stdin.resume();
`;

describe("startLocalServer", { skip: process.platform === "win32" }, () => {
  it("resolves with endpoint and key once the server listens, and stops it", async () => {
    const lines: string[] = [];
    const server = await startLocalServer({
      program: program("echo", `process.on("SIGTERM", () => { console.error("bye"); process.exit(0); }); ${echo}`),
      args: ["--max-sessions", "3"],
      env: { EXTRA: "yes" },
      onLog: (line) => lines.push(line),
    });
    assert.equal(server.endpoint, "http://127.0.0.1:4711");
    assert(server.apiKey.length >= 32);
    await server.stop();
    await server.stop();
    assert.deepEqual(lines, [
      "args serve --listen 127.0.0.1:0 --exit-with-stdin --max-sessions 3",
      `key ${server.apiKey}, extra yes`,
      "bye",
    ]);
  });

  it("makes a key for each server, and takes one", async () => {
    const path = program("echo2", echo);
    const servers = await Promise.all([startLocalServer({ program: path }), startLocalServer({ program: path }), startLocalServer({ program: path, apiKey: "mine" })]);
    assert.notEqual(servers[0]?.apiKey, servers[1]?.apiKey);
    assert.equal(servers[2]?.apiKey, "mine");
    await Promise.all(servers.map((server) => server.stop()));
  });

  it("rejects with the end of the log when the server ends at once", async () => {
    const path = program("broken", 'console.error("address in use"); process.exit(3);');
    await assert.rejects(startLocalServer({ program: path }), /ended at once \(exit code 3\).*\naddress in use/);
  });

  it("rejects when the server says nothing in time, and ends it", async () => {
    const path = program("silent", "setInterval(() => {}, 1000);");
    await assert.rejects(startLocalServer({ program: path, startTimeoutMs: 200 }), /within 200 ms. It logged nothing/);
  });

  it("rejects when the program cannot be started", async () => {
    await assert.rejects(startLocalServer({ program: join(scratch, "nothing") }), /cannot be started: .*ENOENT/);
  });

  it("rejects with what to do when the program is for another C library", async () => {
    // A script without its interpreter fails as a program without its loader does.
    const path = join(scratch, "foreign");
    writeFileSync(path, "#!/lib/ld-of-another-libc.so.1\n", { mode: 0o755 });
    const expected = /foreign cannot be started: it was built for another C library .*\(linux-.*Reinstall.*AGB_SERVER/;
    await assert.rejects(startLocalServer({ program: path }), process.platform === "linux" ? expected : /cannot be started/);
  });

  it("lets the process end although a server runs, and takes the server along", () => {
    const path = program("lifeline", 'console.log("agb-server listening on http://127.0.0.1:1"); process.stdin.resume().on("end", () => process.exit(0));');
    const source = `require("agbcloud-local").startLocalServer({ program: ${JSON.stringify(path)} }).then(() => console.log("up"));`;
    const { stdout, status } = spawnSync(process.execPath, ["-e", source], { cwd: PACKAGE, encoding: "utf8", timeout: 20_000 });
    assert.deepEqual([stdout, status], ["up\n", 0]);
  });
});

describe("serverPath", () => {
  it("is what AGB_SERVER names", () => {
    process.env["AGB_SERVER"] = program("named", "");
    assert.equal(serverPath(), join(scratch, "named"));
    process.env["AGB_SERVER"] = join(scratch, "gone");
    assert.throws(serverPath, (error) => error instanceof Error && "code" in error && error.code === "NO_LOCAL_SERVER" && /gone.*unset it/.test(error.message));
  });
});

describe("the command", { skip: process.platform === "win32" }, () => {
  const command = join(PACKAGE, "bin", "agbcloud-local.js");

  it("runs the server with its arguments and ends with its exit code", () => {
    const server = program("args", "console.log(process.argv.slice(2).join(' ')); process.exit(7);");
    const env = { ...process.env, AGB_SERVER: server };
    const given = spawnSync(process.execPath, [command, "serve", "--listen", "127.0.0.1:0"], { env, encoding: "utf8" });
    assert.deepEqual([given.stdout, given.status], ["serve --listen 127.0.0.1:0\n", 7]);
    assert.equal(spawnSync(process.execPath, [command], { env, encoding: "utf8" }).stdout, "serve\n");
  });

  it("says what is missing", () => {
    const { stderr, status } = spawnSync(process.execPath, [command], { env: { ...process.env, AGB_SERVER: "/nowhere" }, encoding: "utf8" });
    assert.equal(status, 1);
    assert.match(stderr, /^agbcloud-local: AGB_SERVER names \/nowhere/);
  });

  it("gives import and require the same functions", () => {
    const source = `
      import { createRequire } from "node:module";
      import * as esm from "agbcloud-local";
      const cjs = createRequire(process.cwd() + "/x.js")("agbcloud-local");
      console.log(Object.keys(esm).sort().join() === Object.keys(cjs).sort().join() && esm.serverPath === cjs.serverPath);
    `;
    assert.equal(spawnSync(process.execPath, ["--input-type=module", "-e", source], { cwd: PACKAGE, encoding: "utf8" }).stdout, "true\n");
  });
});

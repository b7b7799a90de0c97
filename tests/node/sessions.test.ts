/** Sessions from Node: their life, their labels, their tools, and what goes wrong. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";

import { AGB, CreateSessionParams, type Session } from "agbcloud-sdk";

import { type LocalServer, startServer } from "./local-server.ts";

let server: LocalServer;
let agb: AGB;

before(async () => {
  server = await startServer();
  agb = new AGB({ apiKey: server.apiKey, config: { endpoint: server.endpoint } });
});
after(() => server.stop());

async function create(labels?: Record<string, string>): Promise<Session> {
  const created = await agb.create(new CreateSessionParams({ imageId: "agb-code-space-1", ...(labels && { labels }) }));
  assert.ok(created.session, created.errorMessage);
  return created.session;
}

describe("a session", () => {
  test("is made, found, kept alive and deleted, and the delete costs no second", async () => {
    const session = await create();
    assert.equal((await session.getStatus()).status, "RUNNING");
    assert.ok((await session.keepAlive()).success);
    const found = await agb.get(session.sessionId);
    assert.equal(found.session?.sessionId, session.sessionId);
    assert.ok((await session.info()).success);
    const began = performance.now();
    const deleted = await agb.delete(session);
    assert.ok(deleted.success, deleted.errorMessage);
    assert.ok(performance.now() - began < 900, "the delete waited for its next poll");
    const gone = await agb.get(session.sessionId);
    assert.equal(gone.success, false);
    assert.match(gone.errorMessage, /not found/i);
  });

  test("has labels, and is listed by them page by page", async () => {
    const sessions = await Promise.all([1, 2, 3].map((n) => create({ team: "green", n: String(n) })));
    assert.deepEqual((await sessions[0]!.getLabels()).data, { team: "green", n: "1" });
    const first = await agb.list({ team: "green" }, { maxResults: 2 });
    assert.equal(first.sessionIds.length, 2);
    assert.equal(first.totalCount, 3);
    const second = await agb.list({ team: "green" }, { maxResults: 2, nextToken: first.nextToken });
    assert.deepEqual(
      [...first.sessionIds, ...second.sessionIds].sort(),
      sessions.map(({ sessionId }) => sessionId).sort(),
    );
    assert.ok((await sessions[0]!.setLabels({ team: "red" })).success);
    assert.deepEqual((await sessions[0]!.getLabels()).data, { team: "red" });
    await Promise.all(sessions.map((session) => agb.delete(session)));
  });

  test("has tools that do what they say", async () => {
    const session = await create();
    const { tools } = await session.listMcpTools();
    assert.ok(tools.some(({ name }) => name === "run_code"));
    const written = await session.callMcpTool("write_file", { path: "a.txt", content: "text", mode: "overwrite" });
    assert.ok(written.success, written.errorMessage);
    const read = await session.callMcpTool("read_file", { path: "a.txt" });
    assert.match(read.data ?? "", /text/);
    const missing = await session.callMcpTool("read_file", { path: "none.txt" });
    assert.equal(missing.success, false);
    assert.match(missing.errorMessage, /none\.txt/);
    await agb.delete(session);
  });

  test("that was deleted says so to its runs", async () => {
    const session = await create();
    await agb.delete(session);
    for (const streams of [true, false]) {
      const result = await session.code.run("print(1)", "python", 30, streams);
      assert.equal(result.success, false);
      assert.notEqual(result.errorMessage, "");
    }
  });
});

describe("what goes wrong", () => {
  test("a wrong key is told, and the key is not", async () => {
    const key = "sk-very-secret-and-wrong";
    const created = await new AGB({ apiKey: key, config: { endpoint: server.endpoint } }).create({ imageId: "agb-code-space-1" });
    assert.equal(created.success, false);
    assert.match(created.errorMessage, /key/i);
    assert.ok(!created.errorMessage.includes(key));
  });

  test("an unknown image is told with the known ones", async () => {
    const created = await agb.create({ imageId: "no-such-image" });
    assert.equal(created.success, false);
    assert.match(created.errorMessage, /no-such-image.*agb-code-space-1/s);
  });

  test("nobody listens", async () => {
    const lonely = new AGB({ apiKey: "k", config: { endpoint: "http://127.0.0.1:9", timeoutMs: 5_000 } });
    const created = await lonely.create({ imageId: "agb-code-space-1" });
    assert.equal(created.success, false);
    assert.match(created.errorMessage, /127\.0\.0\.1:9/);
  });

  test("the server goes away during a run", async () => {
    const doomed = await startServer();
    const client = new AGB({ apiKey: doomed.apiKey, config: { endpoint: doomed.endpoint } });
    const { session } = await client.create({ imageId: "agb-code-space-1" });
    const errors: Error[] = [];
    const run = session!.code.run(
      "import time\nprint('begun')\ntime.sleep(60)", "python", 60, true,
      () => void process.kill(doomed.pid, "SIGKILL"),
      undefined,
      (error) => errors.push(error),
    );
    const result = await run;
    assert.equal(result.success, false);
    assert.deepEqual(result.logs.stdout.join(""), "begun\n");
    assert.notEqual(result.errorMessage, "");
    assert.equal(result.status, "interrupted");
    // The interruption when it happens, and the end when nothing can be found again.
    const codes = errors.map((error) => (error as Error & { code?: string }).code);
    assert.equal(codes.length, 2, codes.join());
    assert.match(codes[0] ?? "", /^CONNECTION_/);
  });
});

/** Whether a process runs; one that has ended and was not waited for by its new parent does not. */
function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) !== "Z";
  } catch {
    return false;
  }
}

describe("endpoint local", () => {
  const program = `
    import { AGB } from "agbcloud-sdk";
    const [one, two] = [new AGB(), new AGB()];
    const { session } = await one.create({ imageId: "agb-code-space-1" });
    const result = await session.code.run("print('local')", "python", 30, true, (chunk) => process.stdout.write(chunk));
    if (!result.success) throw new Error(result.errorMessage);
    await two.create({ imageId: "agb-code-space-1" });
    if (one.endpoint !== two.endpoint) throw new Error("two servers");
    const pid = (await import("node:child_process")).execSync("pgrep -P " + process.pid + " -x agb-server").toString().trim();
    console.log("server " + pid);
    END
  `;

  async function runProgram(end: string): Promise<{ output: string; pid: number }> {
    const { PATH } = process.env;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program.replace("END", end)], {
      cwd: new URL("..", import.meta.url).pathname,
      env: { PATH, AGB_ENDPOINT: "local" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [output, errors] = ["", ""];
    child.stdout.on("data", (data: Buffer) => (output += data.toString()));
    child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
    await once(child, "close");
    const pid = Number(/server (\d+)/.exec(output)?.[1]);
    assert.ok(pid > 0, `${output}\n${errors}`);
    return { output, pid };
  }

  for (const [name, end] of [
    ["by itself", ""],
    ["by process.exit", "process.exit(0)"],
    ["by an exception", "throw new Error('x')"],
    ["by kill -9", "process.kill(process.pid, 'SIGKILL')"],
  ] as const) {
    test(`starts one server, which ends with a process that ends ${name}`, async () => {
      const { output, pid } = await runProgram(end);
      assert.match(output, /^local\n/);
      const deadline = performance.now() + 10_000;
      while (isRunning(pid)) {
        assert.ok(performance.now() < deadline, "the server outlived its process");
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    });
  }
});

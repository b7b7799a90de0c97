import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { AGB, type Command } from "../src/index.js";
import { FakeBackend, type FakeSession, failed, ok } from "./fake-binding.js";

const backend = new FakeBackend().plug();
const DONE = { requestId: "r-1", success: true, errorMessage: "", httpStatus: 200 };
const PRINTED = { success: true, exitCode: 0, output: "ab", stdout: "a", stderr: "b", traceId: "", errorMessage: "" };
let command: Command;
let fake: FakeSession;

beforeEach(async () => {
  const { session } = await new AGB("key").create({ imageId: "agb-code-space-1" });
  assert(session);
  command = session.command;
  fake = backend.client.session;
});

describe("a command", () => {
  it("is sent with what was given, by position or by name", async () => {
    fake.procedures["command.execute"] = ok(PRINTED);
    await command.execute("ls");
    await command.execute("ls", 5000, "/tmp", { A: "1" });
    await command.execute("ls", undefined, undefined, { A: "1" });
    await command.execute("ls", { timeoutMs: 5000, cwd: "/tmp", envs: { A: "1" } });
    const all = { command: "ls", timeoutMs: 5000, cwd: "/tmp", envs: { A: "1" } };
    assert.deepEqual(
      fake.calls.map(([, args]) => args),
      [{ command: "ls" }, all, { command: "ls", envs: { A: "1" } }, all],
    );
  });

  it("resolves to what it printed and how it ended", async () => {
    fake.procedures["command.execute"] = ok(PRINTED);
    assert.deepEqual(await command.execute("ls"), { ...DONE, ...PRINTED });
    const failure = { ...PRINTED, success: false, exitCode: 2, traceId: "t", errorMessage: "b" };
    fake.procedures["command.execute"] = ok(failure);
    assert.deepEqual(await command.execute("ls"), { ...DONE, ...failure, code: "COMMAND_FAILED" });
  });

  it("that never ran has the exit code -1 and empty texts", async () => {
    fake.procedures["command.execute"] = failed("UNREACHABLE", null, "The service cannot be reached");
    const { success, exitCode, output, stdout, stderr, traceId, errorMessage, code } = await command.execute("ls");
    assert.deepEqual([success, exitCode, output, stdout, stderr, traceId], [false, -1, "", "", "", ""]);
    assert.deepEqual([errorMessage, code], ["The service cannot be reached", "UNREACHABLE"]);
  });

  it("leaves wrong arguments to the core, what JSON cannot write included", async () => {
    await command.execute(7 as never, Infinity);
    await command.execute(NaN as never, 1n as never, Symbol("cwd") as never);
    assert.deepEqual(fake.calls, [
      ["command.execute", { command: 7, timeoutMs: { odd: "Infinity" } }],
      ["command.execute", { command: { odd: "NaN" }, timeoutMs: { odd: "1" }, cwd: { odd: "Symbol(cwd)" } }],
    ]);
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    const { success, code } = await command.execute(circle as never);
    assert.deepEqual([success, code], [false, "BAD_ARGUMENTS"]);
  });

  it("rejects environment variables that are not strings, and sends nothing", async () => {
    for (const envs of [{ A: 1 }, { A: null }, ["A"], "A=1"]) {
      await assert.rejects(command.execute("ls", 1000, undefined, envs as never), { name: "TypeError", message: /environment variable/ });
    }
    assert.deepEqual(fake.calls, []);
  });

  it("has two more names, and each works by itself", async () => {
    fake.procedures["command.execute"] = ok(PRINTED);
    const { execute, run, exec } = command;
    for (const method of [execute, run, exec]) {
      assert.equal((await method("ls")).stdout, "a");
    }
    assert.deepEqual(Object.keys(command), []);
  });

  it("ends when its signal is aborted", async () => {
    fake.invoke = () => new Promise(() => {});
    const stop = new AbortController();
    const running = command.execute("sleep 9", { timeoutMs: 10_000, signal: stop.signal });
    stop.abort();
    assert.deepEqual([(await running).code, (await running).exitCode], ["CANCELLED", -1]);
  });

  it("has the time of its call by position, too", async () => {
    fake.invoke = () => new Promise(() => {});
    const { code, exitCode } = await command.execute("sleep 9", 10_000, null, null, { timeoutMs: 1 });
    assert.deepEqual([code, exitCode], ["TIMED_OUT", -1]);
  });

  it("resolves wrong arguments with callbacks as without", async () => {
    fake.extensions = [...fake.extensions, "command"];
    for (const [given, options] of [[7, {}], ["ls", { timeoutMs: "soon" }], ["ls", { cwd: 7 }], [" ", {}]] as const) {
      const result = await command.execute(given as never, { ...options, onStdout: () => {} } as never);
      assert.deepEqual([result.success, result.code, result.exitCode], [false, "BAD_ARGUMENTS", -1]);
    }
    assert.throws(() => command.stream("ls", { detached: "yes" as never }), /detached must be true or false/);
    assert.throws(() => command.stream(" "), /not a blank string/);
    assert.deepEqual(fake.calls, []);
  });
});

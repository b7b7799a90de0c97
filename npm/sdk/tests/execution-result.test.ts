import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { inspect } from "node:util";
import type { RunResult } from "../src/binding.js";
import { AGB, type EnhancedCodeExecutionResult, type Session } from "../src/index.js";
import { batchOf, FakeBackend, type FakeSession, runResult } from "./fake-binding.js";

const backend = new FakeBackend().plug();
const LOGS = { stdout: ["a", "你好"], stderr: ["!"] };
let session: Session;
let fake: FakeSession;
let asked = 0;

beforeEach(async () => {
  const created = await new AGB("key").create({ imageId: "agb-code-space-1" });
  assert(created.session);
  session = created.session;
  fake = backend.client.session;
  asked = 0;
});

function withLogs(overrides: Partial<RunResult> = {}): RunResult {
  return runResult({
    logs: () => {
      asked += 1;
      return batchOf([{ out: "a" }, { err: "!" }, { out: "你好" }], true);
    },
    ...overrides,
  });
}

async function run(native: RunResult): Promise<EnhancedCodeExecutionResult> {
  fake.onRun = async () => native;
  return session.code.run("1", "python");
}

describe("logs", () => {
  it("are asked for when they are read, once", async () => {
    const result = await run(withLogs());
    assert.equal(asked, 0);
    assert.deepEqual(result.logs, LOGS);
    assert.equal(result.logs, result.logs);
    assert.equal(asked, 1);
    assert.equal(Object.getOwnPropertyDescriptor(result, "logs")?.get, undefined, "the getter replaced itself");
  });

  it("are there for JSON, spreading, listing and printing", async () => {
    const result = await run(withLogs());
    assert(Object.keys(result).includes("logs"));
    assert.equal(asked, 0);
    assert.match(inspect(result), /logs: \{ stdout: \[ 'a', '你好' \], stderr: \[ '!' \] \}/);
    const fresh = await run(withLogs());
    assert.deepEqual(JSON.parse(JSON.stringify(fresh)).logs, LOGS);
    assert.deepEqual({ ...(await run(withLogs())) }.logs, LOGS);
    assert.deepEqual(structuredClone(await run(withLogs())).logs, LOGS);
  });
});

describe("fields", () => {
  it("are the documented ones", async () => {
    const result = await run(withLogs());
    assert.deepEqual({ ...result }, {
      requestId: "0123456789abcdef0123456789abcdef",
      success: true,
      status: "finished",
      executionCount: 1,
      executionTime: 0.25,
      results: [],
      errorMessage: "",
      truncated: false,
      interruptions: 0,
      stateLost: false,
      logs: LOGS,
    });
  });

  it("leave out what is absent", async () => {
    const result = await run(withLogs({ executionCount: null }));
    assert(!("executionCount" in result));
    assert(!("error" in result));
    assert(!("killedBy" in result));
  });

  it("say what killed the interpreter", async () => {
    const killedBy = { exitCode: null, signal: "SIGKILL", outOfMemory: false };
    const result = await run(withLogs({ success: false, status: "killed", stateLost: true, killedBy }));
    assert.deepEqual([result.status, result.stateLost, result.killedBy], ["killed", true, { signal: "SIGKILL", outOfMemory: false }]);
  });

  it("have rich results, with JSON parsed", async () => {
    const none = { text: null, html: null, markdown: null, png: null, jpeg: null, svg: null, latex: null, json: null, chart: null };
    const { results } = await run(
      runResult({
        results: [
          { ...none, text: "2", isMainResult: true },
          { ...none, png: "aGk=", json: '{"a":[1]}', chart: "not JSON", isMainResult: false },
        ],
      }),
    );
    assert.deepEqual(results, [
      { text: "2", isMainResult: true },
      { png: "aGk=", json: { a: [1] }, chart: "not JSON", isMainResult: false },
    ]);
  });
});

describe("a failed run without streaming", () => {
  it("resolves with the error and tells onError once", async () => {
    const error = { name: "ZeroDivisionError", value: "division by zero", traceback: "…" };
    fake.onRun = async () => runResult({ success: false, error, errorMessage: "ZeroDivisionError: division by zero" });
    const errors: Error[] = [];
    const result = await session.code.run("1/0", "python", 60, { streamBeta: false, onError: (e) => errors.push(e) });
    assert.equal(result.success, false);
    assert.deepEqual(result.error, error);
    assert.deepEqual(errors.map(String), ["ZeroDivisionError: division by zero"]);
  });

  it("resolves even when the backend breaks its promise", async () => {
    fake.onRun = () => Promise.reject(new Error("panicked"));
    const result = await session.code.run("1", "python");
    assert.equal(result.success, false);
    assert.equal(result.error?.name, "InternalError");
    assert.match(result.errorMessage, /panicked/);
  });
});

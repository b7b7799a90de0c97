/**
 * Jest and Vitest give test files a realm of their own: errors have the types that a test names, results are made of
 * its own objects and arrays, and nothing of the SDK is left open after the last run.
 *
 * @module
 */

import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { NODE_22, Stage, tool } from "./stage.mjs";

const stage = new Stage("runners");
before(() => stage.open());

/** For both runners; `test` and `expect` are theirs. */
const CHECKS = `
  /** The paths of all that was made in another realm. */
  function foreign(value, path = "it", seen = new Set()) {
    if (value === null || (typeof value !== "object" && typeof value !== "function") || seen.has(value)) return [];
    seen.add(value);
    let root = value;
    for (let next = root; next !== null; next = Object.getPrototypeOf(next)) root = next;
    const here = root === Object.prototype ? [] : [path];
    return [...here, ...Object.keys(value).flatMap((key) => foreign(value[key], path + "." + key, seen))];
  }
  const own = (value) => expect(foreign(value)).toStrictEqual([]);
  const IMAGE = { imageId: "agb-code-space-1" };

  test("errors of constructors and checks have their types", () => {
    const { AGB_API_KEY } = process.env;
    delete process.env.AGB_API_KEY;
    try {
      expect(() => new sdk.AGB()).toThrow(sdk.AuthenticationError);
    } finally {
      process.env.AGB_API_KEY = AGB_API_KEY;
    }
    expect(() => new sdk.AGB({ config: { endpoint: "nowhere:at all" } })).toThrow(sdk.ConfigurationError);
    expect(() => new sdk.AGB({ config: { endpoint: "nowhere:at all" } })).toThrow(Error);
    expect(() => new sdk.AGB(42)).toThrow(TypeError);
    expect(() => sdk.Session.attach({})).toThrow(sdk.AGBError);
    expect(() => sdk.Session.attach(null)).toThrow(TypeError);
  });

  test("results are made of this realm's objects", async () => {
    const agb = new sdk.AGB();
    const created = await agb.create(IMAGE);
    const { session } = created;
    expect(session).toBeInstanceOf(sdk.Session);
    own(created);
    const list = await agb.list({ no: "such label" });
    expect(list.sessionIds).toStrictEqual([]);
    expect(list.sessions).toStrictEqual([]);
    own(list);
    own(await agb.getSession(session.sessionId));
    own(await agb.getSession("no such session"));
    own(await session.listMcpTools());
    own(await session.getLabels());

    const shown = await session.code.run("import sys\\nprint(1)\\nprint(2, file=sys.stderr)\\n{'a': [1]}", "python");
    expect(shown.logs.stdout).toStrictEqual(["1\\n"]);
    expect(shown.logs.stderr).toStrictEqual(["2\\n"]);
    own(shown);
    const failed = await session.code.run("1 / 0", "python", 60, { onError: (error) => {
      expect(error).toBeInstanceOf(sdk.CodeExecutionError);
      expect(error).toBeInstanceOf(Error);
    } });
    expect(failed.status).toBe("failed");
    own(failed);
    const events = [];
    const run = session.code.stream("print(input())", "python");
    for await (const event of run) {
      events.push(event);
      if (event.type === "inputRequest") run.write("x\\n");
    }
    own(events);
    own(await run.result);

    own(await session.command.execute("echo 1"));
    await session.file.write("/tmp/a", "text");
    own(await session.file.read("/tmp/a"));
    own(await session.file.list("/tmp"));
    const bytes = await session.file.read("/tmp/a", { format: "bytes" });
    expect(bytes.content).toBeInstanceOf(Uint8Array);
    own(await agb.delete(session));
    const gone = await session.code.run("1", "python");
    own(gone);
    expect(() => sdk.throwIfFailed({ success: false, requestId: "", errorMessage: "no", httpStatus: 401 })).toThrow(sdk.AuthenticationError);
  }, 60000);
`;

describe("Jest", () => {
  it("sees typed errors and results of its own realm, and no open handle", async (t) => {
    stage.write("jest/package.json", '{ "name": "checked", "private": true, "jest": { "testEnvironment": "node", "watchman": false } }\n');
    for (const name of ["first", "second"]) {
      stage.write(`jest/${name}.test.js`, `const sdk = require("agbcloud-sdk");\n${CHECKS}`);
    }
    // In one process, so that both files load the addon, and it ends by itself: `--forceExit` is not given.
    const args = [tool("jest/bin/jest.js"), "--runInBand", "--detectOpenHandles", "--colors=false"];
    const output = await stage.tool(t, "jest", args, { env: stage.environment });
    assert.match(output, /Tests: +4 passed, 4 total/);
    assert.doesNotMatch(output, /open handle|did not exit/i);
  });

  it("ends its workers", async (t) => {
    const output = await stage.tool(t, "jest", [tool("jest/bin/jest.js"), "--workerThreads", "--maxWorkers=2"], { env: stage.environment });
    assert.match(output, /Tests: +4 passed, 4 total/);
    assert.doesNotMatch(output, /failed to exit gracefully|did not exit/i);
  });
});

describe("Vitest", () => {
  for (const pool of ["threads", "forks", "vmThreads", "vmForks"]) {
    it(`sees the same with --pool=${pool}`, async (t) => {
      stage.write("vitest/package.json", '{ "name": "checked", "private": true, "type": "module" }\n');
      for (const name of ["first", "second"]) {
        stage.write(`vitest/${name}.test.js`, `import { expect, test } from "vitest";\nimport * as sdk from "agbcloud-sdk";\n${CHECKS}`);
      }
      const args = [tool("vitest/vitest.mjs"), "run", `--pool=${pool}`, "--reporter=default"];
      const output = await stage.tool(t, "vitest", args, { env: stage.environment, program: NODE_22 });
      assert.match(output, /Tests +4 passed \(4\)/);
      assert.doesNotMatch(output, /close timed out|hanging/i);
    });
  }
});

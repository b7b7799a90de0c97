import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { type Session } from "../src/index.js";
import { FakeBackend, type FakeSession } from "./fake-binding.js";

const backend = new FakeBackend().plug();
let session: Session;
let fake: FakeSession;

beforeEach(async () => {
  ({ session, fake } = await backend.newSession());
});

describe("wrong arguments reject with a TypeError before anything is sent", () => {
  const wrong: Array<[what: string, args: unknown[], message: RegExp]> = [
    ["code that is a number", [42, "python"], /code must be a string, not 42/],
    ["no code", [], /code must be a string, not undefined/],
    ["no language", ["1"], /language must be a non-empty string, not undefined/],
    ["an empty language", ["1", " "], /language must be a non-empty string/],
    ["a negative timeout", ["1", "python", -1], /timeoutS must be a positive number of seconds, not -1/],
    ["a timeout of nothing", ["1", "python", 0], /timeoutS/],
    ["a timeout that is NaN", ["1", "python", Number.NaN], /timeoutS .* not NaN/],
    ["an endless timeout", ["1", "python", Infinity], /timeoutS .* not Infinity/],
    ["a timeout in words", ["1", "python", "60"], /timeoutS .* not a string/],
    ["streamBeta in words", ["1", "python", 60, "yes"], /streamBeta must be true or false, not a string/],
    ["streamBeta in words among the options", ["1", "python", 60, { streamBeta: 1 }], /streamBeta must be true or false, not 1/],
    ["an array for options", ["1", "python", 60, []], /streamBeta must be true or false, not an array/],
    ["a function for streamBeta", ["1", "python", 60, () => {}], /streamBeta must be true or false, not a function/],
    ["a misspelt option", ["1", "python", 60, { onStdOut() {} }], /no option onStdOut; it has streamBeta, onStdout/],
    ["onStdout that is no function", ["1", "python", 60, true, "print"], /onStdout must be a function, not a string/],
    ["onStderr that is no function", ["1", "python", 60, true, null, {}], /onStderr must be a function, not an object/],
    ["onError that is no function", ["1", "python", 60, { onError: true }], /onError must be a function, not true/],
    ["a logLimit that is no whole number", ["1", "python", 60, { logLimit: 1.5 }], /logLimit/],
    ["a negative logLimit", ["1", "python", 60, { logLimit: -1 }], /logLimit .* not -1/],
    ["a resultLimit that is no number", ["1", "python", 60, { resultLimit: "1" }], /resultLimit/],
    ["callbacks in both places", ["1", "python", 60, {}, () => {}], /not into both places/],
  ];
  for (const [what, args, message] of wrong) {
    it(what, async () => {
      const run = session.code.run as (...args: unknown[]) => Promise<unknown>;
      const running = run.apply(session.code, args);
      await assert.rejects(running, (error) => error instanceof TypeError && message.test(error.message));
      assert.deepEqual(fake.requests, []);
    });
  }

  it("never shows the code", async () => {
    const run = session.code.run as (...args: unknown[]) => Promise<unknown>;
    await assert.rejects(run.apply(session.code, [["secret"], "python"]), (error) => !String(error).includes("secret"));
  });
});

describe("arguments that are right", () => {
  it("takes null for what is left out", async () => {
    await session.code.run("1", "python", null, null, null, null, null);
    assert.deepEqual(fake.requests, [{ code: "1", language: "python", timeoutS: 60, logLimit: null, resultLimit: null, stamps: false, stdin: false }]);
  });

  it("leaves language names to the core", async () => {
    await session.code.run("1", " PY ");
    await session.code.run("1", "cobol");
    assert.deepEqual(fake.requests.map(({ language }) => language), [" PY ", "cobol"]);
  });

  it("takes empty code", async () => {
    await session.code.run("", "python");
    assert.equal(fake.requests.length, 1);
  });
});

/** That programs in the documentation's style compile: what they assign to, cast and leave out. `tsc` is the test. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type AGBOptions,
  BrowserContext,
  type BrowserProxyStrategy,
  type BrowserProxyType,
  type Brand,
  type ConfigOptions,
  type ContextData,
  type ContextListParams,
  ContextSync,
  CreateSessionParams,
  type CreateSessionParamsOptions,
  type ExecutionError,
  type ExecutionLogs,
  type ExecutionResult,
  type ExtraProperties,
  type Fingerprint,
  getLogLevel,
  LogLevel,
  type NavigatorFingerprint,
  newSyncPolicy,
  type ScreenFingerprint,
  type SyncPolicy,
  type UserAgentData,
  type VideoCard,
} from "../src/index.js";
import { FakeBackend } from "./fake-binding.js";

new FakeBackend().plug();

describe("what programs are given and give", () => {
  it("can be changed", () => {
    const options: AGBOptions = {};
    options.apiKey = "key";
    const config: ConfigOptions = {};
    config.timeoutMs = 5000;
    options.config = config;
    const page: ContextListParams = { maxResults: 2 };
    page.nextToken = "2";
    const context: ContextData = { id: "c", name: "old" };
    context.name = "new";
    const given: CreateSessionParamsOptions = { imageId: "i" };
    given.labels = { project: "demo" };
    given.contextSync = [new ContextSync(context.id, "/home")];
    const params = new CreateSessionParams(given);
    params.labels["env"] = "dev";
    assert.deepEqual(params.labels, { project: "demo", env: "dev" });
    assert.deepEqual(given.labels, { project: "demo" });
  });

  it("has every part of a policy that a helper made", () => {
    const policy = newSyncPolicy();
    policy.uploadPolicy.autoUpload = false;
    const { whiteLists } = policy.bwList;
    const wide: SyncPolicy = policy;
    assert.deepEqual([whiteLists.length, policy.recyclePolicy.paths.length, wide.uploadPolicy?.autoUpload], [0, 1, false]);
  });

  it("can be read as a record", () => {
    const error: ExecutionError = { name: "E", value: "v", traceback: "" };
    const logs: ExecutionLogs = { stdout: ["a"], stderr: [] };
    const result: ExecutionResult = { text: "1", isMainResult: true };
    const records = [error as Record<string, unknown>, logs as Record<string, unknown>, result as Record<string, unknown>];
    assert.deepEqual(records.map((record) => Object.keys(record).length), [3, 2, 2]);
  });

  it("names levels by their number", () => {
    const name: string = LogLevel[getLogLevel()];
    assert.equal(LogLevel[LogLevel.WARN], "WARN");
    assert(name in LogLevel);
  });

  it("has the data of browsers, from an object or from values", () => {
    type Data = [BrowserProxyStrategy, BrowserProxyType, Brand, ExtraProperties, Fingerprint, NavigatorFingerprint, ScreenFingerprint, UserAgentData, VideoCard];
    const data: Data = ["polling", "custom", {}, {}, {}, {}, {}, {}, {}];
    assert.equal(data.length, 9);
    assert.deepEqual({ ...new BrowserContext({ contextId: "c", autoUpload: true }) }, { contextId: "c", autoUpload: true });
    assert.deepEqual({ ...new BrowserContext("c", true) }, { values: ["c", true] });
    assert.deepEqual({ ...new BrowserContext() }, {});
  });
});

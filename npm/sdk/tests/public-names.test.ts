import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as sdk from "../src/index.js";
import {
  AGBError,
  APIError,
  defaultConfig,
  FileError,
  getLogLevel,
  loadConfig,
  logError,
  LogLevel,
  logInfo,
  SessionError,
  setLogger,
  setLogLevel,
} from "../src/index.js";
import { FakeBackend } from "./fake-binding.js";

const backend = new FakeBackend().plug();

describe("errors", () => {
  it("are made with a code, or with what is to be kept", () => {
    const ours = new AGBError("m", "NO_API_KEY", { cause: 1 });
    assert.deepEqual([ours.code, ours.cause, Object.keys(ours).includes("extra")], ["NO_API_KEY", 1, false]);
    const theirs = new FileError("m", { path: "/a" });
    assert.deepEqual([theirs.name, theirs.code, theirs.extra], ["FileError", "UNKNOWN", { path: "/a" }]);
    assert.deepEqual([new AGBError().message, new AGBError().extra], ["", {}]);
    const status = new APIError("m", 404, { a: 1 });
    assert.deepEqual([status.statusCode, status.httpStatus, status.extra, status.requestId], [404, 404, { a: 1 }, ""]);
    const coded = new APIError("m", "X", { requestId: "r", httpStatus: 400 });
    assert.deepEqual([coded.code, coded.statusCode, coded.requestId], ["X", 400, "r"]);
    const session = new SessionError("m", { id: "s" });
    assert(session instanceof APIError);
    assert.deepEqual([session.name, session.extra, session.statusCode], ["SessionError", { id: "s" }, undefined]);
  });
});

describe("the log", () => {
  it("knows levels as numbers and in every spelling", () => {
    for (const [given, number] of [[LogLevel.DEBUG, 0], ["INFO", 1], ["Warning", 2], [3, 3], ["silent", 4], ["off", 4], ["trace", 0]] as const) {
      setLogLevel(given as never);
      assert.equal(getLogLevel(), number, String(given));
      assert.equal(LogLevel[LogLevel[getLogLevel()]], number);
    }
    for (const wrong of [-1, 5, 1.5, "loud", null]) {
      assert.throws(() => setLogLevel(wrong as never), TypeError);
    }
  });

  it("takes lines of the caller's", () => {
    const lines: string[] = [];
    const collect = (line: string): void => void lines.push(line);
    setLogger({ error: collect, warn: collect, info: collect, debug: collect });
    setLogLevel("error");
    logInfo("below the level");
    logError("failed", { id: 7 }, new Error("why"), undefined);
    setLogger(null);
    assert.deepEqual(lines, ['failed {"id":7} Error: why undefined']);
  });
});

describe("the configuration", () => {
  it("comes from code, or from the client's own sources", () => {
    assert.deepEqual(defaultConfig(), { endpoint: "sdk-api.agb.cloud", timeoutMs: 60_000 });
    assert.deepEqual(loadConfig({ endpoint: "https://h.example/", timeoutMs: 5 }), { endpoint: "h.example", timeoutMs: 5 });
    assert.equal(loadConfig().timeoutMs, 60_000);
    assert.deepEqual(new sdk.AGB({ apiKey: "k", config: { endpoint: "http://h:1" } }).toJSON(), { endpoint: "http://h:1", timeoutMs: 60_000 });
  });

  it("does without a file that is not there", () => {
    let tries = 0;
    const { Client } = backend;
    const reluctant = new FakeBackend();
    Object.assign(reluctant, {
      Client: class extends Client {
        constructor(options: ConstructorParameters<typeof Client>[0]) {
          tries += 1;
          if (options.envFile !== null) {
            throw Object.assign(new Error("no such file"), { code: "BAD_ENV_FILE" });
          }
          super(options);
        }
      },
    });
    Object.assign(backend, { Client: reluctant.Client });
    assert.equal(loadConfig(null, "/nowhere/.env").timeoutMs, 60_000);
    Object.assign(backend, { Client });
    assert.equal(tries, 2);
  });
});

describe("the package", () => {
  it("has a version", () => {
    assert.equal(sdk.getSdkVersion(), sdk.VERSION);
    assert.equal(sdk.isReleaseVersion(), true);
  });

  it("exports each value that documented programs import", () => {
    const names = `AGB Session CreateSessionParams loadConfig defaultConfig AGBError APIError AuthenticationError SessionError FileError
      CommandError ClearanceTimeoutError ApplicationError BrowserError ScreenError Code Command FileSystem Context ContextService
      ContextManager ContextSync UploadStrategy DownloadStrategy UploadMode Lifecycle newSyncPolicy newUploadPolicy newDownloadPolicy
      newDeletePolicy newExtractPolicy newRecyclePolicy syncPolicyToDict setLogLevel LogLevel getLogLevel logDebug logInfo logWarn
      logError VERSION getSdkVersion isReleaseVersion Computer MouseController KeyboardController WindowManager ApplicationManager
      ScreenController MouseButton ScrollDirection Browser BrowserAgent BrowserOptionClass BrowserProxyClass BrowserFingerprintContext
      BrowserContext FingerprintFormat BrowserFingerprintGenerator Extension ExtensionOption ExtensionsService`;
    const missing = names.split(/\s+/).filter((name) => !(name in sdk));
    assert.deepEqual(missing, []);
  });
});

import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { AGB, type ApiResult, AGBError, APIError, AuthenticationError, ConfigurationError, ContextSync, CreateSessionParams, newSyncPolicy, Session, SessionError, syncPolicyToDict, throwIfFailed, VERSION } from "../src/index.js";
import { failed, FakeBackend, ok } from "./fake-binding.js";

let searched = 0;
const backend = new FakeBackend();
backend.plug({
  findLocalServer: () => {
    searched += 1;
    return backend.localServer;
  },
});

beforeEach(() => {
  backend.refusal = null;
  backend.env = [];
  backend.localServer = null;
  searched = 0;
});

function refused({ success, code, errorMessage }: ApiResult): void {
  assert.deepEqual([success, code, errorMessage !== ""], [false, "BAD_ARGUMENTS", true]);
}

describe("the constructor", () => {
  const nothing = { apiKey: null, endpoint: null, timeoutMs: null, envFile: null, env: [], localServer: null, proxy: null, ca: null, streaming: null };

  it("takes nothing, a key, or options", () => {
    new AGB();
    assert.deepEqual(backend.client.options, nothing);
    new AGB("key");
    assert.deepEqual(backend.client.options, { ...nothing, apiKey: "key" });
    new AGB({ apiKey: "key", config: { endpoint: "http://127.0.0.1:9", timeoutMs: 5 }, envFile: "my.env" });
    assert.deepEqual(backend.client.options, { ...nothing, apiKey: "key", endpoint: "http://127.0.0.1:9", timeoutMs: 5, envFile: "my.env" });
  });

  it("hands the environment over as it is: the core resolves precedence", () => {
    backend.env = [["AGB_API_KEY", "from-env"], ["AGB_ENDPOINT", "https://example.test"]];
    const agb = new AGB({ config: { timeoutMs: 7 } });
    assert.deepEqual(backend.client.options.env, backend.env);
    assert.equal(agb.timeoutMs, 7);
  });

  it("looks for a local server only where the endpoint may be local", () => {
    backend.localServer = "/opt/agb-server";
    new AGB({ config: { endpoint: "local" } });
    assert.equal(backend.client.options.localServer, "/opt/agb-server");
    backend.env = [["AGB_ENDPOINT", " Local "]];
    new AGB();
    assert.equal(backend.client.options.localServer, "/opt/agb-server");
    assert.equal(searched, 2);
    new AGB({ config: { endpoint: "https://example.test" } });
    backend.env = [["AGB_ENDPOINT", "https://example.test"]];
    new AGB();
    assert.equal(backend.client.options.localServer, null);
    assert.equal(searched, 2);
  });

  it("throws an AuthenticationError when there is no key", () => {
    backend.refusal = Object.assign(new Error("There is no API key: set AGB_API_KEY"), { code: "NO_API_KEY" });
    assert.throws(() => new AGB(), (error) => {
      assert(error instanceof AuthenticationError && error instanceof AGBError && error instanceof Error);
      assert.equal(error.code, "NO_API_KEY");
      assert.equal(String(error), "AuthenticationError: There is no API key: set AGB_API_KEY");
      return true;
    });
  });

  for (const code of ["BAD_ENDPOINT", "BAD_TIMEOUT", "BAD_ENV_FILE", "NO_LOCAL_SERVER"]) {
    it(`throws a ConfigurationError for ${code}`, () => {
      backend.refusal = Object.assign(new Error("what happened"), { code });
      assert.throws(() => new AGB(), (error) => error instanceof ConfigurationError && error.code === code);
    });
  }

  it("passes on what it does not know", () => {
    const refusal = new Error("out of memory");
    backend.refusal = refusal;
    assert.throws(() => new AGB(), refusal);
  });

  for (const options of [42, [], { apiKey: 1 }, { config: "local" }, { config: { endpoint: 1 } }, { config: { timeoutMs: -1 } }, { envFile: true }]) {
    it(`throws a TypeError for ${JSON.stringify(options)}`, () => {
      assert.throws(() => new AGB(options as never), TypeError);
    });
  }

  it("tells its key to who asks for it", () => {
    assert.equal(new AGB("secret").apiKey, "secret");
    backend.localServer = "/server";
    assert.equal(new AGB({ config: { endpoint: "local" } }).apiKey, "");
  });

  it("shows no key", () => {
    const agb = new AGB("very-secret");
    assert(!JSON.stringify(agb).includes("very-secret"));
    assert.throws(() => new AGB({ apiKey: ["very-secret"] as never }), (error) => !String(error).includes("very-secret"));
  });
});

describe("sessions", () => {
  it("creates one, from a class instance and from a plain object", async () => {
    const agb = new AGB("key");
    const options = { imageId: "agb-code-space-1", labels: { team: "blue" }, idleReleaseTimeout: 30 };
    const expected = {
      imageId: "agb-code-space-1",
      labels: [["team", "blue"]],
      idleReleaseTimeout: 30,
      mcpPolicyId: null,
      contextId: null,
      persistence: null,
      options: null,
      sdkVersion: VERSION,
    };
    for (const params of [options, new CreateSessionParams(options)]) {
      const result = await agb.create(params);
      assert.equal(result.requestId, "r-1");
      assert.equal(result.success, true);
      assert.equal(result.errorMessage, "");
      assert(result.session instanceof Session);
      assert.equal(result.session.sessionId, "s-1");
      assert.deepEqual(backend.client.calls.pop(), ["createSession", expected]);
    }
  });

  it("hands over what the session has that others do not", async () => {
    const agb = new AGB("key");
    const options = { imageId: "i", envs: { A: "1" }, network: { allow: ["example.org"] }, timeoutS: 60 } as const;
    for (const params of [options, new CreateSessionParams(options)]) {
      await agb.create(params);
      const [, sent] = backend.client.calls.pop() as [string, { options: string }];
      assert.deepEqual(JSON.parse(sent.options), { envs: { A: "1" }, network: { allow: ["example.org"] }, timeoutS: 60 });
    }
    for (const wrong of [{ envs: { A: 1 } }, { network: "all" }, { network: { allow: [] } }, { network: { allow: [1] } }, { timeoutS: 0 }, { timeoutS: 1.5 }]) {
      refused(await agb.create({ imageId: "i", ...wrong } as never));
    }
  });

  it("resolves wrong parameters before anything is sent", async () => {
    const agb = new AGB("key");
    for (const params of [undefined, "image", {}, { imageId: "" }, { imageId: "i", labels: { a: 1 } }, { imageId: "i", idleReleaseTimeout: 0 }]) {
      refused(await agb.create(params as never));
    }
    refused(await agb.create(new CreateSessionParams()));
    refused(await agb.create({ imageId: "i", browserContext: {} }));
    refused(await agb.create({ imageId: "i", contextSync: [{ contextId: " ", path: "/p" }] }));
    refused(await agb.create({ imageId: "i", contextSync: {} as never }));
    refused(await agb.get(1 as never));
    refused(await agb.get(""));
    refused(await agb.getSession(" "));
    for (const none of [undefined, null, "", " ", {}, { sessionId: "s-1" }, 7]) {
      refused(await agb.delete(none as never));
    }
    for (const policy of ["all", 5, [], { uploadPolicy: "no" }]) {
      refused(await agb.create({ imageId: "i", contextSync: [{ contextId: "c", path: "/p", policy: policy as never }] }));
    }
    for (const page of [5, "2", []]) {
      refused(await agb.context.list(page as never));
    }
    refused(await agb.list("team" as never));
    refused(await agb.list({}, 0));
    refused(await agb.list({}, 1, 1.5));
    refused(await agb.list({}, { isAll: 1 as never }));
    assert.deepEqual(backend.client.calls, []);
    assert.throws(() => new CreateSessionParams("image" as never), TypeError);
  });

  it("resolves failures, with code and status", async () => {
    const agb = new AGB("key");
    backend.client.failure = failed("InvalidMcpSession.NotFound", 400, "Session s-9 not found");
    const result = await agb.get("s-9");
    assert.deepEqual(result, {
      requestId: "r-2",
      success: false,
      errorMessage: "Session s-9 not found",
      code: "InvalidMcpSession.NotFound",
      httpStatus: 400,
      session: null,
    });
    assert.equal((await agb.create({ imageId: "i" })).session, undefined);
    assert.equal((await agb.getSession("s-9")).data, undefined);
    assert.deepEqual((await agb.list()).sessionIds, []);
    assert.equal((await agb.delete("s-9")).success, false);
  });

  it("tells of a session without taking it up", async () => {
    const { data, code, httpStatusCode } = await new AGB("key").getSession("s-1");
    assert.deepEqual(data, {
      sessionId: "s-1",
      appInstanceId: "app-1",
      resourceId: "",
      resourceUrl: "",
      status: "",
      success: true,
      linkUrl: "https://link.example",
      wsUrl: "wss://ws.example",
      token: "t-1",
      toolList: "",
    });
    assert.deepEqual([code, httpStatusCode], ["", 200]);
  });

  it("deletes by session and by id", async () => {
    const agb = new AGB("key");
    const { session } = throwIfFailed(await agb.create({ imageId: "i" }));
    assert(session);
    assert.deepEqual(await agb.delete(session), { requestId: "r-1", success: true, errorMessage: "", httpStatus: 200 });
    assert.deepEqual(backend.client.session.calls, [["delete", null]]);
    await agb.delete("s-7");
    assert.deepEqual(backend.client.calls.at(-1), ["deleteSession", "s-7"]);
  });
});

describe("contexts of a new session", () => {
  const contextSync = [new ContextSync("c-1", "/home/data"), { contextId: "c-2", path: "/p", policy: newSyncPolicy() }];

  it("are sent with a policy each, and waited for", async () => {
    const agb = new AGB("key");
    const task = { contextId: "c-1", path: "/home/data", status: "Failed", errorMessage: "disk full", taskType: "download" };
    backend.client.session.procedures["context.settle"] = ok([task]);
    const result = await agb.create({ imageId: "i", contextSync, policyId: "p-1" });
    assert.equal(result.success, true);
    assert.deepEqual(result.contexts, [task]);
    const [, params] = backend.client.calls[0] as [string, { persistence: string; mcpPolicyId: string }];
    const sent = JSON.parse(params.persistence) as Array<{ contextId: string; path: string; policy: string }>;
    assert.deepEqual(sent.map(({ contextId, path }) => [contextId, path]), [["c-1", "/home/data"], ["c-2", "/p"]]);
    assert.equal(params.mcpPolicyId, "p-1");
    for (const { policy } of sent) {
      assert.deepEqual(JSON.parse(policy), syncPolicyToDict(newSyncPolicy()));
    }
  });

  it("are carried back first where delete is told so, and a failure does not keep the session", async () => {
    const agb = new AGB("key");
    const { session } = await agb.create({ imageId: "i" });
    const fake = backend.client.session;
    fake.procedures["context.sync"] = failed("SYNC_FAILED", 200, "disk full");
    assert.equal((await agb.delete(session, true)).success, true);
    assert.deepEqual(fake.calls.map(([name]) => name), ["context.sync", "delete"]);
    assert.equal((await agb.delete("s-1", true)).success, true);
    assert.equal((await session.delete()).success, true);
    assert.deepEqual(fake.calls.slice(2).map(([name]) => name), ["context.sync", "delete", "delete"]);
  });
});

describe("list", () => {
  it("has the documented fields", async () => {
    const result = await new AGB("key").list({ team: "blue" });
    assert.deepEqual(result, {
      requestId: "r-1",
      success: true,
      errorMessage: "",
      httpStatus: 200,
      sessionIds: ["s-1", "s-2"],
      sessions: [{ sessionId: "s-1", sessionStatus: "RUNNING" }, { sessionId: "s-2", sessionStatus: "RUNNING" }],
      nextToken: "",
      maxResults: 10,
      totalCount: 2,
    });
    const params = { labels: [["team", "blue"]], maxResults: null, nextToken: null, isAll: null };
    assert.deepEqual(backend.client.calls, [["session.list", params]]);
  });

  it("goes to a page by number", async () => {
    const agb = new AGB("key");
    backend.client.pages = [["a"], ["b"], ["c"]];
    const third = await agb.list(null, 3, 1);
    assert.deepEqual(third.sessionIds, ["c"]);
    assert.equal(backend.client.calls.length, 3);
    const fourth = await agb.list(null, 4, 1);
    assert.equal(fourth.success, false);
    assert.equal(fourth.code, "NO_SUCH_PAGE");
    assert.match(fourth.errorMessage, /no page 4: page 3 is the last one/);
  });

  it("goes to a page by token", async () => {
    const agb = new AGB("key");
    backend.client.pages = [["a"], ["b"]];
    const page = await agb.list(undefined, { nextToken: "token-1", maxResults: 1, isAll: true });
    assert.deepEqual(page.sessionIds, ["b"]);
    assert.deepEqual(backend.client.calls, [["session.list", { labels: null, maxResults: 1, nextToken: "token-1", isAll: true }]]);
  });
});

describe("throwIfFailed", () => {
  const result = { requestId: "r", success: false, errorMessage: "no", code: "X" };

  it("returns what succeeded", () => {
    const good = { requestId: "r", success: true, errorMessage: "" };
    assert.equal(throwIfFailed(good), good);
  });

  it("throws by kind", () => {
    assert.throws(() => throwIfFailed({ ...result, httpStatus: 401 }), AuthenticationError);
    assert.throws(() => throwIfFailed({ ...result, code: "InvalidMcpSession.NotFound" }), SessionError);
    assert.throws(() => throwIfFailed({ ...result, httpStatus: 500 }), (error) => {
      assert(error instanceof APIError && !(error instanceof SessionError));
      assert.deepEqual([error.code, error.requestId, error.httpStatus, error.message], ["X", "r", 500, "no"]);
      return true;
    });
  });
});

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { AGBError, ConfigurationError, initialize, Session, type SessionAccess } from "../src/index.js";
import { attachWith } from "../src/node/attach.js";
import { checkedStreamingLimits } from "../src/node/streaming-limits.js";
import { ACCESS, FakeBackend, type FakeSession, failed } from "./fake-binding.js";

const backend = new FakeBackend().plug();
let session: Session;
let fake: FakeSession;

beforeEach(async () => {
  ({ session, fake } = await backend.newSession());
});

describe("session.browserAccess", () => {
  it("gives an access as plain JSON", async () => {
    const result = await session.browserAccess();
    assert.equal(result.success, true);
    assert.deepEqual(JSON.parse(JSON.stringify(result.access)), ACCESS);
    assert.deepEqual(fake.calls, [["session.access", { scope: "run", lastsS: null, renew: null }]]);
  });

  it("passes its options on, and of a renewed access the token only", async () => {
    await session.browserAccess({ scope: "read", lastsS: 60, renew: ACCESS });
    assert.deepEqual(fake.calls, [["session.access", { scope: "read", lastsS: 60, renew: "page-token" }]]);
  });

  it("says why there is none", async () => {
    fake.failure = failed("NOT_SUPPORTED", null, "no");
    const result = await session.browserAccess();
    assert.deepEqual([result.success, result.code, result.access], [false, "NOT_SUPPORTED", undefined]);
  });

  it("refuses options of the wrong type and sends nothing", async () => {
    for (const options of [null, { scope: "write" }, { lastsS: -1 }, { lastsS: "60" }, { renew: "token" }, { renew: {} }]) {
      await assert.rejects(session.browserAccess(options as never), TypeError, JSON.stringify(options));
    }
    assert.deepEqual(fake.calls, []);
  });
});

describe("Session.attach", () => {
  it("makes a session of an access that went through JSON", async () => {
    const attached = Session.attach(JSON.parse(JSON.stringify(ACCESS)) as SessionAccess);
    assert.equal(attached.sessionId, "s-1");
    const { access, session: native } = backend.attached.at(-1) ?? assert.fail("the backend was not asked");
    assert.deepEqual(JSON.parse(access), ACCESS);
    const run = attached.code.run("1", "python");
    assert.equal((await run).success, true);
    assert.equal(native.requests.length, 1);
  });

  it("says what is missing, and never the token", () => {
    for (const name of ["sessionId", "wsUrl", "token", "expiresAt"] as const) {
      assert.throws(
        () => Session.attach({ ...ACCESS, [name]: undefined } as never),
        (error) => error instanceof AGBError && error.code === "BAD_ACCESS" && error.message.includes(name) && !error.message.includes("page-token"),
      );
    }
    for (const access of [undefined, null, "text", []]) {
      assert.throws(() => Session.attach(access as never), TypeError);
    }
  });

  it("leaves settings of connections to a page's browser", () => {
    Session.attach(ACCESS, { config: { proxy: "http://proxy.example:3128" } });
    assert.equal(backend.attached.at(-1)?.options, undefined);
  });
});

describe("Session.attach in Node", () => {
  const NONE = { timeoutMs: null, streaming: null, proxy: null, ca: null };
  before(() => backend.plug({ attach: attachWith, streamingLimits: checkedStreamingLimits }));
  after(() => backend.plug());

  it("takes what an account takes of connections", () => {
    for (const [config, expected] of [
      [undefined, {}],
      [{}, {}],
      [{ endpoint: "https://elsewhere.example" }, {}],
      [{ proxy: "http://proxy.example:3128", ca: "PEM", timeoutMs: 5 }, { proxy: "http://proxy.example:3128", ca: ["PEM"], timeoutMs: 5 }],
      [{ proxy: false as const, ca: ["A", "B"] }, { proxy: "", ca: ["A", "B"] }],
      [{ streaming: { heartbeatS: 1 } }, { streaming: { heartbeatS: 1 } }],
    ] as const) {
      Session.attach(ACCESS, { config });
      assert.deepEqual(backend.attached.at(-1)?.options, { ...NONE, ...expected });
    }
    Session.attach(ACCESS);
    assert.deepEqual(backend.attached.at(-1)?.options, NONE);
  });

  it("refuses settings of the wrong type, names that it does not know, and takes nothing up", () => {
    const count = backend.attached.length;
    for (const options of [5, "text", [], { ca: "PEM" }, { config: 5 }, { config: null }, { config: { proxy: 5 } }, { config: { ca: [5] } }, { config: { timeoutMs: "1" } }, { config: { streaming: { none: 1 } } }]) {
      assert.throws(() => Session.attach(ACCESS, options as never), TypeError, JSON.stringify(options));
    }
    assert.equal(backend.attached.length, count);
  });

  it("says which setting cannot be used", () => {
    backend.refusal = Object.assign(new Error("the proxy is not a URL"), { code: "BAD_NETWORK" });
    try {
      const isIt = (error: unknown): boolean => error instanceof ConfigurationError && error.code === "BAD_NETWORK";
      assert.throws(() => Session.attach(ACCESS, { config: { proxy: "nonsense" } }), isIt);
    } finally {
      backend.refusal = null;
    }
  });
});

describe("initialize", () => {
  it("asks the platform, with or without options", async () => {
    await initialize();
    await initialize({ wasm: "/agb.wasm" });
    assert.deepEqual(backend.initialized, [{}, { wasm: "/agb.wasm" }]);
  });
});

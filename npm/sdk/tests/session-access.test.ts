import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { AGBError, initialize, Session, type SessionAccess } from "../src/index.js";
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
});

describe("initialize", () => {
  it("asks the platform, with or without options", async () => {
    await initialize();
    await initialize({ wasm: "/agb.wasm" });
    assert.deepEqual(backend.initialized, [{}, { wasm: "/agb.wasm" }]);
  });
});

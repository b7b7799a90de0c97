import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { AGB, type CallOptions, Session } from "../src/index.js";
import { ACCESS, FakeBackend, type FakeClient, ok } from "./fake-binding.js";

const backend = new FakeBackend().plug();
let agb: AGB;
let client: FakeClient;
let session: Session;

beforeEach(async () => {
  agb = new AGB("key");
  client = backend.client;
  backend.attached.length = 0;
  session = Session.attach(ACCESS);
});

/** Every call, by its name. */
const CALLS: ReadonlyArray<readonly [name: string, (options: CallOptions) => Promise<{ success: boolean; code?: string }>]> = [
  ["create", (options) => agb.create({ imageId: "i" }, options)],
  ["get", (options) => agb.get("s-1", options)],
  ["getSession", (options) => agb.getSession("s-1", options)],
  ["list", (options) => agb.list(null, { nextToken: "token-0", ...options })],
  ["delete by id", (options) => agb.delete("s-1", options)],
  ["delete", (options) => agb.delete(session, options)],
  ["getStatus", (options) => session.getStatus(options)],
  ["keepAlive", (options) => session.keepAlive(options)],
  ["setLabels", (options) => session.setLabels({ a: "b" }, options)],
  ["getLabels", (options) => session.getLabels(options)],
  ["info", (options) => session.info(options)],
  ["callMcpTool", (options) => session.callMcpTool("shell", {}, options)],
  ["listMcpTools", (options) => session.listMcpTools(options)],
  ["browserAccess", (options) => session.browserAccess(options)],
];

describe("the signal of a call", () => {
  for (const [name, begin] of CALLS) {
    it(`${name}: aborted before, nothing is sent`, async () => {
      const result = await begin({ signal: AbortSignal.abort() });
      assert.deepEqual([result.success, result.code], [false, "CANCELLED"]);
      assert.deepEqual([client.calls, ...backend.attached.map(({ session }) => session.calls)].flat(), []);
    });

    it(`${name}: aborted during it, it resolves at once`, async () => {
      const controller = new AbortController();
      const pending = begin({ signal: controller.signal });
      controller.abort();
      const result = await pending;
      assert.deepEqual([result.success, result.code], [false, "CANCELLED"]);
    });

    it(`${name}: not aborted, it changes nothing and nobody listens afterwards`, async () => {
      let listeners = 0;
      const signal = {
        aborted: false,
        addEventListener: () => void (listeners += 1),
        removeEventListener: () => void (listeners -= 1),
      };
      assert.equal((await begin({ signal })).success, true);
      assert.equal(listeners, 0);
      await assert.rejects(begin({ signal: {} as never }), /signal must be an AbortSignal/);
    });
  }

  it("stops the backend's call", async () => {
    const controller = new AbortController();
    let stops = 0;
    client.getSession = () => Object.assign(new Promise<never>(() => {}), { abort: () => void (stops += 1) });
    const pending = agb.get("s-1", { signal: controller.signal });
    controller.abort();
    assert.equal((await pending).code, "CANCELLED");
    assert.equal(stops, 1);
  });

  it("does not lose a session that was made all the same", async () => {
    const controller = new AbortController();
    let answer: () => void = () => {};
    client.createSession = () => new Promise((resolve) => (answer = () => resolve(ok(client.session))));
    const pending = agb.create({ imageId: "i" }, { signal: controller.signal });
    controller.abort();
    assert.equal((await pending).code, "CANCELLED");
    assert.deepEqual(client.session.calls, []);
    answer();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(client.session.calls, [["delete", null]]);
  });
});

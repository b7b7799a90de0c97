import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { AGB, type Session } from "../src/index.js";
import { FakeBackend, type FakeSession, failed } from "./fake-binding.js";

const backend = new FakeBackend().plug();
const DONE = { requestId: "r-1", success: true, errorMessage: "", httpStatus: 200 };
let session: Session;
let fake: FakeSession;

beforeEach(async () => {
  const created = await new AGB("key").create({ imageId: "agb-code-space-1" });
  assert(created.session);
  session = created.session;
  fake = backend.client.session;
});

describe("a session", () => {
  it("tells what it is", () => {
    const { sessionId, imageId, resourceUrl, appInstanceId, resourceId, extensions } = session;
    assert.deepEqual(
      { sessionId, imageId, resourceUrl, appInstanceId, resourceId, extensions },
      {
        sessionId: "s-1",
        imageId: "agb-code-space-1",
        resourceUrl: undefined,
        appInstanceId: "app-1",
        resourceId: undefined,
        extensions: ["flow", "cancel", "stdin", "resume"],
      },
    );
  });

  it("has the operations of one", async () => {
    assert.deepEqual(await session.delete(), DONE);
    assert.deepEqual(await session.getStatus(), { ...DONE, status: "RUNNING" });
    assert.deepEqual(await session.keepAlive(), DONE);
    assert.deepEqual(await session.setLabels({ team: "red" }), DONE);
    assert.deepEqual(await session.getLabels(), { ...DONE, data: { team: "blue" } });
    assert.deepEqual(await session.info(), { ...DONE, data: { sessionId: "s-1", resourceUrl: "https://watch.example", appId: "app" } });
    assert.deepEqual(fake.calls[3], ["setLabels", [["team", "red"]]]);
  });

  it("resolves failures", async () => {
    fake.failure = failed("UNREACHABLE", null, "The service cannot be reached");
    const failure = { requestId: "r-2", success: false, errorMessage: "The service cannot be reached", code: "UNREACHABLE" };
    assert.deepEqual(await session.getStatus(), failure);
    assert.deepEqual(await session.getLabels(), failure);
    assert.deepEqual(await session.callMcpTool("shell"), { ...failure, data: "", content: [] });
    assert.deepEqual(await session.listMcpTools(), { ...failure, tools: [] });
  });

  it("rejects wrong labels before anything is sent", async () => {
    await assert.rejects(session.setLabels(["team"] as never), TypeError);
    await assert.rejects(session.setLabels({ team: null } as never), /labels.team must be a string, not null/);
    assert.deepEqual(fake.calls, []);
  });
});

describe("tools", () => {
  it("are called with their arguments as JSON", async () => {
    const content = [{ type: "text", text: "pong" }];
    assert.deepEqual(await session.callMcpTool("shell", { command: "ping" }), { ...DONE, data: "pong", content });
    await session.callMcpTool("get_metrics");
    assert.deepEqual(fake.calls, [["callTool", ["shell", '{"command":"ping"}']], ["callTool", ["get_metrics", "{}"]]]);
  });

  it("that fail give a failed result with what they said", async () => {
    fake.tool = { isError: true, text: "no such file", contentJson: "[]" };
    const result = await session.callMcpTool("read_file", { path: "/x" });
    assert.deepEqual([result.success, result.code, result.errorMessage, result.data], [false, "TOOL_FAILED", "no such file", ""]);
    fake.tool = { isError: true, text: "", contentJson: "not JSON" };
    assert.match((await session.callMcpTool("read_file")).errorMessage, /read_file failed/);
  });

  it("need a name and an object", async () => {
    await assert.rejects(session.callMcpTool(""), TypeError);
    await assert.rejects(session.callMcpTool("shell", "ls" as never), TypeError);
    assert.deepEqual(fake.calls, []);
  });

  it("are listed with their schemas", async () => {
    const { tools } = await session.listMcpTools();
    assert.deepEqual(tools, [{ name: "shell", description: "Runs a command", inputSchema: { type: "object" }, server: "srv", tool: "shell" }]);
  });
});

import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { inspect } from "node:util";
import { BrowserError, MouseButton, ScreenError, type Session } from "../src/index.js";
import { FakeBackend, type FakeSession, failed, ok } from "./fake-binding.js";

const backend = new FakeBackend().plug();
const DONE = { requestId: "r-1", success: true, errorMessage: "", httpStatus: 200 };
let session: Session;
let fake: FakeSession;

beforeEach(async () => {
  ({ session, fake } = await backend.newSession());
});

describe("a session", () => {
  it("tells what it is", () => {
    const { sessionId, imageId, resourceUrl, appInstanceId, resourceId, extensions } = session;
    assert.deepEqual(
      { sessionId, imageId, resourceUrl, appInstanceId, resourceId, extensions },
      {
        sessionId: "s-1",
        imageId: "agb-code-space-1",
        resourceUrl: "",
        appInstanceId: "app-1",
        resourceId: "",
        extensions: ["flow", "cancel", "stdin", "resume"],
      },
    );
  });

  it("has the operations of one", async () => {
    assert.deepEqual(await session.delete(), DONE);
    assert.deepEqual(await session.getStatus(), { ...DONE, status: "RUNNING", code: "", httpStatusCode: 200 });
    assert.deepEqual(await session.keepAlive(), DONE);
    assert.deepEqual(await session.setLabels({ team: "red" }), DONE);
    assert.deepEqual(await session.getLabels(), { ...DONE, data: { team: "blue" } });
    assert.deepEqual(await session.info(), { ...DONE, data: { sessionId: "s-1", resourceUrl: "https://watch.example", appId: "app" } });
    assert.deepEqual(fake.calls[3], ["session.setLabels", { labels: [["team", "red"]] }]);
  });

  it("resolves failures", async () => {
    fake.failure = failed("UNREACHABLE", null, "The service cannot be reached");
    const failure = { requestId: "r-2", success: false, errorMessage: "The service cannot be reached", code: "UNREACHABLE" };
    assert.deepEqual(await session.getStatus(), { ...failure, status: "", httpStatusCode: 0 });
    assert.deepEqual(await session.getLabels(), failure);
    assert.deepEqual(await session.callMcpTool("shell"), { ...failure, data: "", content: [] });
    assert.deepEqual(await session.listMcpTools(), { ...failure, tools: [] });
  });

  it("resolves wrong labels before anything is sent", async () => {
    for (const labels of [["team"], null, "team", {}, { team: null }, { team: " " }, { " ": "red" }, { team: 1 }]) {
      const { success, code } = await session.setLabels(labels as never);
      assert.deepEqual([success, code], [false, "BAD_ARGUMENTS"], JSON.stringify(labels));
    }
    assert.match((await session.setLabels({ team: null } as never)).errorMessage, /labels.team must be a string, not null/);
    assert.deepEqual(fake.calls, []);
  });

  it("tells where it is reached, and prints no token", async () => {
    assert.deepEqual([session.getSessionId(), session.linkUrl, session.wsUrl, session.token], ["s-1", "https://link.example", "wss://ws.example", "t-1"]);
    assert.deepEqual([session.mcpTools, session.toolList], [[], ""]);
    const tool = { name: "shell", description: "", inputSchema: "not JSON", server: "srv", tool: "shell" };
    fake.description = { ...fake.description, tools: [tool] };
    assert.deepEqual(session.mcpTools, [{ ...tool, inputSchema: {} }]);
    assert.deepEqual(JSON.parse(session.toolList), [tool]);
    assert.deepEqual(JSON.parse(JSON.stringify(session)), {
      sessionId: "s-1",
      resourceUrl: "",
      imageId: "agb-code-space-1",
      appInstanceId: "app-1",
      resourceId: "",
    });
    assert(!inspect(session, { depth: 9, showHidden: true }).includes("t-1"));
  });

  it("has links and metrics", async () => {
    fake.procedures["session.link"] = ok("https://s.example/");
    assert.deepEqual(await session.getLink("https", 30100), { ...DONE, data: "https://s.example/" });
    assert.deepEqual(fake.calls, [["session.link", { protocolType: "https", port: 30100 }]]);
    const metrics = { cpuCount: 2, timestamp: "t" };
    fake.procedures["session.metrics"] = ok({ metrics, raw: { cpu_count: 2 } });
    assert.deepEqual(await session.getMetrics(5000), { ...DONE, metrics, raw: { cpu_count: 2 } });
    fake.failure = failed("TOOL_FAILED", 200, "Unknown tool");
    assert.deepEqual((await session.getMetrics()).raw, {});
    assert.equal((await session.getLink()).data, undefined);
  });

  it("has methods that work by themselves", async () => {
    const { getStatus, info, code } = session;
    assert.deepEqual([(await getStatus()).success, (await info()).success], [true, true]);
    const { run } = code;
    assert.equal((await run("1", "python")).success, true);
  });

  it("gives up a call after its time", async () => {
    fake.invoke = () => new Promise(() => {});
    assert.equal((await session.callMcpTool("shell", {}, 5)).code, "TIMED_OUT");
    assert.equal((await session.getMetrics(5)).code, "TIMED_OUT");
  });

  it("says that it has no desktop and no browser", async () => {
    fake.procedures["session.toolIfOffered"] = failed("NOT_SUPPORTED", null, "i has no tool click_mouse");
    const clicked = await session.computer.mouse.click(1, 2, MouseButton.RIGHT);
    assert.deepEqual([clicked.success, clicked.code, clicked.data], [false, "NOT_SUPPORTED", false]);
    assert.deepEqual(fake.calls, [["session.toolIfOffered", { name: "click_mouse", args: { x: 1, y: 2, button: "right" } }]]);
    assert.deepEqual((await session.computer.app.start("gedit")).data, []);
    assert.deepEqual((await session.computer.screen.getSize()).width, 0);
    await assert.rejects(session.computer.screen.betaTakeScreenshot(), ScreenError);
    fake.procedures["session.toolIfOffered"] = ok('{"width":800,"height":600}');
    const { width, height, data } = await session.computer.screen.getSize();
    assert.deepEqual([width, height, data], [800, 600, { width: 800, height: 600 }]);
    assert.equal(await session.browser.initialize(), false);
    await assert.rejects(session.browser.getEndpointUrl(), BrowserError);
    await assert.rejects(session.browser.agent.act({}), /agb-code-space-1 has no browser/);
  });
});

describe("tools", () => {
  it("are called with their arguments as JSON", async () => {
    const content = [{ type: "text", text: "pong" }];
    assert.deepEqual(await session.callMcpTool("shell", { command: "ping" }), { ...DONE, data: "pong", content });
    await session.callMcpTool("get_metrics");
    assert.deepEqual(fake.calls, [
      ["session.callTool", { name: "shell", argsJson: '{"command":"ping"}' }],
      ["session.callTool", { name: "get_metrics", argsJson: "{}" }],
    ]);
  });

  it("that fail give a failed result with what they said", async () => {
    fake.tool = { isError: true, text: "no such file", contentJson: "[]" };
    const result = await session.callMcpTool("read_file", { path: "/x" });
    assert.deepEqual([result.success, result.code, result.errorMessage, result.data], [false, "TOOL_FAILED", "no such file", ""]);
    fake.tool = { isError: true, text: "", contentJson: "not JSON" };
    assert.match((await session.callMcpTool("read_file")).errorMessage, /read_file failed/);
  });

  it("need a name and an object, and say so in a result", async () => {
    const wrong: Array<[unknown[], RegExp]> = [
      [[""], /^name must be a non-empty string, not an empty string$/],
      [[7], /^name must be/],
      [["shell", "ls"], /^args must be an object, not a string$/],
      [["shell", null], /^args must be an object, not null$/],
      [["shell", {}, "5"], /^readTimeout must be a positive number of milliseconds, not a string$/],
    ];
    for (const [args, words] of wrong) {
      const { success, code, errorMessage, data, content } = await session.callMcpTool(...(args as [string]));
      assert.deepEqual([success, code, data, content], [false, "BAD_ARGUMENTS", "", []]);
      assert.match(errorMessage, words);
    }
    assert.match((await session.getMetrics(-1)).errorMessage, /^readTimeout must be/);
    assert.deepEqual(fake.calls, []);
  });

  it("resolve what cannot be written as JSON, and times that are none, before anything is sent", async () => {
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    let deep: object = {};
    for (let level = 0; level < 100_000; level += 1) {
      deep = { deep };
    }
    const results = [
      await session.callMcpTool("shell", circle),
      await session.callMcpTool("shell", { count: 1n }),
      await session.callMcpTool("shell", deep),
      await session.callMcpTool("shell", {}, NaN),
      await session.getMetrics(-1),
    ];
    assert.deepEqual(results.map(({ success, code }) => [success, code]), results.map(() => [false, "BAD_ARGUMENTS"]));
    assert.deepEqual(fake.calls, []);
  });

  it("are those of an image where one is named", async () => {
    await session.listMcpTools("other-image");
    assert.deepEqual(backend.client.calls.at(-1), ["image.tools", { imageId: "other-image" }]);
  });

  it("are listed with their schemas", async () => {
    const { tools } = await session.listMcpTools();
    assert.deepEqual(tools, [{ name: "shell", description: "Runs a command", inputSchema: { type: "object" }, server: "srv", tool: "shell" }]);
  });
});

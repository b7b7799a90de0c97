import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { FAKE_SOCKET } from "./fake-socket.js";
import { open, serve, Stage, WEB } from "./stage.js";

let stage: Stage;
before(async () => {
  stage = await Stage.build();
});
after(() => stage.close());

describe("where the SDK runs", () => {
  it("is a module worker as well as a page", async () => {
    const worker = 'import { Session } from "/sdk/index.js"; onmessage = async ({ data }) => { const r = await Session.attach(data).code.run("print(6 * 7)", "python"); postMessage([r.success, r.logs.stdout.join("")]); };';
    const site = await serve({ "/sdk/": WEB }, { "/": "<title>x</title>" });
    const page = await open(stage.browser.context, `${site.origin}/`);
    const answer = await page.evaluate(
      ({ access, worker, origin }) =>
        new Promise((resolve, reject) => {
          const source = worker.replace("/sdk/", `${origin}/sdk/`);
          const thread = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })), { type: "module" });
          thread.onmessage = ({ data }) => resolve(data);
          thread.onerror = (event) => reject(new Error(event.message));
          thread.postMessage(access);
        }),
      { access: (await stage.access()) as object, worker, origin: site.origin },
    );
    assert.deepEqual(answer, [true, "42\n"]);
    await site.close();
  });

  it("needs one directive of a Content-Security-Policy, and says so without it", async () => {
    const policy = (script: string): Record<string, string> => ({
      "content-security-policy": `default-src 'none'; script-src 'self' ${script}; connect-src 'self' ws://127.0.0.1:* http://127.0.0.1:*`,
    });
    const load = { "/load.js": 'globalThis.agb = await import("/sdk/index.js");' };
    for (const [script, works] of [["'wasm-unsafe-eval'", true], ["", false]] as const) {
      const site = await serve({ "/sdk/": WEB, "/load": "data:" }, { "/": '<script type="module" src="/sdk/index.js"></script>', ...load }, policy(script));
      const page = await open(stage.browser.context, `${site.origin}/`);
      const message = await page.evaluate(
        async ({ access, origin }) => {
          const sdk = (await import(`${origin}/sdk/index.js`)) as typeof import("agbcloud-sdk");
          const result = await sdk.Session.attach(access as never).code.run("1", "python");
          return result.errorMessage;
        },
        { access: await stage.access(), origin: site.origin } as never,
      );
      assert[works ? "equal" : "notEqual"](message, "");
      if (!works) {
        assert.match(message, /'wasm-unsafe-eval'/);
      }
      await site.close();
    }
  });

  it("takes its WebAssembly from where it is told to, and says what is wrong with that", async () => {
    const page = await stage.page();
    const access = await stage.access();
    const outcome = await page.evaluate(async (access) => {
      const missing = await agb.initialize({ wasm: "/nowhere.wasm" }).then(
        () => "",
        (error: Error) => `${error.name}: ${error.message}`,
      );
      // A failure is not for ever, and bytes will do.
      await agb.initialize({ wasm: await (await fetch("/sdk/agb_bg.wasm")).arrayBuffer() });
      const result = await agb.Session.attach(access).code.run("1", "python");
      return { missing, success: result.success };
    }, access as never);
    assert.match(outcome.missing, /^NativeAddonError: .*404.*agb_bg\.wasm/);
    assert.equal(outcome.success, true);
  });

  it("takes its WebAssembly as a URL, an answer, bytes or a module", async () => {
    const access = await stage.access();
    const sources = ["'/sdk/agb_bg.wasm'", "new URL('/sdk/agb_bg.wasm', location)", "fetch('/sdk/agb_bg.wasm')", "fetch('/sdk/agb_bg.wasm').then((r) => WebAssembly.compileStreaming(r))"];
    for (const source of sources) {
      const page = await stage.page();
      await page.evaluate(`agb.initialize({ wasm: ${source} })`);
      const loads = await page.evaluate(() => performance.getEntriesByType("resource").filter(({ name }) => name.endsWith(".wasm")).length);
      const success = await page.evaluate(async (access) => (await agb.Session.attach(access).code.run("1", "python")).success, access as never);
      assert.deepEqual([success, loads], [true, 1], source);
      await page.close();
    }
  });

  it("is a server that renders pages: importing it does nothing", () => {
    const source = `import * as sdk from ${JSON.stringify(`${WEB}index.js`)}; console.log(typeof sdk.AGB, typeof sdk.Session.attach);`;
    const output = execFileSync(process.execPath, ["--input-type=module", "-e", source], { encoding: "utf8" });
    assert.equal(output.trim(), "function function");
  });
});

describe("frames", () => {
  it("that are chunks are read alike by the page and by the core", async () => {
    // What the page's reader does not take goes to the core. So each way of writing a chunk must come out the same.
    const page = await stage.page();
    await page.addScriptTag({ content: FAKE_SOCKET });
    const outcome = await page.evaluate(async () => {
      const real = globalThis.WebSocket;
      globalThis.WebSocket = FakeSocket as never;
      const seen: string[] = [];
      const access = { sessionId: "s", wsUrl: "ws://h", token: "t", expiresAt: "x", scope: "run" as const };
      const run = agb.Session.attach(access).code.run("x", "python", 30, { onStdout: (text) => seen.push(text), onStderr: (text) => seen.push(`!${text}`) });
      const socket = await FakeSocket.opened();
      globalThis.WebSocket = real;
      const id = (JSON.parse(socket.sent[0]!) as { invocationId: string }).invocationId;
      const say = (frame: unknown): void => socket.say(typeof frame === "string" ? frame : JSON.stringify(frame));
      const chunk = (text: unknown, more: object = {}): object => ({ phase: "event", eventType: "stdout", chunk: text, ...more });
      say({ invocationId: id, data: chunk("a") });
      say({ requestId: id, data: chunk("b", { eventType: "stderr" }) });
      say({ invocationId: id, data: JSON.stringify(chunk("c\n")) });
      say({ invocationId: "", requestId: id, data: chunk("grün 🦀", { error: "", extra: [1] }) });
      say({ invocationId: id, data: chunk("e", { error: null }) });
      say(JSON.stringify({ invocationId: id, data: chunk("X") }).replace("X", "\\ud83e\\udd80\\/"));
      for (const frame of ["", "{", "[]", "null", '{"type":"pong"}', { invocationId: "other", data: chunk("no") }, { invocationId: 7, data: chunk("no") }]) say(frame);
      say({ invocationId: id, data: { phase: "event", eventType: "new" } });
      say({ invocationId: id, data: { phase: "end", status: "finished", executionTime: 0.25, executionCount: 3 } });
      const result = await run;
      return { seen, success: result.success, time: result.executionTime, count: result.executionCount, logs: result.logs };
    });
    assert.deepEqual(outcome, {
      seen: ["a", "!b", "c\n", "grün 🦀", "e", "🦀/"],
      success: true,
      time: 0.25,
      count: 3,
      logs: { stdout: ["a", "c\n", "grün 🦀", "e", "🦀/"], stderr: ["b"] },
    });
  });
});

describe("a service that holds nothing back", () => {
  it("ends a run with an honest Overflow when the page has 64 MiB to read still", async () => {
    const page = await stage.page();
    await page.addScriptTag({ content: FAKE_SOCKET });
    const outcome = await page.evaluate(async () => {
      const real = globalThis.WebSocket;
      globalThis.WebSocket = FakeSocket as never;
      let go = (): void => {};
      const slow = new Promise<void>((resolve) => (go = resolve));
      let bytes = 0;
      const onStdout = (text: string): Promise<void> => {
        bytes += text.length;
        return slow;
      };
      const access = { sessionId: "s", wsUrl: "ws://h", token: "t", expiresAt: "x", scope: "run" as const };
      const { code } = agb.Session.attach(access);
      const flood = code.run("flood", "python", 60, { onStdout, logLimit: 0 });
      const socket = await FakeSocket.opened();
      const beside = code.run("beside", "python", 60, { onStdout: () => {} });
      await FakeSocket.opened(2);
      globalThis.WebSocket = real;
      const [id, other] = socket.sent.map((frame) => (JSON.parse(frame) as { invocationId: string }).invocationId);
      const chunk = "x".repeat(1 << 20);
      const said = 80;
      for (let i = 0; i < said; i++) {
        socket.say(JSON.stringify({ invocationId: id, data: { phase: "event", eventType: "stdout", chunk } }));
        await new Promise((done) => setTimeout(done));
      }
      socket.say(JSON.stringify({ invocationId: other, data: { phase: "end", status: "finished" } }));
      const lived = (await beside).success;
      go();
      const { success, error, errorMessage } = await flood;
      return { lived, success, name: error?.name, errorMessage, mebibytes: bytes / (1 << 20), said };
    });
    const { mebibytes, said, errorMessage, ...rest } = outcome;
    assert.deepEqual(rest, { lived: true, success: false, name: "Overflow" });
    assert.match(errorMessage, /67108864 bytes.*unread/);
    assert(mebibytes >= 64 && mebibytes < said, `${mebibytes} of ${said} MiB were handed over`);
  });
});

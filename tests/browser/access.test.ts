import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { AGB, throwIfFailed } from "agbcloud-sdk";
import { type Access, serve, open, Stage, WEB } from "./stage.js";

let stage: Stage;
before(async () => {
  stage = await Stage.build();
});
after(() => stage.close());

/** What a run with this access comes to. */
async function run(access: Access): Promise<{ error: string; took: number }> {
  const page = await stage.page();
  return page.evaluate(async (access) => {
    const began = performance.now();
    const result = await agb.Session.attach(access).code.run("print(1)", "python", 30, { onStdout: () => {} });
    return { error: result.errorMessage, took: performance.now() - began };
  }, access as never);
}

describe("an access that is not good", () => {
  it("is refused in words, at once", async () => {
    const [mine, other] = [await stage.access(), await stage.access()];
    const cases: Array<[Access, RegExp]> = [
      [{ ...mine, token: "0".repeat(64) }, /code 4401.*fetch it anew/],
      [{ ...mine, token: other.token }, /code 4403.*for another session/],
      [await stage.access({ scope: "read" }), /watching only/],
      [{ ...mine, wsUrl: mine.wsUrl.replace(/session-.*/, "session-0") }, /code 4404.*not found/],
    ];
    for (const [access, words] of cases) {
      const { error, took } = await run(access);
      assert.match(error, words);
      assert(!error.includes(access.token) && took < 5_000, `${error} after ${took} ms`);
    }
  });

  it("is refused once it has expired, also under a page that is connected", async () => {
    const short = await stage.access({ lastsS: 2 });
    const page = await stage.page();
    const first = await page.evaluate(async (access) => {
      const session = agb.Session.attach(access);
      return (await session.code.run("import time\ntime.sleep(20)", "python", 30)).errorMessage;
    }, short as never);
    assert.match(first, /code 4401.*expired/);
    assert.match((await run(short)).error, /code 4401.*expired/);
  });

  it("lasts 15 minutes unless its server says otherwise, and is renewed under the page that uses it", async () => {
    const { endpoint, apiKey } = stage.server;
    const { session } = throwIfFailed(await new AGB({ apiKey, config: { endpoint } }).create({ imageId: "agb-code-space-1" }));
    const left = ({ expiresAt }: { readonly expiresAt: string }): number => (Date.parse(expiresAt) - Date.now()) / 1_000;
    const usual = throwIfFailed(await session!.browserAccess()).access!;
    assert(Math.abs(left(usual) - 900) < 30, `${left(usual)} s`);
    const short = throwIfFailed(await session!.browserAccess({ lastsS: 3 })).access!;
    const page = await stage.page();
    const running = page.evaluate(async (access) => {
      const { code } = agb.Session.attach(access);
      const onStdout = (): void => document.body.append("begun");
      return (await code.run("import time\nprint('begun')\ntime.sleep(6)\nprint('still there')", "python", 30, { onStdout })).logs.stdout.at(-1);
    }, short as never);
    await page.waitForFunction(() => document.body.textContent?.includes("begun"));
    const renewed = throwIfFailed(await session!.browserAccess({ renew: short })).access!;
    assert.equal(renewed.token, short.token);
    assert(Math.abs(left(renewed) - 900) < 30, `${left(renewed)} s`);
    assert.equal(await running, "still there\n");
    assert.equal((await run(short as never)).error, ""); // the page that kept the old words too
  });

  it("travels beside the URL, never in it", async () => {
    const access = await stage.access();
    const urls: string[] = [];
    const page = await stage.page();
    page.on("websocket", (socket) => urls.push(socket.url()));
    page.on("request", (request) => urls.push(request.url(), request.headers()["referer"] ?? ""));
    const [streamed, tool] = await page.evaluate(async (access) => {
      const session = agb.Session.attach(access);
      const streamed = await session.code.run("print(1)", "python", 30, { onStdout: () => {} });
      return [streamed.success, (await session.callMcpTool("shell", { command: "true" })).success];
    }, access as never);
    assert.deepEqual([streamed, tool], [true, true]);
    assert(urls.includes(access.wsUrl) && urls.some((url) => url.startsWith(String(access["linkUrl"]))), urls.join("\n"));
    assert(!urls.some((url) => url.includes(access.token)), urls.join("\n"));
  });

  it("is refused to pages of other origins", async () => {
    const site = await serve({ "/sdk/": WEB }, { "/": '<script type="module">globalThis.agb = await import("/sdk/index.js")</script>' });
    const access = await stage.access();
    // The same machine under a name that is not its own, as a page of the internet.
    const page = await open(stage.browser.context, `${site.origin}/`);
    await page.goto(`${site.origin.replace("localhost", "127.0.0.1")}/`);
    await page.waitForFunction(() => "agb" in globalThis);
    const allowed = await page.evaluate((access) => agb.Session.attach(access).code.run("1", "python").then((r) => r.errorMessage), access as never);
    assert.equal(allowed, "");
    await page.evaluate(() => {
      const frame = document.createElement("iframe");
      frame.sandbox.value = "allow-scripts"; // an opaque origin
      frame.srcdoc = '<script>onmessage = ({ data }) => { const s = new WebSocket(data.wsUrl, ["agb.v1", "agb.token." + data.token]); s.onclose = (e) => parent.postMessage([e.code, e.reason], "*"); }</script>';
      document.body.append(frame);
      return new Promise((resolve) => (frame.onload = resolve));
    });
    const closed = await page.evaluate(
      (access) =>
        new Promise((resolve) => {
          onmessage = ({ data }) => resolve(data);
          document.querySelector("iframe")?.contentWindow?.postMessage(access, "*");
        }),
      access as never,
    );
    assert.equal((closed as [number, string])[0], 4403);
    assert.match((closed as [number, string])[1], /--allow-origin null/);
    await site.close();
  });
});

describe("what is no access", () => {
  it("is refused before anything is sent", async () => {
    const page = await stage.page();
    const codes = await page.evaluate(() =>
      [undefined, {}, { sessionId: "s", wsUrl: "ws://h", token: "t" }].map((access) => {
        try {
          agb.Session.attach(access as never);
          return "taken";
        } catch (error) {
          return error instanceof agb.AGBError ? error.code : (error as Error).name;
        }
      }),
    );
    assert.deepEqual(codes, ["TypeError", "BAD_ACCESS", "BAD_ACCESS"]);
  });
});

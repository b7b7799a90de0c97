/** A page through a gateway to a service with part 1 of the wire alone, as AGB's own: what such a service has not, the gateway has. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Page } from "playwright-core";
import { type LocalServer, startServer } from "../node/local-server.js";
import { type Access, Stage } from "./stage.js";

let service: LocalServer;
let stage: Stage;
before(async () => {
  service = await startServer("--plain-wire");
  stage = await Stage.before(service);
});
after(async () => {
  await stage.close();
  await service.stop();
});

const LINES = 60;
const PROGRAM = `import time\nfor i in range(${LINES}):\n    print(i, flush=True)\n    time.sleep(0.05)`;
const EXPECTED = Array.from({ length: LINES }, (_, i) => `${i}\n`).join("");

/** Starts the program in a page, or continues with it where the page was loaded anew, and keeps what has come. */
async function follow(page: Page, access: Access): Promise<void> {
  await page.evaluate(
    ([access, program]) => {
      const { code } = agb.Session.attach(access as never);
      const kept = (name: string): string => sessionStorage.getItem(name) ?? "";
      const run = kept("run") === "" ? code.stream(program, "python") : code.attach(kept("run"), { afterSeq: Number(kept("seq")) });
      const all = (async () => {
        for await (const event of run) {
          if (event.type === "stdout") {
            sessionStorage.setItem("text", kept("text") + event.text);
          }
          sessionStorage.setItem("run", run.id); // known once the SDK's WebAssembly is there
          sessionStorage.setItem("seq", String(event.seq));
        }
        return run.result;
      })();
      Object.assign(globalThis, { all });
    },
    [access, PROGRAM] as const,
  );
}

describe("a page through a gateway", () => {
  it("loses no line of its run when it is loaded anew in the middle, again and again", async () => {
    const page = await stage.page();
    const access = await stage.access();
    await follow(page, access);
    for (const line of [5, 15, 25]) {
      await page.waitForFunction((line) => (sessionStorage.getItem("text") ?? "").includes(`\n${line}\n`), line);
      await page.reload();
      await page.waitForFunction(() => "agb" in globalThis);
      await follow(page, access);
    }
    const result = await page.evaluate(async () => {
      const { success, errorMessage } = await (globalThis as unknown as { all: Promise<{ success: boolean; errorMessage: string }> }).all;
      return { success, errorMessage, text: sessionStorage.getItem("text") };
    });
    assert.deepEqual(result, { success: true, errorMessage: "", text: EXPECTED });
    assert.deepEqual(page.complaints, []);
  });

  it("sees neither the API key, nor what opens the service itself", async () => {
    const page = await stage.page();
    const said: string[] = [];
    page.on("request", (request) => said.push(`${request.url()} ${JSON.stringify(request.headers())} ${request.postData() ?? ""}`));
    page.on("websocket", (socket) => {
      said.push(socket.url());
      socket.on("framesent", ({ payload }) => said.push(String(payload)));
      socket.on("framereceived", ({ payload }) => said.push(String(payload)));
    });
    const access = await stage.access();
    const there = await stage.post(`${service.endpoint}/mcp/getSession`, { authorization: `Bearer ${service.apiKey}` }, { sessionId: access.sessionId });
    const result = await page.evaluate(async (access) => (await agb.Session.attach(access as never).code.run("6 * 7", "python")).results[0]?.text, access);
    assert.equal(result, "42");
    const all = [...said, JSON.stringify(access), await page.content()].join("\n");
    assert(said.some((line) => line.includes("6 * 7")), "the frames were seen");
    for (const secret of [service.apiKey, String(there["token"]), new URL(service.endpoint).host]) {
      assert(secret.length > 8 && !all.includes(secret), "a secret of the service in a page");
    }
  });

  it("hears what broke behind the gateway as that, and goes on", async () => {
    const page = await stage.page();
    const access = await stage.access();
    const killed = await page.evaluate(async (access) => {
      const session = agb.Session.attach(access as never);
      const died = await session.code.run("import os\nprint('last words', flush=True)\nos._exit(3)", "python");
      const next = await session.code.run("print('next')", "python");
      return { died: [died.success, died.logs.stdout.join("")], next: next.logs.stdout.join("") };
    }, access);
    assert.deepEqual(killed, { died: [false, "last words\n"], next: "next\n" });
  });
});

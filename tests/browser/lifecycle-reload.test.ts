/** Pages that are loaded anew, modules that are loaded anew while the page stays, components that are mounted twice, and a service worker between. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { startServer } from "../node/local-server.js";
import { Proxy } from "../node/proxy.js";
import { keptPage, type Seen, SocketCounter } from "./kept-page.js";
import { type Access, open, Stage } from "./stage.js";

const RELOADS = 50;

/** A module of an application that is being worked on: it begins something, and can be torn down. */
const HOT = `
  const { searchParams } = new URL(import.meta.url);
  // The SDK is loaded anew as well, or stays.
  const { Session } = await import("/sdk/index.js" + (searchParams.has("sdk") ? "?v=" + searchParams.get("v") : ""));
  export const session = Session.attach(globalThis.access); // of the module: nobody collects it
  const abort = new AbortController();
  export const run = (code) => session.code.stream(code, "python", { signal: abort.signal, timeoutS: 60 });
  export const attach = (id, afterSeq) => session.code.attach(id, { afterSeq });
  export const dispose = () => abort.abort();
`;

/** Passes everything on, and counts it. */
const SERVICE_WORKER = `
  const seen = [];
  addEventListener("install", (event) => event.waitUntil(skipWaiting()));
  addEventListener("activate", (event) => event.waitUntil(clients.claim()));
  addEventListener("fetch", (event) => {
    seen.push(event.request.method + " " + new URL(event.request.url).pathname);
    event.respondWith(fetch(event.request));
  });
  addEventListener("message", ({ ports }) => ports[0].postMessage(seen));
`;

interface Hot {
  run(code: string): import("agbcloud-sdk").CodeRun;
  attach(id: string, afterSeq: number): import("agbcloud-sdk").CodeRun;
  dispose(): void;
}

interface Kept {
  readonly seen: Seen;
  begin(access: Access, code: string): void;
}

let stage: Stage;
let counter: SocketCounter;
before(async () => {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("./strict-mode-page.mjs", import.meta.url))],
    bundle: true,
    write: false,
    format: "esm",
    define: { "process.env.NODE_ENV": '"development"' }, // StrictMode mounts twice while one develops
  });
  const pages = {
    "/kept": keptPage("/sdk/index.js"),
    "/elsewhere": "<!doctype html><title>elsewhere</title>",
    "/hot.js": HOT,
    "/sw.js": SERVICE_WORKER,
    "/strict-mode.js": outputFiles[0]!.text,
  };
  stage = await Stage.with(await startServer(), pages);
});
after(() => stage.close());

/** A new session as a page is let into it, at this address. */
async function accessAt(endpoint: string): Promise<Access> {
  const authorization = `Bearer ${stage.server.apiKey}`;
  return stage.grant(await stage.post(`${endpoint}/mcp/createSession?imageId=agb-code-space-1`, { authorization }, {}), {});
}

describe("a page that the browser does not keep", () => {
  it("is left and loaded anew, and finds its run again, once", async () => {
    const page = await open(stage.browser.context, `${stage.site.origin}/kept`); // Playwright turns the back/forward cache off
    await page.waitForFunction(() => "ready" in globalThis);
    const code = "import time\nopen('starts', 'a').write('x')\nfor i in range(50):\n    print(i, flush=True)\n    time.sleep(0.06)";
    const access = await stage.access();
    await page.evaluate(({ access, code }) => (globalThis as unknown as Kept).begin(access, code), { access, code });
    await page.waitForFunction(() => (globalThis as unknown as Kept).seen.lines.length > 5);
    await page.goto(`${stage.site.origin}/elsewhere`);
    await page.goBack();
    await page.waitForFunction(() => "ready" in globalThis && (globalThis as unknown as Kept).seen.ends.length > 0);
    const seen = await page.evaluate(() => (globalThis as unknown as Kept).seen);
    assert.deepEqual([seen.shows, seen.loads, seen.ends], [[false, false], 2, ["finished"]]);
    assert.equal(seen.lines.join(""), Array.from({ length: 50 }, (_, i) => `${i}\n`).join(""));
    const starts = await page.evaluate(async (access) => {
      const { Session } = (await import("/sdk/index.js" as string)) as typeof import("agbcloud-sdk");
      return (await Session.attach(access as never).code.run("open('starts').read()", "python", 30)).results[0]?.text;
    }, access);
    assert.equal(starts, "'x'", "it is begun once");
    await page.close();
  });
});

describe("modules that are torn down and loaded 50 times", () => {
  for (const copies of [false, true]) {
    const what = copies ? "with the SDK" : "on one SDK";

    it(`run programs ${what} on two sockets at most`, async () => {
      counter = await SocketCounter.start(stage.server.endpoint);
      try {
        const page = await stage.page();
        const printed = await page.evaluate(
          async ({ access, count, copies }) => {
            Object.assign(globalThis, { access, modules: [] });
            const printed: string[] = [];
            for (let v = 0; v < count; v++) {
              const hot = (await import(`/hot.js?v=${v}${copies ? "&sdk" : ""}`)) as Hot;
              (globalThis as unknown as { modules: unknown[] }).modules.push(hot);
              const run = hot.run(`print(${v}, flush=True)\nimport time\ntime.sleep(${v % 3 === 0 ? 60 : 0})`);
              if (v % 3 === 2) {
                hot.dispose(); // before anything has come
                continue;
              }
              for await (const event of run) {
                if (event.type === "stdout") {
                  printed.push(event.text);
                  if (v % 3 === 0) hot.dispose();
                }
              }
            }
            return printed.join("");
          },
          { access: await accessAt(counter.endpoint), count: RELOADS, copies },
        );
        const expected = Array.from({ length: RELOADS }, (_, v) => (v % 3 === 2 ? "" : `${v}\n`)).join("");
        assert.equal(printed, expected);
        assert(counter.most <= 2, `${counter.most} sockets at once`);
        assert(counter.all >= RELOADS / 2, `${counter.all} sockets: each module has one of its own`);
        await page.close();
      } finally {
        counter.close();
      }
    });

    it(`find one run again ${what}: each line once, one program, two sockets at most`, async () => {
      counter = await SocketCounter.start(stage.server.endpoint);
      try {
        const page = await stage.page();
        const seen = await page.evaluate(
          async ({ access, count, copies, code }) => {
            Object.assign(globalThis, { access, modules: [] });
            const printed: string[] = [];
            let [id, seq] = ["", 0];
            for (let v = 0; v < count; v++) {
              const hot = (await import(`/hot.js?v=${v}${copies ? "&sdk" : ""}`)) as Hot;
              (globalThis as unknown as { modules: unknown[] }).modules.push(hot);
              const run = v === 0 ? hot.run(code) : hot.attach(id, seq);
              // It is read by hand: to leave a loop is to stop the program.
              const events = run[Symbol.asyncIterator]();
              for (let taken = 0; v === count - 1 || taken < 4; taken++) {
                const { value, done } = await events.next();
                if (done) break;
                seq = value.seq;
                if (value.type === "stdout") printed.push(value.text);
              }
              id = run.id;
            }
            const text = (await (await import("/hot.js?v=last" as string)).session.code.run("open('starts').read()", "python", 30)).results[0].text;
            return { printed: printed.join(""), starts: text as string };
          },
          {
            access: await accessAt(counter.endpoint),
            count: RELOADS,
            copies,
            code: "import time\nopen('starts', 'a').write('x')\nfor i in range(400):\n    print(i, flush=True)\n    time.sleep(0.01)",
          },
        );
        assert.equal(seen.printed, Array.from({ length: 400 }, (_, i) => `${i}\n`).join(""));
        assert.equal(seen.starts, "'x'");
        assert(counter.most <= 2, `${counter.most} sockets at once`);
        await page.close();
      } finally {
        counter.close();
      }
    });
  }
});

describe("React's StrictMode, which mounts every component twice", () => {
  for (const sdk of ["/sdk/index.js", "/sdk/worker.js"]) {
    it(`runs one program, at first and on an open connection (${sdk})`, async () => {
      const page = await stage.page();
      const access = await stage.access();
      const seen = await page.evaluate(
        async ({ access, sdk }) => {
          const { Session } = (await import(sdk)) as typeof import("agbcloud-sdk");
          const { mount } = (await import("/strict-mode.js" as string)) as { mount(begin: Begin): Promise<Mounted> };
          type Begin = (signal: AbortSignal, show: (text: string) => void) => Promise<{ status: string }>;
          type Mounted = { mounts: number; text: string; statuses: string[] };
          const session = Session.attach(access as never);
          const mark = (name: string): string => `open("starts", "a").write("${name} ")\nprint("${name}")`;
          const stream = (name: string): Begin => async (signal, show) => {
            const run = session.code.stream(mark(name), "python", { signal });
            for await (const event of run) if (event.type === "stdout") show(event.text);
            return run.result;
          };
          const callbacks = (name: string): Begin => (signal, show) =>
            session.code.run(mark(name), "python", 30, { signal, onStdout: show });
          const shell = (name: string): Begin => async (signal, show) => {
            const run = (session as import("agbcloud-sdk").Session).command.stream(`echo -n '${name} ' >> starts; echo ${name}`, { signal });
            for await (const event of run) if (event.type === "stdout") show(event.text);
            return run.result;
          };
          const mounted = [];
          for (const begin of [stream("first"), stream("second"), callbacks("third"), shell("fourth")]) {
            mounted.push(await mount(begin));
          }
          const starts = await session.code.run("open('starts').read()", "python", 30);
          return { mounted, starts: starts.results[0]?.text ?? starts.errorMessage };
        },
        { access, sdk },
      );
      for (const [at, name] of ["first", "second", "third", "fourth"].entries()) {
        const { mounts, text, statuses } = seen.mounted[at]!;
        assert.deepEqual([mounts, text], [2, `${name}\n`], name);
        assert.deepEqual([statuses[0], statuses.length], ["cancelled", 2], name);
      }
      assert.equal(seen.starts, "'first second third fourth '", "each program was begun once");
      assert.deepEqual(page.complaints, []);
      await page.close();
    });
  }
});

describe("a service worker that passes everything through", () => {
  for (const streams of [false, true]) {
    it(`leaves ${streams ? "event streams" : "WebSockets"} and calls as they are`, async () => {
      const proxy = await Proxy.start(stage.server.endpoint);
      try {
        await proxy.harm(streams ? "refuse=100" : "");
        const page = await stage.page();
        await page.evaluate(async () => {
          await navigator.serviceWorker.register("/sw.js");
          if (navigator.serviceWorker.controller === null) {
            await new Promise((resolve) => navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true }));
          }
        });
        const seen = await page.evaluate(
          async (access) => {
            const session = agb.Session.attach(access as never);
            const times: number[] = [];
            const texts: string[] = [];
            const code = "import time\nfor i in range(6):\n    print(i, flush=True)\n    time.sleep(0.3)\nprint('x' * 300_000)";
            const onStdout = (text: string): void => void [times.push(performance.now()), texts.push(text)];
            const { success, interruptions, errorMessage } = await session.code.run(code, "python", 60, { onStdout });
            const stopped = new AbortController();
            const running = session.code.run("while True: print('y', flush=True)", "python", 60, { signal: stopped.signal, onStdout: () => stopped.abort() });
            const { status } = await running;
            await session.file.write("/tmp/kept", "z".repeat(100_000));
            const { content } = await session.file.read("/tmp/kept");
            const { port1, port2 } = new MessageChannel();
            const calls = await new Promise<string[]>((resolve) => {
              port1.onmessage = ({ data }) => resolve(data as string[]);
              navigator.serviceWorker.controller!.postMessage(null, [port2]);
            });
            return { success, interruptions, errorMessage, text: texts.join(""), times, status, length: content.length, calls };
          },
          await accessAt(proxy.endpoint),
        );
        assert(seen.success, seen.errorMessage);
        assert.deepEqual([seen.text, seen.interruptions, seen.status, seen.length], [`0\n1\n2\n3\n4\n5\n${"x".repeat(300_000)}\n`, 0, "cancelled", 100_000]);
        const gaps = seen.times.slice(1, 6).map((time, i) => time - seen.times[i]!);
        assert(gaps.filter((gap) => gap > 100).length >= 3, `lines came together: ${gaps.join(", ")} ms`);
        assert(seen.calls.some((call) => call.startsWith("POST /link/")), `the service worker was there: ${seen.calls.join(", ")}`);
        assert.equal(seen.calls.some((call) => call.includes("/events")), streams, seen.calls.join(", "));
        await page.close();
      } finally {
        await proxy.stop();
      }
    });
  }
});

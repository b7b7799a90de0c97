import assert from "node:assert/strict";
import { createServer, request as ask, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { type Access, Stage } from "./stage.js";

/** A proxy as companies have them: it answers what asks for a WebSocket with 403, and passes the rest on as it comes. */
class Proxy {
  refused = 0;
  readonly calls: string[] = [];
  /** Event streams, in order. Cutting one cuts its connection. */
  readonly streams: Socket[] = [];
  /** What else is answered with 403. */
  refuses: (path: string) => boolean = () => false;
  readonly #server: Server;

  constructor(upstream: string) {
    const { hostname, port } = new URL(upstream);
    this.#server = createServer((request, response) => {
      const path = request.url ?? "/";
      this.calls.push(`${request.method} ${path}`);
      if (this.refuses(path) && request.method !== "OPTIONS") {
        response.writeHead(403, { "access-control-allow-origin": "*" }).end();
        return;
      }
      if (path.includes("/events")) {
        this.streams.push(request.socket);
      }
      const onward = ask({ hostname, port, path, method: request.method, headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      onward.on("error", () => response.destroy());
      response.on("close", () => onward.destroy());
      request.pipe(onward);
    });
    this.#server.on("upgrade", (_request, socket) => {
      this.refused += 1;
      socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    });
  }

  async open(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

let stage: Stage;
let proxy: Proxy;
let address: string;
before(async () => {
  stage = await Stage.build();
});
after(() => stage.close());

/** The way into a new session, past a proxy. */
async function behind(options: Record<string, unknown> = {}): Promise<Access> {
  const access = await stage.access(options);
  const past = (url: unknown): string => String(url).replace(/\/\/[^/]+/, `//${address}`);
  return { ...access, wsUrl: past(access.wsUrl), linkUrl: past(access["linkUrl"]) };
}

describe("a page whose network lets no WebSocket through", () => {
  before(async () => {
    proxy = new Proxy(stage.server.endpoint);
    address = await proxy.open();
  });
  after(() => proxy.close());

  it("has its output live and whole over event streams, and its input and its cancel arrive", async () => {
    const page = await stage.page();
    const code = "import time\nfor i in range(3):\n    print(i, flush=True)\n    time.sleep(1)\nprint(input('name? '))\ntime.sleep(60)";
    const seen = await page.evaluate(async ({ access, code }) => {
      const run = agb.Session.attach(access as never).code.stream(code, "python");
      const chunks: Array<{ at: number; text: string }> = [];
      let prompt = "";
      for await (const event of run) {
        if (event.type === "inputRequest") {
          prompt = event.prompt;
          run.write("é\n");
        } else if (event.type === "stdout") {
          chunks.push({ at: performance.now(), text: event.text });
          if (event.text.startsWith("é")) {
            void run.cancel();
          }
        }
      }
      const { status, errorMessage } = await run.result;
      return { chunks, prompt, status, errorMessage };
    }, { access: await behind(), code });
    assert.equal(seen.status, "cancelled", seen.errorMessage);
    assert.match(seen.chunks.map(({ text }) => text).join(""), /^0\n1\n2\n(name\? )?é\n/);
    const numbers = seen.chunks.filter(({ text }) => /^[0-2]\n$/.test(text));
    assert(numbers[2]!.at - numbers[0]!.at > 1_500, JSON.stringify(numbers));
    assert(proxy.refused >= 1 && proxy.streams.length >= 1);
    assert(proxy.calls.every((call) => !call.includes("token")), "a token in a URL");
  });

  it("loses nothing when a stream is cut in the middle, and nothing runs twice", async () => {
    const page = await stage.page();
    const first = proxy.streams.length;
    const code = "import time\nfor i in range(300):\n    print(i, 'x' * 1000, flush=True)\n    time.sleep(0.01)";
    const running = page.evaluate(async ({ access, code }) => {
      const onError: unknown[] = [];
      const onStdout = (): void => document.body.append(".");
      const result = await agb.Session.attach(access as never).code.run(code, "python", 60, {
        onStdout,
        onError: (error) => onError.push(error.code),
      });
      return { text: result.logs.stdout.join(""), success: result.success, interruptions: result.interruptions, onError, said: result.errorMessage };
    }, { access: await behind(), code });
    for (const dots of [20, 100, 180]) {
      await page.waitForFunction((dots) => (document.body.textContent?.length ?? 0) > dots, dots);
      proxy.streams.at(-1)!.destroy();
    }
    const { text, success, interruptions, onError, said } = await running;
    assert(success, said);
    assert.equal(text, Array.from({ length: 300 }, (_, i) => `${i} ${"x".repeat(1000)}\n`).join(""));
    assert(interruptions >= 2 && proxy.streams.length - first >= 3, `${interruptions} interruptions`);
    assert(onError.includes("CONNECTION_BROKEN"), String(onError));
  });

  it("holds the program back while its callback is slow", async () => {
    const page = await stage.page();
    const code = "import time\nbegan = time.time()\nprint('x' * 12_000_000)\nprint('took', time.time() - began)";
    const { took, size } = await page.evaluate(async ({ access, code }) => {
      let slept = false;
      const onStdout = (): unknown => {
        const first = !slept;
        slept = true;
        return first ? new Promise((done) => setTimeout(done, 3_000)) : undefined;
      };
      const result = await agb.Session.attach(access as never).code.run(code, "python", 60, { onStdout });
      const text = result.logs.stdout.join("");
      return { took: Number(text.split("took ")[1]), size: text.length, truncated: result.truncated };
    }, { access: await behind(), code });
    assert(size > 12_000_000 && took > 2, `the program took ${took} s for ${size}`);
  });
});

describe("a page that neither a WebSocket nor an event stream gets through for", () => {
  before(async () => {
    proxy = new Proxy(stage.server.endpoint);
    proxy.refuses = (path) => path.includes("/runs/");
    address = await proxy.open();
  });
  after(() => proxy.close());

  const code = "print('from afar')\n6 * 7";

  it("has its output by a plain call, which loads the larger build, and is told", async () => {
    const page = await stage.page();
    const seen = await page.evaluate(async ({ access, code }) => {
      const heard: string[] = [];
      const result = await agb.Session.attach(access as never).code.run(code, "python", 60, {
        onStdout: (chunk) => heard.push(chunk),
        onResult: ({ text }) => heard.push(String(text)),
        onError: (error) => heard.push(String(error.code)),
      });
      const files = performance.getEntriesByType("resource").map(({ name }) => name);
      return { heard, success: result.success, said: result.errorMessage, logs: result.logs.stdout.join(""), larger: files.some((name) => name.includes("account")) };
    }, { access: await behind(), code });
    assert.deepEqual(seen, { heard: ["NO_STREAMING", "from afar\n", "42"], success: true, said: "", logs: "from afar\n", larger: true });
    assert.equal(proxy.calls.filter((call) => call.startsWith("POST") && !call.includes("/runs/")).length, 1, proxy.calls.join("\n"));
  });

  it("ends a run that takes input, which no call can carry, without running it", async () => {
    const page = await stage.page();
    const calls = proxy.calls.length;
    const seen = await page.evaluate(async ({ access, code }) => {
      const run = agb.Session.attach(access as never).code.stream(code, "python");
      const { status, errorMessage } = await run.result;
      return { status, errorMessage };
    }, { access: await behind(), code });
    assert.equal(seen.status, "failed");
    assert.match(seen.errorMessage, /HTTP status 403; the code was not run/);
    assert(proxy.calls.slice(calls).every((call) => call.includes("/runs/")), proxy.calls.join("\n"));
  });
});

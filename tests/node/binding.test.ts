/**
 * The addon by itself, as `binding.ts` describes it, against a service of a few lines: what arrives is what was sent, and
 * JavaScript is woken as agreed. What it does to a process is in `addon-process.test.ts`.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { Batch, Binding, NativeClient, NativeRun, NativeSession, RunResult } from "../../npm/sdk/src/binding.ts";
import { binding } from "./addon.ts";
import { FakeService, type Served } from "./fake-service.ts";

const KEY = "key-SECRET-123";
let service: FakeService;
let client: NativeClient;

before(async () => {
  service = await FakeService.start();
  client = new binding.Client(options(service.endpoint));
});

after(() => service.stop());

function options(endpoint: string | null, apiKey: string | null = KEY): ConstructorParameters<Binding["Client"]>[0] {
  return { apiKey, endpoint, timeoutMs: null, envFile: null, env: [], localServer: null, streaming: null, proxy: null, ca: null };
}

async function session(): Promise<NativeSession> {
  const answer = await client.createSession({
    imageId: "agb-code-space-1",
    labels: [["who", "测试"]],
    idleReleaseTimeout: 60,
    mcpPolicyId: null,
    contextId: null,
    persistence: null,
    options: null,
    sdkVersion: "0.0.0",
  });
  assert.ok(answer.success && answer.data, answer.errorMessage);
  return answer.data;
}

type Piece = ["out" | "err", string] | ["event", unknown];

/** The pieces of a batch, decoded as the contract says. */
function decode(batch: Batch): Piece[] {
  let offset = 0;
  let event = 0;
  const pieces: Piece[] = [];
  for (const mark of batch.marks) {
    const kind = mark & 3;
    if (kind === 2) {
      pieces.push(["event", batch.events?.[event++]]);
    } else {
      const end = offset + (mark >>> 2);
      pieces.push([kind === 0 ? "out" : "err", batch.text.substring(offset, end)]);
      offset = end;
    }
  }
  assert.equal(offset, batch.text.length, "the marks cover the text");
  assert.equal(event, batch.events?.length ?? 0, "the marks cover the events");
  return pieces;
}

interface Collected {
  readonly run: NativeRun;
  readonly pieces: Piece[];
  readonly result: RunResult;
  wakes: number;
}

/** Takes all there is whenever it is woken, and checks when it is woken. */
function collect(on: NativeSession, code: string, logLimit: number | null = null): Promise<Collected> {
  return new Promise((resolve, reject) => {
    const pieces: Piece[] = [];
    let wakes = 0;
    let drained = true;
    const run = on.stream({ code, language: "python", timeoutS: 30, logLimit, resultLimit: null, stamps: false, stdin: false }, () => {
      try {
        wakes += 1;
        assert.ok(drained, "woken again before take() returned null");
        drained = false;
        let first = true;
        for (;;) {
          const batch = run.take();
          assert.ok(!first || batch !== null, "woken for nothing");
          first = false;
          if (batch === null) {
            drained = true;
            return;
          }
          pieces.push(...decode(batch));
          if (batch.ended) {
            const result = run.result();
            assert.ok(result !== null, "an ended run has a result");
            resolve({ run, pieces, result, wakes });
            return;
          }
          assert.equal(run.result(), null, "a run that goes on has no result");
        }
      } catch (error) {
        reject(error as Error);
      }
    });
  });
}

function logsOf(result: RunResult): Piece[] {
  const { text, marks } = result.logs();
  return decode({ text, marks, stamps: null, events: null, ended: false });
}

describe("the client", () => {
  test("has the version and classes of the contract", () => {
    assert.match(binding.version, /^\d+\.\d+\.\d+/);
    assert.equal(typeof binding.Client, "function");
    assert.equal(client.endpoint, service.endpoint);
    assert.equal(client.timeoutMs, 60_000);
  });

  for (const [code, given] of [
    ["NO_API_KEY", options("http://127.0.0.1:1", null)],
    ["BAD_ENDPOINT", options("ftp://example.org")],
    ["BAD_TIMEOUT", { ...options("http://127.0.0.1:1"), timeoutMs: Number.NaN }],
    ["BAD_ENV_FILE", { ...options("http://127.0.0.1:1"), envFile: "/nonexistent/.env" }],
    ["NO_LOCAL_SERVER", { ...options("local"), localServer: "/nonexistent/agb-server" }],
  ] as const) {
    test(`throws an error with the code ${code}`, () => {
      assert.throws(() => new binding.Client(given), (error: Error & { code?: string }) => {
        assert.ok(error instanceof Error);
        assert.equal(error.code, code);
        assert.ok(!error.message.includes("SECRET"));
        assert.equal(/npm install agbcloud-local/.test(error.message), code === "NO_LOCAL_SERVER", error.message);
        return true;
      });
    });
  }

  test("takes settings from the environment when code says nothing", () => {
    const made = new binding.Client({
      ...options(null, null),
      env: [
        ["AGB_API_KEY", "k"],
        ["AGB_ENDPOINT", "http://127.0.0.1:7"],
        ["AGB_TIMEOUT_MS", "1234"],
      ],
    });
    assert.equal(made.endpoint, "http://127.0.0.1:7");
    assert.equal(made.timeoutMs, 1234);
  });

  test("answers failures, and does not reject", async () => {
    const missing = await client.getSession("missing");
    assert.deepEqual(
      { ...missing, errorMessage: undefined },
      { requestId: "r-1", success: false, code: "InvalidMcpSession.NotFound", errorMessage: undefined, httpStatus: 400, data: null },
    );
    assert.match(missing.errorMessage, /not found/);
    const unreachable = await new binding.Client(options("http://127.0.0.1:1")).invoke("image.tools", '{"imageId":"x"}');
    assert.equal(unreachable.code, "UNREACHABLE");
    assert.equal(unreachable.httpStatus, null);
    assert.ok(!JSON.stringify([missing, unreachable]).includes("SECRET"));
  });

  test("makes sessions with every property of the contract", async () => {
    const made = await session();
    assert.equal(made.sessionId, "s-1");
    assert.equal(made.imageId, "agb-code-space-1");
    assert.equal(made.resourceUrl, null);
    assert.deepEqual(made.extensions, []);
    const created = service.requests.find((request) => request.path.startsWith("/mcp/createSession"));
    assert.equal(created?.authorization, `Bearer ${KEY}`);
    assert.deepEqual(JSON.parse(String(created.body["labels"])), { who: "测试" });
    assert.equal((await made.delete()).success, true);
  });

  test("runs without streaming", async () => {
    const made = await session();
    const result = await made.run({ code: "1", language: "py", timeoutS: 5, logLimit: null, resultLimit: null, stamps: false, stdin: false });
    assert.equal(result.success, true, result.errorMessage);
    assert.deepEqual(logsOf(result), [["out", "grün\n"], ["err", "x"]]);
    assert.equal(result.results[0]?.text, "1");
    assert.equal(result.results[0]?.html, null);
    const refused = await made.run({ code: "1", language: "cobol", timeoutS: 5, logLimit: null, resultLimit: null, stamps: false, stdin: false });
    assert.equal(refused.success, false);
    assert.match(refused.errorMessage, /cobol/);
  });
});

describe("a stream", () => {
  test("gives back the very chunks, whatever their letters", async () => {
    const sent: Piece[] = [
      ["out", "plain\n"],
      ["err", "grün ünd früh"],
      ["out", "你好，世界"],
      ["out", "👩‍💻🏳️‍🌈"],
      ["out", ""],
      ["err", "\u0000\"\\\u2028"],
      ["out", "x".repeat(70_000)],
      ["out", "的".repeat(30_000)],
    ];
    service.onRun = async (run) => {
      for (const [stream, chunk] of sent as Array<["out" | "err", string]>) {
        run.chunk(stream, chunk);
      }
      run.event({ eventType: "result", result: { mime: { "text/plain": "42" }, isMainResult: true } });
      run.event({ eventType: "error", error: { code: "ValueError", message: "no", traceId: "t" } });
      run.chunk("err", "last");
      run.end({ status: "failed", executionCount: 7, executionTime: 0.5 });
    };
    const { pieces, result, run } = await collect(await session(), "1");
    assert.equal(run.id.length, 32);
    assert.deepEqual(pieces.slice(0, sent.length), sent);
    const [value, error, last] = pieces.slice(sent.length) as [Piece, Piece, Piece];
    assert.deepEqual(value[1], {
      type: "result",
      result: {
        text: "42", html: null, markdown: null, png: null, jpeg: null, svg: null, latex: null, json: null, chart: null,
        isMainResult: true,
      },
    });
    assert.deepEqual(error[1], { type: "error", error: { name: "ValueError", value: "no", traceback: "traceId=t", code: null } });
    assert.deepEqual(last, ["err", "last"]);
    assert.equal(result.success, false);
    assert.equal(result.requestId, run.id);
    assert.equal(result.executionCount, 7);
    assert.equal(result.executionTime, 0.5);
    assert.equal(result.errorMessage, "ValueError: no");
    assert.deepEqual(result.error, { name: "ValueError", value: "no", traceback: "traceId=t", code: null });
    assert.equal(result.truncated, false);
    assert.deepEqual(logsOf(result), [...sent, last].filter(([, chunk]) => chunk !== ""));
  });

  test("is bounded in its deliveries", async () => {
    const chunk = "0123456789abcdef".repeat(64);
    service.onRun = async (run) => {
      for (let index = 0; index < 2_000; index += 1) {
        run.chunk("out", chunk);
      }
      run.end();
    };
    const made = await session();
    let largest = 0;
    let total = 0;
    await new Promise<void>((resolve) => {
      const run = made.stream({ code: "1", language: "python", timeoutS: 30, logLimit: null, resultLimit: null, stamps: false, stdin: false }, () => {
        for (let batch = run.take(); batch !== null; batch = run.take()) {
          largest = Math.max(largest, batch.text.length);
          total += batch.text.length;
          if (batch.ended) {
            resolve();
            return;
          }
        }
      });
    });
    assert.equal(total, 2_000 * chunk.length);
    assert.ok(largest <= 33 * 1024, `${largest}`);
  });

  test("arrives while it goes on", async () => {
    let go: () => void = () => {};
    service.onRun = async (run) => {
      run.chunk("out", "first");
      await new Promise<void>((resolve) => (go = resolve));
      run.chunk("out", "second");
      run.end();
    };
    const made = await session();
    const seen: string[] = [];
    await new Promise<void>((resolve) => {
      const run = made.stream({ code: "1", language: "python", timeoutS: 30, logLimit: null, resultLimit: null, stamps: false, stdin: false }, () => {
        for (let batch = run.take(); batch !== null; batch = run.take()) {
          seen.push(batch.text);
          go();
          if (batch.ended) {
            resolve();
            return;
          }
        }
      });
    });
    assert.deepEqual(seen.filter((text) => text !== ""), ["first", "second"]);
  });

  test("keeps its log up to the limit, in Rust", async () => {
    service.onRun = async (run) => {
      run.chunk("out", "abc");
      run.chunk("out", "你好");
      run.chunk("err", "1234");
      run.end();
    };
    const made = await session();
    const cut = await collect(made, "1", 6);
    assert.equal(cut.result.truncated, true);
    assert.deepEqual(logsOf(cut.result), [["out", "abc"], ["out", "你"], ["err", "1234"]]);
    assert.equal(cut.pieces.length, 3, "the stream itself is whole");
    const none = await collect(made, "1", 0);
    assert.equal(none.result.truncated, true);
    assert.deepEqual(logsOf(none.result), []);
  });

  test("holds the service back while nothing is taken, and loses nothing", { timeout: 60_000 }, async () => {
    const chunk = "x".repeat(64 * 1024);
    const chunks = 1_000;
    let sent = 0;
    service.onRun = async (run) => {
      for (; sent < chunks; sent += 1) {
        await run.pushed(run.chunk("out", chunk));
      }
      run.end();
    };
    const made = await session();
    let woken = 0;
    const run = made.stream({ code: "1", language: "python", timeoutS: 60, logLimit: 0, resultLimit: null, stamps: false, stdin: false }, () => (woken += 1));
    let before = -1;
    while (before !== sent) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    assert.ok(sent > 0 && sent < chunks / 2, `${sent} chunks of 64 KiB went out`);
    assert.equal(woken, 1);
    let total = 0;
    for (let ended = false; !ended; ) {
      const batch = run.take();
      if (batch === null) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      } else {
        total += batch.text.length;
        ended = batch.ended;
      }
    }
    assert.equal(total, chunks * chunk.length);
  });

  test("ends with Cancelled when it is cancelled", async () => {
    service.onRun = async (run) => run.chunk("out", "going");
    const made = await session();
    const ended = new Promise<RunResult>((resolve) => {
      const run = made.stream({ code: "1", language: "python", timeoutS: 30, logLimit: null, resultLimit: null, stamps: false, stdin: false }, () => {
        for (let batch = run.take(); batch !== null; batch = run.take()) {
          if (batch.ended) {
            resolve(run.result()!);
            return;
          }
          run.cancel();
          run.cancel();
        }
      });
    });
    const result = await ended;
    assert.equal(result.success, false);
    assert.equal(result.error?.name, "Cancelled");
    assert.deepEqual(logsOf(result), [["out", "going"]]);
  });

  test("that cannot begin ends at once and says why", async () => {
    const made = await session();
    const result = await new Promise<RunResult>((resolve) => {
      const run = made.stream({ code: "1", language: "cobol", timeoutS: 30, logLimit: null, resultLimit: null, stamps: false, stdin: false }, () => {
        assert.equal(run.take()?.ended, true);
        resolve(run.result()!);
      });
    });
    assert.equal(result.success, false);
    assert.match(result.errorMessage, /cobol.*python/);
    assert.equal(result.error?.name, "UnknownLanguage");
  });

  test("that cannot be streamed is made by one plain call, and says so first", async () => {
    service.refusesSockets = true;
    const made = await session().finally(() => (service.refusesSockets = false));
    const { pieces, result } = await collect(made, "called_once()");
    const [kind, word] = pieces.shift()!;
    assert.equal(kind, "event");
    const { message, ...rest } = word as { message: string };
    assert.deepEqual(rest, { type: "trouble", code: "NO_STREAMING" });
    assert.match(message, /HTTP status 400.*plain call/);
    assert.deepEqual(pieces.slice(0, 2), [["out", "grün\n"], ["err", "x"]]);
    assert.equal((pieces[2]?.[1] as { type: string }).type, "result");
    assert.equal(pieces.length, 3);
    assert.deepEqual([result.success, result.requestId, result.errorMessage], [true, "r-1", ""]);
    assert.deepEqual(logsOf(result), [["out", "grün\n"], ["err", "x"]]);
    const calls = service.requests.filter(({ body }) => JSON.stringify(body).includes("called_once()"));
    assert.deepEqual(calls.map(({ path }) => path.split("?")[0]), ["/mcp"]);
  });

  test("shares one socket with the others of its session", async () => {
    service.onRun = async (run) => {
      run.chunk("out", run.code);
      run.end();
    };
    const made = await session();
    const before = service.sockets;
    const runs = await Promise.all(Array.from({ length: 50 }, (_, index) => collect(made, `${index}`)));
    runs.forEach(({ pieces }, index) => assert.deepEqual(pieces, [["out", `${index}`]]));
    assert.equal(service.sockets, before + 1);
  });
});

describe("log lines", () => {
  test("come to the sink, from the level on, without secrets", async () => {
    const lines: string[] = [];
    binding.setLogger("debug", (level, target, message) => lines.push(`${level} ${target} ${message}`));
    service.onRun = async (run: Served) => run.end();
    await collect(await session(), "1");
    await new Promise((resolve) => setTimeout(resolve, 20));
    binding.setLogger("off", () => lines.push("late"));
    const count = lines.length;
    await collect(await session(), "1");
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.ok(lines.some((line) => line.startsWith("debug agb::connection")), lines.join("\n"));
    assert.ok(!lines.join("\n").includes("SECRET"), lines.join("\n"));
    assert.equal(lines.length, count);
    assert.throws(() => binding.setLogger("loud" as "off", () => {}), /level/);
  });
});

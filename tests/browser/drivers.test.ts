/**
 * The two drivers of the core, the addon and the WebAssembly, through one script of happenings: what they make of each
 * must be the same. The page's bundle runs in Node here, over a WebSocket of the same shape as a browser's.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { WebSocket } from "ws";

import type * as Sdk from "agbcloud-sdk";
import type { RunEvent } from "agbcloud-sdk";

import { type Peer, type Script, ScriptedService } from "./scripted-service.ts";
import { WEB } from "./stage.ts";

/** What a run came to, without the words: those name what each driver knows of its own network. */
interface Outcome {
  readonly status: string;
  readonly success: boolean;
  readonly name: string | undefined;
  readonly code: string | undefined;
  readonly stdout: string;
  readonly results: ReadonlyArray<string | undefined>;
  readonly interruptions: number;
  readonly stateLost: boolean;
  readonly events: readonly string[];
  /** What `onError` was told, by code or else by name. */
  readonly told: readonly string[];
  readonly starts: number;
}

interface Scenario extends Script {
  readonly name: string;
  readonly timeoutS?: number;
  /** Cancels once the program has printed. */
  readonly cancels?: boolean;
  readonly expected: Partial<Outcome>;
}

const NONE: readonly string[] = [];
const RESUME = ["resume", "flow", "cancel", "heartbeat"];
const STREAMS = [...RESUME, "http"];

const chunk = (text: string, seq?: number): object => ({ phase: "event", eventType: "stdout", chunk: text, seq });
const end = (data: object = { status: "finished", executionTime: 0.25 }): object => ({ phase: "end", ...data });
const raised = (name: string, seq?: number): object => ({ phase: "event", eventType: "error", seq, error: { code: name, message: "no" } });
/** What happens when the program is started; anything else that is said goes unanswered. */
const onStart = (act: (peer: Peer, nth: number) => void): NonNullable<Script["onSocket"]> => (peer, method, nth) => {
  if (method === "stream") {
    act(peer, nth);
  }
};
const html: NonNullable<Script["onEvents"]> = (response) => response.writeHead(200, { "content-type": "text/html" }).end("<p>log in");

const SCENARIOS: readonly Scenario[] = [
  {
    name: "output, a result and the end",
    extensions: NONE,
    onSocket: onStart((peer) => {
      peer.say(chunk("grün\n"));
      peer.say({ phase: "event", eventType: "result", result: { "text/plain": "42", isMainResult: true } });
      peer.say(end());
    }),
    expected: { status: "finished", success: true, stdout: "grün\n", told: [] },
  },
  {
    name: "the program raises",
    extensions: RESUME,
    onSocket: onStart((peer) => {
      peer.say(raised("ValueError", 1));
      peer.say(end({ status: "failed", executionError: "ValueError: no", seq: 2 }));
    }),
    expected: { status: "failed", name: "ValueError", told: ["ValueError"] },
  },
  {
    name: "the service fails the run",
    extensions: RESUME,
    onSocket: onStart((peer) => peer.say({ phase: "event", eventType: "error", error: "boom" })),
    expected: { success: false },
  },
  {
    name: "frames that are no protocol, and an event out of order",
    extensions: RESUME,
    onSocket: onStart((peer) => {
      peer.sayRaw("{{{");
      peer.sayRaw("null");
      peer.say(chunk("a", 1));
      peer.say(chunk("c", 3));
    }),
    expected: { success: false, stdout: "a" },
  },
  {
    name: "an end whose shape is wrong",
    extensions: NONE,
    onSocket: onStart((peer) => peer.say({ phase: "end", status: 7, executionTime: "long" })),
    expected: { stdout: "", starts: 1 },
  },
  ...[1000, 1009, 1011, 4001].flatMap((code): Scenario[] => [
    {
      name: `closed with ${code} in mid-run`,
      extensions: NONE,
      onSocket: onStart((peer) => {
        peer.say(chunk("a"));
        peer.close(code);
      }),
      expected: { status: "interrupted", success: false, stdout: "a", starts: 1 },
    },
    {
      name: `closed with ${code} before anything came`,
      extensions: NONE,
      onSocket: onStart((peer) => peer.close(code)),
      expected: { success: false, starts: 1 },
    },
    {
      name: `closed with ${code}, found again`,
      extensions: RESUME,
      onSocket(peer, method, nth) {
        if (nth === 1) {
          peer.say(chunk("a", 1));
          peer.close(code);
        } else if (method === "resume") {
          peer.say(chunk("b", 2));
          peer.say(end({ status: "finished", seq: 3 }));
        }
      },
      expected: { starts: 1 },
    },
  ]),
  {
    name: "cut before the first event, found again",
    extensions: RESUME,
    onSocket: onStart((peer, nth) => {
      if (nth === 1) {
        peer.cut();
      } else {
        peer.say(chunk("a", 1));
        peer.say(end({ status: "finished", seq: 2 }));
      }
    }),
    expected: { status: "finished", stdout: "a", starts: 1 },
  },
  {
    name: "cut before the first event of a service that does not resume",
    extensions: NONE,
    onSocket: onStart((peer) => peer.cut()),
    expected: { success: false, starts: 1 },
  },
  {
    name: "cut after the first event, found again",
    extensions: RESUME,
    onSocket(peer, method, nth) {
      if (nth === 1 && method === "stream") {
        peer.say(chunk("a", 1));
        peer.cut();
      } else if (method === "resume") {
        peer.say(chunk("b", 2));
        peer.say(end({ status: "finished", seq: 3 }));
      }
    },
    expected: { status: "finished", stdout: "ab", interruptions: 1, starts: 1 },
  },
  {
    name: "a message that no WebSocket carries comes by an event stream",
    extensions: STREAMS,
    onSocket: (peer) => peer.close(1009),
    onEvents(response, frame) {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(frame(chunk("large", 1)));
      response.end(frame(end({ status: "finished", seq: 2 })));
    },
    expected: { status: "finished", stdout: "large", starts: 1 },
  },
  {
    name: "WebSockets are refused, event streams are not",
    extensions: STREAMS,
    refuses: 403,
    onEvents(response, frame) {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(frame(chunk("a", 1)));
      response.end(frame(end({ status: "finished", seq: 2 })));
    },
    expected: { status: "finished", stdout: "a", starts: 1 },
  },
  {
    name: "a login page in the place of the event stream",
    extensions: STREAMS,
    refuses: 403,
    onEvents: html,
    timeoutS: 2,
    expected: { success: false, starts: 1 },
  },
  {
    name: "an event stream that ends in mid-run and is refused then",
    extensions: STREAMS,
    refuses: 403,
    onEvents(response, frame) {
      if (response.req.url?.includes("afterSeq=0") === true) {
        response.writeHead(200, { "content-type": "text/event-stream" }).end(frame(chunk("a", 1)));
      } else {
        response.writeHead(404).end();
      }
    },
    timeoutS: 5,
    expected: { success: false, stdout: "a", starts: 1 },
  },
  {
    name: "a refused handshake, and no other way",
    extensions: NONE,
    refuses: 503,
    timeoutS: 2,
    expected: { success: false, starts: 0 },
  },
  {
    name: "a refused handshake, and a plain call",
    extensions: NONE,
    refuses: 503,
    onCall: (response) => {
      const answer = { result: [{ "text/plain": "1", isMainResult: true }], stdout: ["plain\n"], stderr: [] };
      const data = { content: [{ type: "text", text: JSON.stringify(answer) }], isError: false };
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ requestId: "r-1", code: "ok", success: true, httpStatusCode: 200, data }));
    },
    expected: { status: "finished", stdout: "plain\n", starts: 1 },
  },
  {
    name: "a plain call whose answer is lost",
    extensions: NONE,
    refuses: 503,
    onCall: (response) => response.destroy(),
    expected: { status: "interrupted", success: false, interruptions: 1, told: ["NO_STREAMING", "INTERRUPTED"], starts: 1 },
  },
  {
    name: "cancelled: the interrupt comes back, then the end",
    extensions: RESUME,
    cancels: true,
    onSocket(peer, method) {
      if (method === "stream") {
        peer.say(chunk("a", 1));
      } else if (method === "cancel") {
        peer.say(raised("KeyboardInterrupt", 2));
        peer.say(end({ status: "failed", reason: "cancelled", seq: 3 }));
      }
    },
    expected: { status: "cancelled", name: "Cancelled", code: "CANCELLED", told: ["CANCELLED"] },
  },
  {
    name: "cancelled, and nobody confirms",
    extensions: RESUME,
    cancels: true,
    onSocket: onStart((peer) => peer.say(chunk("a", 1))),
    expected: { status: "cancelled", code: "CANCELLED", told: ["CANCELLED"] },
  },
  {
    name: "cancelled, where the service cannot",
    extensions: NONE,
    cancels: true,
    onSocket: onStart((peer) => peer.say(chunk("a"))),
    expected: { status: "cancelled", code: "CANCELLED", told: ["CANCELLED"] },
  },
  {
    name: "the service ends it at its time limit",
    extensions: RESUME,
    onSocket: onStart((peer) => {
      peer.say(chunk("a", 1));
      peer.say(end({ status: "failed", reason: "timeout", executionError: "TimeoutError: 1 s", seq: 2 }));
    }),
    expected: { status: "timeout", code: "TIMED_OUT" },
  },
  {
    name: "the service ends nothing at its time limit",
    extensions: RESUME,
    timeoutS: 1,
    onSocket: onStart((peer) => peer.say(chunk("a", 1))),
    expected: { status: "timeout", code: "TIMED_OUT" },
  },
];

/** Runs one scenario with one of the two packages. */
async function play({ Session }: typeof Sdk, scenario: Scenario): Promise<Outcome> {
  const service = await ScriptedService.start(scenario);
  try {
    const told: string[] = [];
    const events: string[] = [];
    const onError = (error: Error): void => void told.push((error as { code?: string }).code ?? error.name);
    const run = Session.attach(service.access).code.stream("code", "python", { timeoutS: scenario.timeoutS ?? 30, onError });
    for await (const event of run) {
      events.push(shown(event));
      if (scenario.cancels === true && event.type === "stdout") {
        void run.cancel();
      }
    }
    const { status, success, error, logs, results, interruptions, stateLost } = await run.result;
    return {
      status,
      success,
      name: error?.name,
      code: error?.code,
      stdout: logs.stdout.join(""),
      results: results.map(({ text }) => text),
      interruptions,
      stateLost,
      events,
      told,
      starts: service.starts.size,
    };
  } finally {
    await service.stop();
  }
}

function shown(event: RunEvent): string {
  switch (event.type) {
    case "stdout":
    case "stderr":
      return `${event.type} ${event.text}`;
    case "error":
      return `error ${event.error.name} ${String(event.error.code)}`;
    case "result":
      return `result ${String(event.result.text)}`;
    case "end":
      return `end ${event.result.status}`;
    default:
      return event.type;
  }
}

/** Ports with a listener keep Node going; a page has no such end. */
const channels: MessageChannel[] = [];
let node: typeof Sdk;
let page: typeof Sdk;

before(async () => {
  class ClosedAtTheEnd extends MessageChannel {
    constructor() {
      super();
      channels.push(this);
    }
  }
  /** As a browser's: what nobody listens to is no fault. */
  class BrowserSocket extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols);
      this.on("error", () => {});
    }
  }
  node = await import("agbcloud-sdk");
  Object.assign(globalThis, { WebSocket: BrowserSocket, MessageChannel: ClosedAtTheEnd });
  page = (await import(`${WEB}index.js`)) as typeof Sdk;
  await page.initialize({ wasm: readFileSync(`${WEB}agb_bg.wasm`) });
  await page.initialize({ wasm: readFileSync(`${WEB}agb_account_bg.wasm`), account: true });
});

after(() => channels.forEach(({ port1 }) => port1.close()));

describe("the addon and the WebAssembly make the same of", { concurrency: true }, () => {
  for (const scenario of SCENARIOS) {
    it(scenario.name, async () => {
      const [inNode, inPage] = await Promise.all([play(node, scenario), play(page, scenario)]);
      assert.deepEqual(inPage, inNode);
      const checked = Object.fromEntries(Object.keys(scenario.expected).map((key) => [key, inNode[key as keyof Outcome]]));
      assert.deepEqual(checked, scenario.expected);
    });
  }
});

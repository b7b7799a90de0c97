/**
 * What others notice of floods: each case is sent by somebody who holds an access to one session, or nothing at all, while
 * another session runs a small cell each 50 ms. Printed are the times of those cells, and the most memory that the server
 * has taken: 4 GiB would have ended it before.
 *
 * `node --import tsx bench/hostile.ts [--json] [--only WORD]...`, after `cargo build --release -p agb-server`;
 * `cargo xtask bench hostile` does all of it. See README.md.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

import { program, read, startServer } from "./processes.ts";
import { short, table } from "./statistics.ts";

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
  },
});

const MIB = 1 << 20;
/** The claim: with so much memory the server survives, and others are served within this time. */
const [MOST_MEMORY, MOST_TIME] = [4096, 100];
/** How long a flood goes on that has no end of its own. */
const LASTS = 8_000;

interface Session {
  readonly sessionId: string;
  readonly token: string;
  readonly linkUrl: string;
  readonly wsUrl: string;
}

const key = "a-key-of-this-bench";
const folder = mkdtempSync(join(tmpdir(), "agb-hostile-"));
const server = await startServer(
  program("agb-server"),
  ["serve", "--listen", "127.0.0.1:0", "--data-dir", folder, "--calls-per-second", "100000", "--calls-burst", "100000"],
  { pinned: false, env: { AGB_API_KEY: key, RUST_LOG: "error" } },
);
const { hostname, port } = new URL(server.endpoint);

async function call(path: string, body: object): Promise<Record<string, unknown>> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const answer = await fetch(`${server.endpoint}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  const { data, message } = (await answer.json()) as { data: Record<string, unknown>; message: string };
  if (!answer.ok) {
    throw new Error(`${path}: ${message}`);
  }
  return data;
}

async function create(): Promise<Session> {
  return (await call("/mcp/createSession?imageId=agb-code-space-1", {})) as unknown as Session;
}

/** A tool's answer; what it is does not matter to whoever floods. */
async function tool(session: Session, name: string, args: object, token = session.token): Promise<string> {
  return send(session, JSON.stringify({ args, server: "any", requestId: "r", tool: name, token }), token);
}

/** A tool's answer to a body that is there: a long one takes this process longer to write than the server to refuse. */
async function send(session: Session, body: string, token = session.token): Promise<string> {
  const answer = await fetch(`${session.linkUrl}/callTool`, { method: "POST", headers: { "x-access-token": token, "content-type": "application/json" }, body });
  return answer.text();
}

async function access(session: Session, scope: "read" | "run"): Promise<string> {
  const headers = { "x-access-token": session.token, "content-type": "application/json" };
  const answer = await fetch(`${session.linkUrl}/browserAccess`, { method: "POST", headers, body: JSON.stringify({ scope }) });
  return ((await answer.json()) as { data: { token: string } }).data.token;
}

const sockets = new Set<Socket>();

/** Waits for an event of a connection, or its end. `once` of node's would fail with the connection. */
function until(socket: Socket, event: string): Promise<void> {
  return new Promise((done) => {
    for (const name of [event, "close"]) {
      socket.once(name, () => done());
    }
  });
}

/** A connection that is not read from. Whatever becomes of it is what it is. */
async function raw(head: string): Promise<Socket> {
  const socket = connect(Number(port), hostname);
  sockets.add(socket);
  socket.on("error", () => {});
  await until(socket, "connect");
  socket.write(head);
  return socket;
}

/** A WebSocket by its bytes. */
async function webSocket(session: Session, token: string): Promise<Socket> {
  const { pathname } = new URL(session.wsUrl);
  const socket = await raw(
    `GET ${pathname} HTTP/1.1\r\nhost: ${hostname}:${port}\r\nupgrade: websocket\r\nconnection: upgrade\r\n` +
      `sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nx-access-token: ${token}\r\n\r\n`,
  );
  await until(socket, "readable");
  return socket;
}

/** The head of a masked frame; the mask is zero, so the bytes follow as they are. */
function frameHead(opcode: number, length: number): Buffer {
  const head = Buffer.alloc(14);
  head[0] = 0x80 | opcode;
  head[1] = 0xff;
  head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}

/** Writes until the time is over or the other side has closed. */
async function flood(socket: Socket, piece: Buffer): Promise<void> {
  const end = Date.now() + LASTS;
  while (Date.now() < end && !socket.destroyed) {
    if (!socket.write(piece)) {
      await Promise.race([until(socket, "drain"), sleep(end - Date.now())]);
    }
  }
}

const many = async (count: number, work: (at: number) => Promise<unknown>): Promise<void> => {
  await Promise.allSettled(Array.from({ length: count }, (_, at) => work(at)));
};

const WIDE = Buffer.from(`{"invocationId":"x","data":{"a":[${'{"":0},'.repeat((15 * MIB) / 7 - 10)}0]}}`);

const cases: Record<string, (session: Session) => Promise<void>> = {
  async "a tree of 15 MiB of JSON, by an access that watches"(session) {
    const socket = await webSocket(session, await access(session, "read"));
    socket.write(frameHead(1, WIDE.length));
    socket.write(WIDE);
    await Promise.race([sleep(LASTS), until(socket, "close")]);
  },
  async "the same by an access that runs, eight times"(session) {
    const token = await access(session, "run");
    await many(8, async () => {
      const socket = await webSocket(session, token);
      socket.write(frameHead(1, WIDE.length));
      socket.write(WIDE);
      await Promise.race([sleep(LASTS), until(socket, "close")]);
    });
  },
  async "60 bodies of 16 MiB without a credential"() {
    await many(60, async () => {
      const socket = await raw(`POST /mcp/createSession HTTP/1.1\r\nhost: ${hostname}:${port}\r\ncontent-length: ${16 * MIB}\r\n\r\n`);
      await flood(socket, Buffer.alloc(MIB, " "));
    });
  },
  async "pings whose pongs are not read"(session) {
    const socket = await webSocket(session, await access(session, "read"));
    const ping = Buffer.concat([Buffer.from([0x89, 0xfd, 0, 0, 0, 0]), Buffer.alloc(125)]);
    await flood(socket, Buffer.concat(Array.from({ length: 1000 }, () => ping)));
  },
  async "150 messages that are not finished"(session) {
    const token = await access(session, "run");
    await many(150, async () => {
      const socket = await webSocket(session, token);
      socket.write(frameHead(1, 15.9 * MIB));
      socket.write(Buffer.alloc(15.8 * MIB, " "));
      await sleep(LASTS);
    });
  },
  async "3000 runs of 200 KiB that nobody reads"(session) {
    const socket = await webSocket(session, await access(session, "run"));
    for (let at = 0; at < 3000 && !socket.destroyed; at += 1) {
      const params = { language: "python", code: "print('x' * 200_000)", timeoutS: 20 };
      const text = Buffer.from(JSON.stringify({ invocationId: `r${at}`, source: "SDK", target: "any", data: { method: "run_code", mode: "stream", params } }));
      socket.write(Buffer.concat([frameHead(1, text.length), text]));
    }
    await sleep(LASTS);
  },
  async "25 answers of 96 MiB that nobody takes"(session) {
    const token = await access(session, "run");
    await tool(session, "run_code", { language: "python", code: "open('ones', 'wb').write(b'\\x01' * (16 << 20))" });
    const body = JSON.stringify({ args: { path: "ones" }, server: "any", requestId: "r", tool: "read_file", token });
    const { pathname } = new URL(session.linkUrl);
    await many(25, async () => {
      const head = `POST ${pathname}/callTool HTTP/1.1\r\nhost: ${hostname}:${port}\r\nx-access-token: ${token}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
      await raw(head + body);
      await sleep(LASTS);
    });
  },
  async "16 edits of a file of 16 MiB of line ends"(session) {
    await tool(session, "run_code", { language: "python", code: "open('lines', 'w').write('\\n' * (16 << 20))" });
    await many(16, () => tool(session, "edit_file", { path: "lines", edits: [{ oldText: "\n", newText: "x\n" }], dryRun: true }));
  },
  async "50,000 patterns to exclude"(session) {
    const args = { path: ".", pattern: "*", excludePatterns: Array.from({ length: 50_000 }, (_, at) => `${at}*`) };
    const body = JSON.stringify({ args, server: "any", requestId: "r", tool: "search_files", token: session.token });
    const end = Date.now() + LASTS;
    await many(4, async () => {
      while (Date.now() < end) {
        await send(session, body);
      }
    });
  },
  async "16 spellings of a folder of 19,900 long names"(session) {
    await tool(session, "run_code", { language: "python", code: "import os\nos.mkdir('b')\nfor n in range(19_900): open('b/' + 'n' * 200 + str(n), 'w').close()" });
    await many(16, (at) => tool(session, "get_file_change", { path: `b${"/../b".repeat(at)}` }));
  },
  async "a million small results of a program"(session) {
    await tool(session, "run_code", { language: "python", code: "for _ in range(1_000_000): display({'text/plain': ''}, raw=True)", timeout_s: 8 });
  },
  async "a flood of events in a watched tree"(session) {
    const headers = { "x-access-token": session.token };
    await tool(session, "shell", { command: "mkdir -p /tmp/w/$(seq -s / 20) && cd /tmp/w && for i in $(seq 500); do mkdir $i; done", timeout_ms: 10_000 });
    await many(8, (at) => fetch(`${session.linkUrl}/files/watch?path=/tmp/w&recursive=true&watch=w${at}`, { method: "POST", headers }));
    await tool(session, "run_code", { language: "python", code: "import os\nwhile True:\n    for n in range(1, 500): os.close(os.open(f'/tmp/w/{n}/f', os.O_CREAT)); os.remove(f'/tmp/w/{n}/f')", timeout_s: 8 });
  },
  async "a tree of 18,000 folders, and the release"(session) {
    await tool(session, "run_code", { language: "python", code: "import os\nfor _ in range(18_000): os.mkdir('d'); os.chdir('d')", timeout_s: 60 });
  },
};

/** Another session's small cells until the work is done: how long each took, sorted. */
async function smallCells(session: Session, work: () => Promise<void>): Promise<number[]> {
  const took: number[] = [];
  let isOver = false;
  const cells = (async () => {
    while (!isOver) {
      const begin = performance.now();
      const answer = await tool(session, "run_code", { language: "python", code: "n = globals().get('n', 0) + 1\nn" });
      took.push(performance.now() - begin);
      if (!answer.includes("text/plain")) {
        throw new Error(answer);
      }
      await sleep(50);
    }
  })();
  await Promise.all([work().finally(() => (isOver = true)), cells]);
  return took.sort((one, other) => one - other);
}

const part = (sorted: readonly number[], share: number): number => sorted[Math.round((sorted.length - 1) * share)] ?? Number.NaN;
const peak = (): number => Number(/^VmHWM:\s+(\d+) kB$/m.exec(read(`/proc/${server.pid}/status`))?.[1] ?? Number.NaN) / 1024;

const rows: { what: string; median: number; p99: number; longest: number; peakMiB: number; isMet: boolean }[] = [];
try {
  const other = await create();
  await tool(other, "run_code", { language: "python", code: "1" });
  const measure = async (what: string, work: () => Promise<void>): Promise<void> => {
    const took = await smallCells(other, work);
    const [median, p99, longest] = [part(took, 0.5), part(took, 0.99), part(took, 1)];
    rows.push({ what, median, p99, longest, peakMiB: peak(), isMet: p99 <= MOST_TIME && peak() <= MOST_MEMORY });
  };
  await measure("nothing", () => sleep(LASTS / 2));
  for (const [what, attack] of Object.entries(cases)) {
    if (options.only.length === 0 || options.only.some((word) => what.includes(word))) {
      const session = await create();
      await measure(what, async () => {
        await attack(session);
        for (const socket of sockets) {
          socket.destroy();
        }
        sockets.clear();
        await call("/mcp/releaseSession", { sessionId: session.sessionId });
      });
    }
  }
} finally {
  await server.stop();
  rmSync(folder, { recursive: true });
}
const head = ["", "median", "p99", "longest", "server's peak", `goal: p99 < ${MOST_TIME} ms, ${MOST_MEMORY} MiB`];
const lines = rows.map(({ what, median, p99, longest, peakMiB, isMet }) => [
  what, `${short(median)} ms`, `${short(p99)} ms`, `${short(longest)} ms`, `${short(peakMiB)} MiB`, isMet ? "met" : "missed",
]);
console.log(options.json ? JSON.stringify({ node: process.version, rows }, null, 2) : table([head, ...lines]));

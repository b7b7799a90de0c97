/**
 * What it costs that several servers act as one: a single server, a server of a cluster that has the session, and one that
 * passes everything on, in turn.
 *
 * `node --import tsx bench/cluster.ts [--json] [--runs N] [--deaths N] [--programs FOLDER] [--only WORD]...`, after
 * `cargo build --release -p agb-server -p agb-node`; `cargo xtask bench cluster` does all of it. The words are call, create, line,
 * bulk, tunnel, lost and registry. See README.md.
 */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

import { simulate } from "./cluster-registry.ts";
import { program, releaseAddon, type Server, startServer } from "./processes.ts";
import { median, short, table, timed } from "./statistics.ts";

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    runs: { type: "string", default: "5" },
    deaths: { type: "string", default: "3" }, // of each kind; each takes up to 20 s
    programs: { type: "string" }, // another folder than target/release, to try this file out
    only: { type: "string", multiple: true, default: [] },
  },
});

if (options.programs === undefined) {
  process.env["AGB_NATIVE"] ??= releaseAddon();
}
const { AGB } = await import("agbcloud-sdk");
const { startEtcd } = await import("../node/local-cluster.ts"); // it imports the SDK
type Session = NonNullable<Awaited<ReturnType<InstanceType<typeof AGB>["get"]>>["session"]>;

/** One line of the report. */
interface Row {
  readonly what: string;
  readonly alone: number;
  readonly owner: number | null;
  readonly other: number | null;
  readonly unit: string;
  readonly goal: string;
  readonly isMet: boolean;
}

/** A session as seen by way of a server. */
interface Way {
  readonly endpoint: string;
  readonly id: string;
  readonly session: Session;
}

const KEY = "a-key-for-benchmarks";
const runs = Number(options.runs);
const rows: Row[] = [];
const folder = mkdtempSync(join(tmpdir(), "agb-bench-"));
const serverProgram = options.programs === undefined ? program("agb-server") : join(options.programs, "agb-server");
const agent = new Agent({ keepAlive: true, maxSockets: 64 });
const env = { AGB_API_KEY: KEY, RUST_LOG: "error" };
const fast = ["--output-rate", "0", "--calls-per-second", "1000000", "--calls-burst", "1000000", "--max-connections", "4000", "--max-connections-per-session", "2000"];

const etcd = await startEtcd(join(folder, "etcd"));
const alone = await startServer(serverProgram, ["serve", "--listen", "127.0.0.1:0", ...fast], { pinned: false, env });
const nodes: Server[] = [];
for (const name of ["one", "two", "three"]) {
  nodes.push(await member(name));
}
try {
  await settled(nodes.length);
  const single = await wayOf(alone.endpoint, await create(alone.endpoint));
  const id = await create(nodes[0]!.endpoint);
  const owner = await ownerOf(id);
  const others = nodes.filter((node) => node !== owner);
  const there = { single, owner: await wayOf(owner.endpoint, id), other: await wayOf(others[0]!.endpoint, id), entry: others[0]! };
  const cases: Record<string, (at: typeof there) => Promise<void>> = { call, create: creating, line, bulk, tunnel, lost, registry };
  for (const [name, measure] of Object.entries(cases)) {
    if (options.only.length === 0 || options.only.includes(name)) {
      await measure(there);
    }
  }
} finally {
  for (const server of [alone, ...nodes]) {
    await server.stop();
  }
  await etcd.stop();
  agent.destroy();
  rmSync(folder, { recursive: true });
}
const figure = (value: number | null, unit: string): string => (value === null ? "" : `${short(value)} ${unit}`);
const lines = rows.map(({ what, alone, owner, other, unit, goal, isMet }) => [
  what, figure(alone, unit), figure(owner, unit), figure(other, unit), goal, isMet ? "met" : "missed",
]);
const report = table([["", "a single server", "at the owner", "one hop", "goal", ""], ...lines]);
console.log(options.json ? JSON.stringify({ node: process.version, runs, rows }, null, 2) : report);

/** `getSession`, one after the other and 64 at once. */
async function call({ single, owner, other }: { single: Way; owner: Way; other: Way }): Promise<void> {
  const get = ({ endpoint, id }: Way): Promise<unknown> => post(endpoint, "/mcp/getSession", { sessionId: id });
  const [one, at, hop] = await inTurn([single, owner, other], async (way) => {
    const took: number[] = [];
    for (let n = 0; n < 200; n += 1) {
      took.push(await timed(() => get(way)));
    }
    return median(took);
  });
  rows.push({ what: "getSession, one after the other", alone: one, owner: at, other: hop, unit: "ms", goal: "hop ≤ +0.4 ms", isMet: hop <= at + 0.4 });
  const [rate, rateAt, rateHop] = await inTurn([single, owner, other], async (way) => {
    let left = 2000;
    const client = async (): Promise<void> => {
      while (left-- > 0) {
        await get(way);
      }
    };
    return 2000 / ((await timed(() => Promise.all(Array.from({ length: 64 }, client)))) / 1000);
  });
  rows.push({ what: "getSession, 64 at once", alone: rate, owner: rateAt, other: rateHop, unit: "calls/s", goal: "owner ≥ 0.9 ×", isMet: rateAt >= 0.9 * rate });
}

/** `createSession` and `releaseSession`; in the cluster at any server, most of them at another one. */
async function creating(): Promise<void> {
  const [one, many] = await inTurn([alone.endpoint, nodes[0]!.endpoint], async (endpoint) => {
    const took: number[] = [];
    for (let n = 0; n < 30; n += 1) {
      let id = "";
      took.push(await timed(async () => { id = await create(endpoint); }));
      await post(endpoint, "/mcp/releaseSession", { sessionId: id });
    }
    return median(took);
  });
  rows.push({ what: "createSession", alone: one, owner: null, other: many, unit: "ms", goal: "≤ +1 ms", isMet: many <= one + 1 });
}

/** From a program's print to the callback. Both read the same clock. */
async function line({ single, owner, other }: { single: Way; owner: Way; other: Way }): Promise<void> {
  const code = "import time\nfor i in range(200):\n    print(time.time() * 1000, flush=True)\n    time.sleep(0.005)";
  const [one, at, hop] = await inTurn([single, owner, other], async ({ session }) => {
    const took: number[] = [];
    await finished(session, code, (chunk) => {
      const now = performance.timeOrigin + performance.now();
      chunk.split("\n").filter((text) => text !== "").forEach((text) => took.push(now - Number(text)));
    });
    return median(took);
  });
  rows.push({ what: "print to callback", alone: one, owner: at, other: hop, unit: "ms", goal: "hop ≤ +0.2 ms", isMet: hop <= at + 0.2 });
}

/** One run that prints as fast as it is read. */
async function bulk({ single, owner, other }: { single: Way; owner: Way; other: Way }): Promise<void> {
  const mib = 64;
  const code = `import sys\nblock = ('x' * 1023 + '\\n') * 64\nfor _ in range(${mib * 16}): sys.stdout.write(block)`;
  const [one, at, hop] = await inTurn([single, owner, other], async ({ session }) => {
    let bytes = 0;
    const took = await timed(() => finished(session, code, (chunk) => { bytes += chunk.length; }));
    if (bytes !== mib * 1024 * 1024) {
      throw new Error(`${bytes} bytes came`);
    }
    return mib / (took / 1000);
  });
  rows.push({ what: "output of one run", alone: one, owner: at, other: hop, unit: "MiB/s", goal: "hop ≥ 0.8 ×", isMet: hop >= 0.8 * at });
}

/** What the entry's memory grows by for each WebSocket that it passes on and that is idle. */
async function tunnel({ other, entry }: { other: Way; entry: Server }): Promise<void> {
  const count = 500;
  const token = ((await post(other.endpoint, "/mcp/getSession", { sessionId: other.id })) as { token: string }).token;
  // So many at once: what a handshake takes for a moment is used again by the next ones, and is not an idle tunnel's.
  const atOnce = 50;
  await webSockets(other, token, atOnce).then((warm) => warm.forEach((socket) => socket.destroy()));
  await sleep(500);
  const before = memory(entry.pid);
  const sockets: Awaited<ReturnType<typeof webSockets>> = [];
  while (sockets.length < count) {
    sockets.push(...(await webSockets(other, token, atOnce)));
  }
  await sleep(500);
  const each = (memory(entry.pid) - before) / count / 1024;
  sockets.forEach((socket) => socket.destroy());
  rows.push({ what: `memory of an idle tunnel (${count})`, alone: 0, owner: null, other: each, unit: "KiB", goal: "≤ 64 KiB", isMet: each <= 64 });
}

/** From a server's death until the others say "not found" and mean it, for each kind of death. */
async function lost(): Promise<void> {
  const kinds: [string, number, (victim: Server) => void][] = [
    ["kill -9", 7, ({ pid }) => process.kill(pid, "SIGKILL")],
    ["kill -9, started again at once", 4, ({ pid }) => process.kill(pid, "SIGKILL")],
    // To the others the same as a machine without power: connections are taken at most, and nothing answers.
    ["SIGSTOP", 14, ({ pid }) => process.kill(pid, "SIGSTOP")],
  ];
  const deaths = Number(options.deaths);
  for (const [what, bound, end] of kinds) {
    const took: number[] = [];
    for (let at = 0; at < deaths; at += 1) {
      const id = await create(nodes[at % 3]!.endpoint);
      const victim = await ownerOf(id);
      const index = nodes.indexOf(victim);
      const name = ["one", "two", "three"][index]!;
      const asked = nodes[(index + 1) % 3]!;
      end(victim);
      const begin = performance.now();
      const again = what.includes("again") ? member(name) : undefined;
      while (!(await isGone(asked, id))) {
        await sleep(20);
      }
      took.push((performance.now() - begin) / 1000);
      if (what === "SIGSTOP") {
        process.kill(victim.pid, "SIGCONT"); // it learns what has become of it
        await victim.stop();
      }
      nodes[index] = await (again ?? member(name));
      await settled(3);
    }
    const worst = Math.max(...took);
    rows.push({ what: `${what}, to "not found": the worst of ${deaths}`, alone: worst, owner: null, other: null, unit: "s", goal: `≤ ${bound} s`, isMet: worst <= bound });
    rows.push({ what: "  the median", alone: median(took), owner: null, other: null, unit: "s", goal: "", isMet: true });
  }
}

async function isGone(asked: Server, id: string): Promise<boolean> {
  const { status } = await ask(asked.endpoint, "/mcp/getSession", { sessionId: id });
  if (![400, 502, 503].includes(status)) {
    throw new Error(`HTTP ${status}`);
  }
  return status === 400;
}

/** What etcd, one member of it, has to do for larger clusters. */
async function registry(): Promise<void> {
  for (const servers of [30, 100]) {
    const load = await simulate(new URL(etcd.url.replace("etcd:", "http:")).host, etcd.pid, servers, 20);
    const row = (what: string, figure: number, unit: string, most: number): void => {
      const goal = most === Number.POSITIVE_INFINITY ? "" : `≤ ${most} ${unit}`;
      rows.push({ what: `${servers} servers: ${what}`, alone: figure, owner: null, other: null, unit, goal, isMet: figure <= most });
    };
    row("a beat, at the median", load.median, "ms", 50);
    row("a beat, p99", load.p99, "ms", 500);
    row("etcd's processors", load.cores, "", 0.5);
    row("an answer", load.answer, "KiB", Number.POSITIVE_INFINITY);
    row("etcd sends", load.sent, "MiB/s", Number.POSITIVE_INFINITY);
  }
}

/** Measures each in turn, forth and back, as often as asked for; gives the medians. */
async function inTurn<T>(things: readonly T[], measure: (thing: T) => Promise<number>): Promise<[number, number, number]> {
  const figures = things.map((): number[] => []);
  for (let at = 0; at < runs; at += 1) {
    const order = things.map((_, index) => (at % 2 === 0 ? index : things.length - 1 - index));
    for (const index of order) {
      figures[index]!.push(await measure(things[index]!));
    }
  }
  const medians = figures.map(median);
  return [medians[0]!, medians[1]!, medians[2] ?? Number.NaN];
}

async function finished({ code }: Session, text: string, onStdout: (chunk: string) => void): Promise<void> {
  const result = await code.run(text, "python", 120, true, onStdout);
  if (!result.success) {
    throw new Error(result.errorMessage);
  }
}

function ask(endpoint: string, path: string, body: object, headers: Record<string, string> = {}): Promise<{ status: number; data: unknown }> {
  return new Promise((resolve, reject) => {
    const text = JSON.stringify(body);
    const all = { authorization: `Bearer ${KEY}`, "content-type": "application/json", "content-length": Buffer.byteLength(text), ...headers };
    const sent = request(`${endpoint}${path}`, { method: "POST", agent, headers: all }, (answer) => {
      let said = "";
      answer.setEncoding("utf8").on("data", (part: string) => (said += part));
      answer.on("end", () => resolve({ status: answer.statusCode!, data: (JSON.parse(said) as { data: unknown }).data }));
    });
    sent.on("error", reject).end(text);
  });
}

async function post(endpoint: string, path: string, body: object): Promise<unknown> {
  const { status, data } = await ask(endpoint, path, body);
  if (status !== 200) {
    throw new Error(`${path}: HTTP ${status}`);
  }
  return data;
}

async function create(endpoint: string): Promise<string> {
  return ((await post(endpoint, "/mcp/createSession?imageId=agb-code-space-1", {})) as { sessionId: string }).sessionId;
}

/** The server that answers for a session without asking another one. */
async function ownerOf(id: string): Promise<Server> {
  for (const node of nodes) {
    if ((await ask(node.endpoint, "/mcp/getSession", { sessionId: id }, { "x-agb-hop": "bench" })).status === 200) {
      return node;
    }
  }
  throw new Error(`nobody has ${id}`);
}

async function wayOf(endpoint: string, id: string): Promise<Way> {
  const { session, errorMessage } = await new AGB({ apiKey: KEY, config: { endpoint } }).get(id);
  if (session === undefined || session === null) {
    throw new Error(errorMessage);
  }
  return { endpoint, id, session };
}

/** WebSockets without a client behind them: the handshake, and nothing more. */
function webSockets({ endpoint, id }: Way, token: string, count: number): Promise<ReturnType<typeof connect>[]> {
  const { hostname, port } = new URL(endpoint);
  const head = `GET /ws/${id} HTTP/1.1\r\nhost: ${hostname}:${port}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nx-access-token: ${token}\r\n\r\n`;
  const open = (): Promise<ReturnType<typeof connect>> =>
    new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => socket.write(head));
      socket.once("data", (data) => (data.toString("latin1").startsWith("HTTP/1.1 101") ? resolve(socket) : reject(new Error(data.toString("latin1")))));
      socket.once("error", reject);
    });
  return Promise.all(Array.from({ length: count }, open));
}

/** Resident memory of a process, in bytes. */
function memory(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) * 1024;
}

function member(name: string): Promise<Server> {
  const cluster = ["--cluster", etcd.url, "--node-name", name, "--data-dir", folder];
  return startServer(serverProgram, ["serve", "--listen", "127.0.0.1:0", ...cluster, ...fast], { pinned: false, env });
}

/** Waits until every server knows of so many. */
async function settled(count: number): Promise<void> {
  const deadline = performance.now() + 30_000;
  for (const { endpoint } of nodes) {
    for (;;) {
      const answer = await fetch(`${endpoint}/metrics`, { headers: { authorization: `Bearer ${KEY}` } });
      const up = /^agb_cluster_nodes\{state="up"\} (\d+)$/m.exec(await answer.text());
      if (Number(up?.[1]) === count) {
        break;
      }
      if (performance.now() > deadline) {
        throw new Error(`${endpoint} does not know ${count} servers`);
      }
      await sleep(100);
    }
  }
}

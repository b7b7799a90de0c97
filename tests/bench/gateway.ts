/**
 * What a gateway costs: the same runs of a load server, reached directly and through `agb-server --upstream`.
 *
 * `node --import tsx bench/gateway.ts [--json] [--runs N]`, after `cargo build --release -p agb-server -p agb-testkit -p
 * agb-node`; `cargo xtask bench gateway` does all of it. See README.md.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Load } from "./client-cases.ts";
import { ENVIRONMENT, privateKiB, program, releaseAddon, runMeasured, type Server, startServer } from "./processes.ts";
import { median, short, table } from "./statistics.ts";

/** A line now and then, stamped when it is made; and as many as the way takes. */
const PACED = { n: 600, s: 64, ascii: true, stamped: true, words: "pace us=5000" };
const FLAT_OUT = { n: 100_000, s: 1024, ascii: true, stamped: false };
/** Runs that wait, in sessions of a hundred. */
const HELD = 1_000;
const SESSIONS = 10;
/** A chunk at once, and the next one after an hour. */
const WAITING = "blast n=2 s=64 us=3600000000";

const GOALS = { addedMs: 0.2, throughput: 0.8, runKiB: 64 };

interface Figures {
  readonly seconds: number;
  readonly chunks: number;
  readonly characters: number;
  readonly latencyP50Us: number | null;
  readonly latencyP99Us: number | null;
}

const { values: options } = parseArgs({ options: { json: { type: "boolean", default: false }, runs: { type: "string", default: "3" } } });
const rounds = Number(options.runs);
const addon = releaseAddon();

const load = await startServer(program("agb-load"), [], { pinned: false });
const ways = ["direct", "gateway"] as const;
const measured = { direct: { paced: [] as Figures[], flatOut: [] as Figures[] }, gateway: { paced: [] as Figures[], flatOut: [] as Figures[] } };
let runKiB: number;
try {
  const gateway = await startGateway();
  try {
    for (let round = 0; round < rounds; round++) {
      for (const way of ways) {
        const endpoint = way === "direct" ? load.endpoint : gateway.endpoint;
        measured[way].paced.push(await measure(endpoint, PACED));
        measured[way].flatOut.push(await measure(endpoint, FLAT_OUT));
      }
    }
  } finally {
    await gateway.stop();
  }
  runKiB = await memoryOfARun();
} finally {
  await load.stop();
}

const of = (way: (typeof ways)[number]) => ({
  p50Us: median(measured[way].paced.map(({ latencyP50Us }) => latencyP50Us ?? Number.NaN)),
  p99Us: median(measured[way].paced.map(({ latencyP99Us }) => latencyP99Us ?? Number.NaN)),
  megabytesPerSecond: median(measured[way].flatOut.map(({ seconds, characters }) => characters / seconds / 1e6)),
});
const [direct, through] = [of("direct"), of("gateway")];
const figures = {
  addedMs: (through.p50Us - direct.p50Us) / 1_000,
  throughput: through.megabytesPerSecond / direct.megabytesPerSecond,
  runKiB,
};
const holds = figures.addedMs <= GOALS.addedMs && figures.throughput >= GOALS.throughput && figures.runKiB <= GOALS.runKiB;
if (options.json) {
  console.log(JSON.stringify({ node: process.version, rounds, direct, gateway: through, figures, goals: GOALS, holds }, null, 2));
} else {
  console.log(`Node ${process.version}, medians of ${rounds}\n`);
  const row = (name: string, { p50Us, p99Us, megabytesPerSecond }: typeof direct): string[] => [name, short(p50Us), short(p99Us), short(megabytesPerSecond)];
  console.log(table([["", "p50 µs", "p99 µs", "MB/s"], row("direct", direct), row("gateway", through)]));
  console.log(
    `\n${table([
      ["", "measured", "goal"],
      ["added latency of a line, ms", figures.addedMs.toFixed(3), `≤ ${GOALS.addedMs}`],
      ["throughput beside direct", short(figures.throughput), `≥ ${GOALS.throughput}`],
      ["memory of a run, KiB", short(figures.runKiB), `≤ ${GOALS.runKiB}`],
    ])}`,
  );
}

async function startGateway(): Promise<Server> {
  const args = ["serve", "--listen", "127.0.0.1:0", "--upstream", load.endpoint, "--unwatched-time", "3600"];
  return startServer(program("agb-server"), args, { pinned: false, env: { RUST_LOG: "warn" } });
}

async function measure(endpoint: string, work: Load): Promise<Figures> {
  const warmUp = { ...work, n: Math.min(20_000, Math.ceil(work.n / 5)) };
  const figures = (await runMeasured("client-sdk.mjs", { endpoint, image: "load", load: work, warmUp }, addon)) as Figures;
  if (figures.characters !== work.n * work.s) {
    throw new Error(`something was lost: ${JSON.stringify(figures)}`);
  }
  return figures;
}

/** Private memory of a gateway for each of many runs that wait, more than before the first; their logs have one line. */
async function memoryOfARun(): Promise<number> {
  const gateway = await startGateway();
  const task = { endpoint: gateway.endpoint, sessions: SESSIONS, runs: HELD / SESSIONS, code: WAITING };
  const script = fileURLToPath(new URL("gateway-hold.mjs", import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [script, JSON.stringify(task)], {
    env: { ...ENVIRONMENT, AGB_NATIVE: addon },
    stdio: ["pipe", "pipe", "inherit"],
  });
  try {
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    const next = async (expected: string): Promise<void> => {
      const { value } = await lines.next();
      if (value !== expected) {
        throw new Error(`the client that holds the runs said ${String(value)} instead of ${expected}`);
      }
    };
    await next("sessions");
    const before = privateKiB(gateway.pid);
    child.stdin!.write("go\n");
    await next("runs");
    return (privateKiB(gateway.pid) - before) / HELD;
  } finally {
    const ended = child.exitCode === null && child.signalCode === null ? once(child, "exit") : null;
    child.kill("SIGKILL");
    await ended;
    await gateway.stop();
  }
}

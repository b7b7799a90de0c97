/**
 * What it costs that nothing is lost: a stream with resume and acknowledgements beside the same one without, the time
 * from a cut connection to the next chunk, and what the server keeps of a run that waits or whose client is gone.
 *
 * `node --import tsx bench/resume.ts [--json] [--runs N] [--only PART]…`, after
 * `cargo build --release -p agb-server -p agb-node -p agb-testkit`; `cargo xtask bench resume` does all of it. Parts:
 * `cost`, `cut`, `memory`.
 */

import { randomBytes } from "node:crypto";
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { program, releaseAddon, runMeasured, type Server, startServer } from "./processes.ts";
import { median, short, table } from "./statistics.ts";

/** The most that resume and acknowledgements may cost, of the throughput. */
const GOAL_COST = 0.05;
/** The most that a cut may take at the median, milliseconds. */
const GOAL_MS = 200;

const CASES = [
  { name: "64 KiB a write", characters: 128 << 20, code: "import os\nchunk = b'x' * 65536\nfor _ in range(2048): os.write(1, chunk)" },
  { name: "lines of 64 B", characters: 64 * 200_000, code: "line = 'x' * 63\nfor _ in range(200_000): print(line)" },
];
/** Prints all the time, so that what is waited for is the connection. */
const TICKS = "import time\nwhile True:\n    print('tick')\n    time.sleep(0.002)";
/** Cuts of each kind and run. */
const CUTS = 10;
/** Chunks between two cuts: the connection is one that works. */
const BETWEEN = 20;

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    runs: { type: "string", default: "5" },
    only: { type: "string", multiple: true, default: ["cost", "cut", "memory"] },
  },
});
const runs = Number(options.runs);
const apiKey = randomBytes(16).toString("hex");
const addon = releaseAddon();
// For those that this process imports: the SDK, the proxy.
process.env["AGB_NATIVE"] = addon;
process.env["AGB_PROXY"] = program("agb-proxy");
const { AGB, throwIfFailed } = await import("agbcloud-sdk");
const { Proxy } = await import("../node/proxy.ts");
const { measureMemory } = await import("./resume-memory.ts");

/** What a measured process reports; see `resume-sdk.mjs`. */
interface Figures {
  readonly characters: number;
  readonly seconds: number;
  readonly clientMs: number;
  readonly serverMs: number;
}

interface Cost {
  readonly name: string;
  readonly withMBs: number;
  readonly withoutMBs: number;
  /** Of the throughput: the median of the pairs, each measured in one process within some seconds. */
  readonly cost: number;
  /** Of the processor time of client and server together, likewise; the program's own is not in it. */
  readonly processorCost: number;
}

async function measureCost(server: Server): Promise<Cost[]> {
  const { session } = throwIfFailed(await new AGB({ apiKey, config: { endpoint: server.endpoint } }).create({ imageId: "agb-code-space-1" }));
  const access = throwIfFailed(await session!.browserAccess()).access!;
  const plain = { ...access, extensions: access.extensions!.filter((name) => name !== "resume" && name !== "flow") };
  if (plain.extensions.length !== access.extensions!.length - 2) {
    throw new Error(`the server does not offer both: ${access.extensions!.join(", ")}`);
  }
  const pairs = CASES.map((): { full: Figures; bare: Figures }[] => []);
  for (let run = 0; run < runs; run++) {
    for (const [index, { name, characters, code }] of CASES.entries()) {
      // Each is the first one as often as the other.
      const accesses = run % 2 === 0 ? [access, plain] : [plain, access];
      const figures = (await runMeasured("resume-sdk.mjs", { accesses, code, pid: server.pid }, addon)) as [Figures, Figures];
      if (figures.some((one) => one.characters !== characters)) {
        throw new Error(`${name}: ${figures.map((one) => one.characters).join(" and ")} characters came of ${characters}`);
      }
      const [full, bare] = run % 2 === 0 ? figures : [figures[1], figures[0]];
      pairs[index]!.push({ full, bare });
    }
  }
  await session!.delete();
  const rate = ({ characters, seconds }: Figures): number => characters / 1e6 / seconds;
  const processor = ({ clientMs, serverMs }: Figures): number => clientMs + serverMs;
  return CASES.map(({ name }, index) => ({
    name,
    withMBs: median(pairs[index]!.map(({ full }) => rate(full))),
    withoutMBs: median(pairs[index]!.map(({ bare }) => rate(bare))),
    cost: median(pairs[index]!.map(({ full, bare }) => 1 - rate(full) / rate(bare))),
    processorCost: median(pairs[index]!.map(({ full, bare }) => processor(full) / processor(bare) - 1)),
  }));
}

interface Cuts {
  readonly name: string;
  readonly count: number;
  readonly medianMs: number;
  readonly p90Ms: number;
}

/** By the testkit's proxy: the sockets are closed in good order, or reset. */
async function measureCuts(server: Server): Promise<Cuts[]> {
  const proxy = await Proxy.start(server.endpoint);
  try {
    const { session } = throwIfFailed(await new AGB({ apiKey, config: { endpoint: proxy.endpoint } }).create({ imageId: "agb-code-space-1" }));
    const kinds = ["cut", "reset"] as const;
    const times: Record<(typeof kinds)[number], number[]> = { cut: [], reset: [] };
    let [chunks, cuts, cutAt, found] = [0, 0, 0, false];
    for await (const event of session!.code.stream(TICKS, "python", { timeoutS: 600, logLimit: 0 })) {
      const kind = kinds[cuts % 2]!;
      if (event.type === "end") {
        throw new Error(`the run ended: ${event.result.errorMessage}`);
      } else if (event.type === "reconnected") {
        found = true; // what comes before was on its way already
      } else if (event.type === "stdout" && cutAt !== 0 && found) {
        times[kind].push(performance.now() - cutAt);
        [chunks, cutAt, found] = [0, 0, false];
        if (++cuts === 2 * CUTS * runs) break;
      } else if (event.type === "stdout" && cutAt === 0 && ++chunks === BETWEEN) {
        cutAt = performance.now();
        proxy.now(kind);
      }
    }
    await session!.delete();
    return kinds.map((kind) => {
      const sorted = times[kind].sort((one, other) => one - other);
      const name = kind === "cut" ? "closed in good order" : "reset";
      return { name, count: sorted.length, medianMs: median(sorted), p90Ms: sorted[Math.ceil(sorted.length * 0.9) - 1]! };
    });
  } finally {
    await proxy.stop();
  }
}

const wants = (part: string): boolean => options.only.includes(part);
const loadBefore = loadavg()[0]!;
// As fast as it comes: by default a program's output is taken at 64 MiB a second, which would hide what costs.
const server = await startServer(program("agb-server"), ["serve", "--listen", "127.0.0.1:0", "--output-rate", "0"], {
  pinned: false,
  env: { AGB_API_KEY: apiKey, RUST_LOG: "warn" },
});
let costs: Cost[] | undefined;
let cuts: Cuts[] | undefined;
try {
  costs = wants("cost") ? await measureCost(server) : undefined;
  cuts = wants("cut") ? await measureCuts(server) : undefined;
} finally {
  await server.stop();
}
const memory = wants("memory") ? await measureMemory(addon) : undefined;
const load = [loadBefore, loadavg()[0]!];

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const goals: { goal: string; value: string; bound: string; reached: boolean }[] = [];
for (const { name, cost } of costs ?? []) {
  goals.push({ goal: `resume and acknowledgements, ${name}, of the throughput`, value: percent(cost), bound: `at most ${percent(GOAL_COST)}`, reached: cost <= GOAL_COST });
}
for (const { name, medianMs } of cuts ?? []) {
  goals.push({ goal: `from a cut to the next chunk, ${name}`, value: `${short(medianMs)} ms`, bound: `below ${GOAL_MS} ms`, reached: medianMs < GOAL_MS });
}

if (options.json) {
  console.log(JSON.stringify({ node: process.version, runs, load, costs, cuts, memory, goals }, null, 2));
} else {
  const parts = [`Node ${process.version}, ${runs} runs, load ${load.map(short).join(" to ")}`];
  if (costs !== undefined) {
    const rows = costs.map(({ name, withMBs, withoutMBs, cost, processorCost }) => [name, short(withMBs), short(withoutMBs), percent(cost), percent(processorCost)]);
    parts.push(table([["resume and acknowledgements", "MB/s with", "without", "cost", "processor time more"], ...rows]));
  }
  if (cuts !== undefined) {
    const rows = cuts.map(({ name, count, medianMs, p90Ms }) => [name, String(count), short(medianMs), short(p90Ms)]);
    parts.push(table([["from a cut to the next chunk", "cuts", "median ms", "p90 ms"], ...rows]));
  }
  if (memory !== undefined) {
    const rows = memory.map(({ name, runs, memoryKiB, fileKiB }) => [name, String(runs), short(memoryKiB), short(fileKiB)]);
    parts.push(table([["a run in the server", "runs", "KiB of memory each", "KiB in a file each"], ...rows]));
  }
  parts.push(goals.map(({ goal, value, bound, reached }) => `${goal}: ${value}, ${bound}: ${reached ? "reached" : "missed"}`).join("\n"));
  console.log(parts.join("\n\n"));
}

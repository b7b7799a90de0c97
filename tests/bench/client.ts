/**
 * How much this project's SDK takes off a program that reads a run's output, beside a plain client on `ws`.
 *
 * `node --import tsx bench/client.ts [--json] [--only WORD]... [--runs N] [--all] [--beside NAME=FOLDER]...`, after
 * `cargo build --release -p agb-testkit -p agb-node`; `cargo xtask bench client` does all of it.
 * `--beside` measures another build of the SDK in the same run: a copy of `npm/sdk` with `dist` and `native`.
 *
 * One process per case and client, in turn, so that whatever else the machine does meets both. See README.md.
 */

import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { CASES, type Case, type Client } from "./client-cases.ts";
import { canPin, program, releaseAddon, runMeasured, startServer } from "./processes.ts";
import { median, short, table } from "./statistics.ts";

/** What a measured process reports; see `measure.mjs`. */
interface Figures {
  seconds: number;
  chunks: number;
  characters: number;
  mainNanos: number;
  processNanos: number;
  delayP99Ms: number;
  delayMaxMs: number;
  peakMemory: number;
  latencyP50Us: number | null;
  latencyP99Us: number | null;
}

/** Medians of one client in one case. */
interface Row {
  messagesPerSecond: number;
  megabytesPerSecond: number;
  mainNanosPerMessage: number;
  processNanosPerMessage: number;
  mainShare: number;
  delayP99Ms: number;
  peakMegabytes: number;
  latencyP50Us: number;
  latencyP99Us: number;
}

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    runs: { type: "string", default: "3" },
    all: { type: "boolean", default: false },
    beside: { type: "string", multiple: true, default: [] },
  },
});

const runs = Number(options.runs);
const others = options.beside.map((pair): Client => {
  const [name = "", folder = ""] = pair.split("=");
  return { name, script: "client-sdk.mjs", image: "load", sdk: resolve(folder, "dist/node.mjs") };
});
const cases = CASES.filter(isWanted).map((each) => ({ ...each, clients: [...each.clients, ...others] }));
const addon = releaseAddon();
const rows = new Map<Case, Map<Client, Row>>();
const server = await startServer(program("agb-load"), [], { pinned: true });
try {
  for (const each of cases) {
    rows.set(each, await measureCase(each));
  }
} finally {
  await server.stop();
}
console.log(options.json ? toJson() : toText());

function isWanted({ name, extra }: Case): boolean {
  return options.only.length === 0 ? options.all || !extra : options.only.some((word) => name.includes(word));
}

async function measureCase(each: Case): Promise<Map<Client, Row>> {
  const measured = new Map<Client, Figures[]>(each.clients.map((client) => [client, []]));
  for (let run = 1; run <= runs; run++) {
    for (const client of each.clients) {
      progress(`${each.name}, ${client.name}, ${run} of ${runs}`);
      measured.get(client)!.push(await measureOnce(each, client));
    }
  }
  progress("");
  return new Map([...measured].map(([client, figures]) => [client, toRow(each, figures)]));
}

async function measureOnce({ load, warmUp }: Case, { script, image, sdk }: Client): Promise<Figures> {
  const figures = (await runMeasured(script, { endpoint: server.endpoint, image, load, warmUp, sdk }, sdk === undefined ? addon : null)) as Figures;
  if (figures.chunks !== load.n || (load.ascii && figures.characters !== load.n * load.s)) {
    throw new Error(`${script} lost something: ${JSON.stringify(figures)}`);
  }
  return figures;
}

function toRow({ load: { n, s } }: Case, figures: readonly Figures[]): Row {
  const of = (value: (one: Figures) => number): number => median(figures.map(value));
  return {
    messagesPerSecond: of(({ seconds }) => n / seconds),
    megabytesPerSecond: of(({ seconds }) => (n * s) / seconds / 1e6),
    mainNanosPerMessage: of(({ mainNanos }) => mainNanos / n),
    processNanosPerMessage: of(({ processNanos }) => processNanos / n),
    mainShare: of(({ mainNanos, seconds }) => mainNanos / seconds / 1e9),
    delayP99Ms: of(({ delayP99Ms }) => delayP99Ms),
    peakMegabytes: of(({ peakMemory }) => peakMemory / 1e6),
    latencyP50Us: of(({ latencyP50Us }) => latencyP50Us ?? Number.NaN),
    latencyP99Us: of(({ latencyP99Us }) => latencyP99Us ?? Number.NaN),
  };
}

/** The ratios of one case: above 1 is better than the baseline. */
function ratios(each: Case): { client: Client; row: Row; against: Row }[] {
  const of = rows.get(each)!;
  const against = of.get(each.clients[0]!)!;
  return each.clients.slice(1).map((client) => ({ client, row: of.get(client)!, against }));
}

function toText(): string {
  const flatOut = cases.filter(({ load }) => !load.stamped && load.rate === undefined);
  const ratioRows = flatOut.flatMap((each) =>
    ratios(each).map(({ client, row, against }) => [
      `${each.name}${client.name === "sdk" ? "" : ` (${client.name})`}`,
      `${short(row.messagesPerSecond / against.messagesPerSecond)} ×`,
      each.goal === undefined ? "" : `${each.goal.throughput} ×`,
      `1/${short(against.mainNanosPerMessage / row.mainNanosPerMessage)}`,
      each.goal === undefined ? "" : `1/${each.goal.mainCpu}`,
      `1/${short(against.processNanosPerMessage / row.processNanosPerMessage)}`,
      short(row.delayP99Ms),
      `${short(row.peakMegabytes / against.peakMegabytes)} ×`,
    ]),
  );
  const parts = [
    `Node ${process.version}, medians of ${runs}, load server ${canPin() ? "on a processor of its own" : "not pinned"}\n`,
  ];
  if (ratioRows.length > 0) {
    const head = ["beside ws, flat out", "throughput", "goal", "main CPU", "goal", "process CPU", "delay p99 ms", "peak memory"];
    parts.push(table([head, ...ratioRows]), "");
  }
  const head = ["", "k msg/s", "MB/s", "main ns/msg", "process ns/msg", "main %", "delay p99 ms", "peak MB", "p50 µs", "p99 µs"];
  const figures = cases.flatMap((each) =>
    [...rows.get(each)!].map(([client, row]) => [
      `${each.name}, ${client.name}`,
      short(row.messagesPerSecond / 1e3),
      short(row.megabytesPerSecond),
      row.mainNanosPerMessage.toFixed(0),
      row.processNanosPerMessage.toFixed(0),
      short(row.mainShare * 100),
      short(row.delayP99Ms),
      row.peakMegabytes.toFixed(0),
      Number.isNaN(row.latencyP50Us) ? "" : row.latencyP50Us.toFixed(0),
      Number.isNaN(row.latencyP99Us) ? "" : row.latencyP99Us.toFixed(0),
    ]),
  );
  parts.push(table([head, ...figures]));
  return parts.join("\n");
}

function toJson(): string {
  const result = cases.map((each) => ({
    case: each.name,
    load: each.load,
    goal: each.goal ?? null,
    clients: Object.fromEntries([...rows.get(each)!].map(([client, row]) => [client.name, row])),
    ratios: Object.fromEntries(
      ratios(each).map(({ client, row, against }) => [
        client.name,
        {
          throughput: row.messagesPerSecond / against.messagesPerSecond,
          mainCpu: against.mainNanosPerMessage / row.mainNanosPerMessage,
          processCpu: against.processNanosPerMessage / row.processNanosPerMessage,
          peakMemory: row.peakMegabytes / against.peakMegabytes,
          laterUs: row.latencyP50Us - against.latencyP50Us,
        },
      ]),
    ),
  }));
  return JSON.stringify({ node: process.version, runs, cases: result }, null, 2);
}

/** On a terminal only, on one line. */
function progress(text: string): void {
  if (process.stderr.isTTY) {
    process.stderr.write(`\r\x1b[K${text}`);
  }
}

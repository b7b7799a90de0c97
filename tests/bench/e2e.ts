/**
 * How long it takes from `print` in a Python program to the callback in JavaScript, on the real local server.
 *
 * `node --import tsx bench/e2e.ts [--json] [--runs N]`, after `cargo build --release -p agb-server -p agb-node`;
 * `cargo xtask bench e2e` does all of it.
 */

import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { program, releaseAddon, runMeasured, startServer } from "./processes.ts";
import { median, table } from "./statistics.ts";

/** What a measured process reports; see `stamps.mjs`. */
interface Figures {
  lines: number;
  chunks: number;
  p50Us: number;
  p90Us: number;
  p99Us: number;
}

/** The goal, microseconds at the median. */
const GOAL_US = 1000;

const CASES = [
  { name: "a line each 10 ms", lines: 300, code: pythonProgram("time.sleep(0.01)") },
  { name: "a line each 1 ms", lines: 1000, code: pythonProgram("time.sleep(0.001)", 1000) },
];
const CLIENTS = [
  { name: "ws", script: "e2e-ws.mjs" },
  { name: "sdk", script: "e2e-sdk.mjs" },
];

const { values: options } = parseArgs({
  options: { json: { type: "boolean", default: false }, runs: { type: "string", default: "3" } },
});
const addon = releaseAddon();
const runs = Number(options.runs);
const apiKey = randomBytes(16).toString("hex");
const server = await startServer(program("agb-server"), ["serve", "--listen", "127.0.0.1:0"], {
  pinned: false,
  env: { AGB_API_KEY: apiKey, RUST_LOG: "warn" },
});
const results: { case: string; client: string; p50Us: number; p90Us: number; p99Us: number }[] = [];
try {
  for (const { name, lines, code } of CASES) {
    const measured = CLIENTS.map((): Figures[] => []);
    for (let run = 0; run < runs; run++) {
      for (const [index, { script }] of CLIENTS.entries()) {
        const figures = (await runMeasured(script, { endpoint: server.endpoint, apiKey, code }, addon)) as Figures;
        if (figures.lines !== lines) {
          throw new Error(`${script} lost something: ${JSON.stringify(figures)}`);
        }
        measured[index]!.push(figures);
      }
    }
    for (const [index, { name: client }] of CLIENTS.entries()) {
      const of = (value: (one: Figures) => number): number => median(measured[index]!.map(value));
      results.push({ case: name, client, p50Us: of((one) => one.p50Us), p90Us: of((one) => one.p90Us), p99Us: of((one) => one.p99Us) });
    }
  }
} finally {
  await server.stop();
}

if (options.json) {
  console.log(JSON.stringify({ node: process.version, runs, goalP50Us: GOAL_US, results }, null, 2));
} else {
  const head = ["from print to callback", "p50 µs", "of the goal", "beside ws µs", "p90 µs", "p99 µs"];
  const rows = results.map(({ case: name, client, p50Us, p90Us, p99Us }) => {
    const beside = results.find((other) => other.case === name && other.client === "ws")!;
    const later = client === "ws" ? "" : `${p50Us < beside.p50Us ? "" : "+"}${(p50Us - beside.p50Us).toFixed(0)}`;
    return [`${name}, ${client}`, p50Us.toFixed(0), `${(p50Us / GOAL_US).toFixed(2)} ×`, later, p90Us.toFixed(0), p99Us.toFixed(0)];
  });
  console.log(`Node ${process.version}, medians of ${runs}\n\n${table([head, ...rows])}`);
}

/** Prints the time, `lines` times, and does `between` between two of them. */
function pythonProgram(between: string, lines = 300): string {
  return `import time\nfor _ in range(${lines}):\n    print(time.monotonic_ns())\n    ${between}\n`;
}

/**
 * The kernels beside Jupyter's own, in one run.
 *
 * `cargo xtask bench kernels [--json] [--runs N]` installs the peers (ipykernel below `target`, IRkernel where Debian has
 * it) and builds `measure`, an example of `crates/kernel`.
 */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { program } from "./processes.ts";
import { median, short, table } from "./statistics.ts";

/** What a measuring program reports: medians of its rounds. */
interface Figures {
  readyMs: number;
  firstByteMs: number;
  latencyMs: number;
  emptyCellMs: number;
  idleMiB: number;
  printMBs: number;
}

const NAMES = ["readyMs", "firstByteMs", "latencyMs", "emptyCellMs", "idleMiB", "printMBs"] as const satisfies readonly (keyof Figures)[];
const HEADS = ["time to ready, ms", "to the first byte, ms", "print to reader while it computes, ms", "an empty cell, ms", "idle, MiB (PSS)", "printing, MB/s"];

/** What Python is to reach beside ipykernel: at most this part of its time, or this many milliseconds. */
const GOALS: Partial<Record<keyof Figures, { part?: number; ms?: number }>> = {
  readyMs: { part: 1 / 10 },
  firstByteMs: { part: 1 / 10 },
  latencyMs: { part: 1 / 100 },
  emptyCellMs: { ms: 1 },
};

const { values: options } = parseArgs({
  options: { json: { type: "boolean", default: false }, runs: { type: "string", default: "3" } },
});
const runs = Number(options.runs);
const jupyter = fileURLToPath(new URL("../../target/bench/jupyter", import.meta.url));
const peer = fileURLToPath(new URL("kernels-jupyter.py", import.meta.url));
const python = `${jupyter}/bin/python`;

const ours = (language: string): string[] => [program("examples/measure"), language, "1"];
const measured = [
  { name: "python", command: ours("python") },
  { name: "ipykernel", command: [python, peer, "python3", "1"] },
  { name: "r", command: ours("r") },
  ...(existsSync(`${jupyter}/share/jupyter/kernels/ir`) ? [{ name: "IRkernel", command: [python, peer, "ir", "1"] }] : []),
  { name: "javascript", command: ours("javascript") },
  { name: "java", command: ours("java") },
];

/** Interpreters see a clean environment; one that buffers less than usual would hide what is measured. */
async function measure([file, ...args]: string[]): Promise<Figures> {
  const env = { PATH: process.env["PATH"], HOME: process.env["HOME"] };
  const { stdout } = await promisify(execFile)(file!, args, { env, timeout: 600_000, killSignal: "SIGKILL" });
  return JSON.parse(stdout) as Figures;
}

const rounds = measured.map((): Figures[] => []);
for (let run = 0; run < runs; run++) {
  // In turn, so that what else goes on here meets all of them.
  for (const [index, { command }] of measured.entries()) {
    rounds[index]!.push(await measure(command));
  }
}
const of = (index: number, name: keyof Figures): number => median(rounds[index]!.map((figures) => figures[name]));
const results = measured.map(({ name }, index) => ({ name, ...(Object.fromEntries(NAMES.map((figure) => [figure, of(index, figure)])) as unknown as Figures) }));
const [own, ipykernel] = results as unknown as [Figures, Figures];
const goals = NAMES.flatMap((name) => {
  const goal = GOALS[name];
  if (goal === undefined) return [];
  const most = goal.ms ?? ipykernel[name] * goal.part!;
  return [{ name, value: own[name], most, reached: own[name] <= most }];
});

if (options.json) {
  console.log(JSON.stringify({ node: process.version, runs, results, goals }, null, 2));
} else {
  const head = [`medians of ${runs}`, ...results.map(({ name }) => name)];
  const rows = NAMES.map((name, index) => [HEADS[index]!, ...results.map((figures) => short(figures[name]))]);
  const verdicts = goals.map(({ name, value, most, reached }) => `python, ${HEADS[NAMES.indexOf(name)]!}: ${short(value)}, goal ${short(most)}: ${reached ? "reached" : "missed"}`);
  console.log(`${table([head, ...rows])}\n\n${verdicts.join("\n")}`);
}

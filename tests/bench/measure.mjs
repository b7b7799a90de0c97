/**
 * What a measured process knows about itself. Plain JavaScript: a measured process runs without a loader.
 *
 * Linux only: it reads /proc.
 */

import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

/** Processor time of this process's first thread so far, nanoseconds. */
function mainThreadNanos() {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ")[0]);
}

/** Largest memory so far, bytes. */
function peakMemory() {
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return Number(kilobytes) * 1024;
}

/**
 * Counts what one run delivers.
 *
 * `take` is the callback of both clients: it counts characters and, where chunks begin with the time of their making,
 * how long they took.
 */
export class Meter {
  chunks = 0;
  characters = 0;
  #latencies;
  #taken = 0;

  /** @param {{ n: number, stamped: boolean }} load */
  constructor({ n, stamped }) {
    this.#latencies = stamped ? new Float64Array(n) : null;
  }

  /** @type {(chunk: string) => void} */
  take = (chunk) => {
    this.chunks += 1;
    this.characters += chunk.length;
    if (this.#latencies !== null) {
      const made = BigInt(chunk.substring(0, 20));
      this.#latencies[this.#taken++] = Number(process.hrtime.bigint() - made) / 1000;
    }
  };

  /** Sorted, microseconds. */
  latencies() {
    return this.#latencies?.subarray(0, this.#taken).sort() ?? new Float64Array(0);
  }
}

/**
 * Runs `work` and says what it took.
 *
 * @param {Meter} meter
 * @param {() => Promise<void>} work
 */
export async function measure(meter, work) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  globalThis.gc?.();
  delay.enable();
  const before = { time: process.hrtime.bigint(), main: mainThreadNanos(), cpu: process.cpuUsage() };
  await work();
  const cpu = process.cpuUsage(before.cpu);
  const main = mainThreadNanos() - before.main;
  const seconds = Number(process.hrtime.bigint() - before.time) / 1e9;
  delay.disable();
  const latencies = meter.latencies();
  const at = (share) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? null;
  return {
    seconds,
    chunks: meter.chunks,
    characters: meter.characters,
    mainNanos: main,
    processNanos: (cpu.user + cpu.system) * 1000,
    delayP99Ms: delay.percentile(99) / 1e6,
    delayMaxMs: delay.max / 1e6,
    peakMemory: peakMemory(),
    latencyP50Us: at(0.5),
    latencyP99Us: at(0.99),
  };
}

/** The code of a run for the load server. @param {{ n: number, s: number, words?: string }} load */
export function codeOf({ n, s, words = "" }) {
  return `blast n=${n} s=${s} ${words}`.trim();
}

/** What the driver has put on the command line. */
export function task() {
  return JSON.parse(process.argv[2] ?? "");
}

/** Hands the figures to the driver. @param {object} figures */
export function report(figures) {
  process.stdout.write(`${JSON.stringify(figures)}\n`);
}

/** What etcd has to do for a cluster: the beats of so many servers, without the servers. */

import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { median } from "./statistics.ts";

/** As `agb-server` beats: every 2 s, a tenth more or less. */
const BEAT_MS = 2_000;

export interface RegistryLoad {
  /** From a beat to its answer, in ms. */
  readonly median: number;
  readonly p99: number;
  /** Processors that etcd has kept busy. */
  readonly cores: number;
  /** The answer to one beat, in KiB. */
  readonly answer: number;
  /** What etcd has sent, in MiB a second. */
  readonly sent: number;
}

/** Beats for so many servers; `pid` is etcd's, and `address` its host and port. */
export async function simulate(address: string, pid: number, servers: number, seconds: number): Promise<RegistryLoad> {
  const agent = new Agent({ keepAlive: true, maxSockets: servers });
  const took: number[] = [];
  const sizes: number[] = [];
  const end = performance.now() + seconds * 1_000 + BEAT_MS;
  let counted: { at: number; cpu: number } | undefined;
  const serve = async (name: string): Promise<void> => {
    await sleep(Math.random() * BEAT_MS); // they have not started at once
    let revision = "0";
    for (let n = 1; performance.now() < end; n += 1) {
      const begin = performance.now();
      const { text, kept } = await beat(agent, address, `${servers}-servers/`, name, revision, n);
      revision = kept;
      // Once all have joined.
      if (n > 1) {
        counted ??= { at: begin, cpu: cpu(pid) };
        took.push(performance.now() - begin);
        sizes.push(text.length);
      }
      await sleep(BEAT_MS * (0.9 + Math.random() * 0.2));
    }
  };
  await Promise.all(Array.from({ length: servers }, (_, at) => serve(`simulated-${at}`)));
  const time = (performance.now() - counted!.at) / 1_000;
  agent.destroy();
  const sorted = [...took].sort((one, other) => one - other);
  return {
    median: median(took),
    p99: sorted[Math.floor(sorted.length * 0.99)]!,
    cores: (cpu(pid) - counted!.cpu) / time,
    answer: median(sizes) / 1024,
    sent: sizes.reduce((sum, size) => sum + size, 0) / time / (1 << 20),
  };
}

/** One beat: the own record if it is at this revision, and all records, in one transaction. */
async function beat(agent: Agent, address: string, prefix: string, name: string, revision: string, n: number): Promise<{ text: string; kept: string }> {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const key = base64(`${prefix}nodes/${name}`);
  const all = { request_range: { key: base64(`${prefix}nodes/`), range_end: base64(`${prefix}nodes0`) } };
  const compare = revision === "0" ? { target: "VERSION", version: "0" } : { target: "MOD", mod_revision: revision };
  const put = { request_put: { key, value: base64(record(name, n)) } };
  const body = { compare: [{ key, result: "EQUAL", ...compare }], success: [put, all], failure: [all] };
  const text = await post(agent, `http://${address}/v3/kv/txn`, JSON.stringify(body));
  const answer = JSON.parse(text) as { succeeded?: boolean; header: { revision: string } };
  if (answer.succeeded !== true) {
    throw new Error(`the beat ${n} of ${name} was refused: ${text.slice(0, 200)}`);
  }
  return { text, kept: answer.header.revision };
}

/** As large as the record of a server with some images and callers. */
function record(name: string, n: number): string {
  const images = ["agb-code-space-1", "agb-code-space-2"];
  const warm = { python: 4, javascript: 2, r: 1, java: 1 };
  const spent = { default: n, alice: 812, bob: 3 };
  return JSON.stringify({
    v: 1, inc: "0123456789ab", addr: "http://10.0.123.45:8080", state: "up", n, started_ms: 1_796_000_000_000, lock: `${name} 0123456789abcdef0123456789abcdef`,
    strict: true, sessions: 941, max: 1_000, free_mem: 64_000_000_000, images, level: "namespaces", contexts: false, warm, keys: "a1b2c3d4", spent,
  });
}

function post(agent: Agent, url: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const sent = request(url, { method: "POST", agent, headers }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => (text += part));
      answer.on("end", () => resolve(text)).on("error", reject);
    });
    sent.on("error", reject).end(body);
  });
}

/** Processor time of a process, in seconds. */
function cpu(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

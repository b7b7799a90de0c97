/** What the server keeps in memory for a run that waits, and for one whose client is gone. */

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readlinkSync, statSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { AGB, Session, type SessionAccess, throwIfFailed } from "agbcloud-sdk";
import { ENVIRONMENT, privateKiB, program, type Server, startServer } from "./processes.ts";

/** Of one run, KiB. */
export interface RunMemory {
  readonly name: string;
  /** How many runs there were. */
  readonly runs: number;
  /** Private memory of the server's process, more than without the runs. */
  readonly memoryKiB: number;
  /** In the nameless files of the sessions' folders. */
  readonly fileKiB: number;
}

/** Each with a session of its own: enough that what the server keeps for itself does not count. */
const RUNS = 32;
/** What programs print once their client is gone, KiB: little, as much as is kept in memory by default, more. */
const PARKED = [64, 1024, 2048, 8192];
/** The client is gone after that, or the figure is none. A busy machine starts 32 runs in a second or two. */
const GONE_S = 10;
const WAITING = "input('? ')";

const apiKey = randomBytes(16).toString("hex");

/** A server of its own for each figure: memory that was given back to the allocator would hide what is taken. */
export async function measureMemory(addon: string): Promise<RunMemory[]> {
  const results = await withSessions(async (accesses, server, before) => {
    const client = await Client.start({ accesses, code: WAITING, until: "inputRequest" }, addon);
    const waiting = { name: "waits for input, its client is there", ...(await perRun(server, before)) };
    await client.kill();
    await gone(server, before.connections);
    return [waiting, { name: "waits for input, its client is gone", ...(await perRun(server, before)) }];
  });
  for (const kib of PARKED) {
    results.push(await withSessions((accesses, server, before) => parked(kib, accesses, server, before, addon)));
  }
  return results;
}

/** Programs that print so much once nobody is there; then all of it is read, so that it was there. */
async function parked(kib: number, accesses: SessionAccess[], server: Server, before: Figures, addon: string): Promise<RunMemory> {
  const lines = `'${"x".repeat(1023)}\\n' * ${kib}`;
  const code = `import sys, time\nprint('ready', flush=True)\ntime.sleep(${GONE_S})\nsys.stdout.write(${lines})\nsys.stdout.flush()\ntime.sleep(600)`;
  const began = performance.now();
  const client = await Client.start({ accesses, code, until: "stdout" }, addon);
  await client.kill();
  await gone(server, before.connections);
  if (performance.now() - began > GONE_S * 1000) {
    throw new Error(`the client was not gone within ${GONE_S} s: this machine is too busy for this figure`);
  }
  await new Promise((resolve) => setTimeout(resolve, GONE_S * 1000));
  const figures = await perRun(server, before);
  for (const [index, access] of accesses.entries()) {
    let characters = 0;
    for await (const event of Session.attach(access).code.attach(client.ids[index]!, { logLimit: 0 })) {
      if (event.type === "stdout" && (characters += event.text.replace("ready\n", "").length) === kib * 1024) break;
      if (event.type === "end") throw new Error(`${characters} characters came back of ${kib} KiB: ${event.result.errorMessage}`);
    }
  }
  return { name: `parked with ${kib} KiB of output`, ...figures };
}

interface Figures {
  readonly memoryKiB: number;
  readonly fileKiB: number;
  readonly connections: number;
}

/** Sessions whose interpreters are there, and whose clients have gone. */
async function withSessions<T>(work: (accesses: SessionAccess[], server: Server, before: Figures) => Promise<T>): Promise<T> {
  const args = ["serve", "--listen", "127.0.0.1:0", "--warm-max", "0", "--idle-timeout", "3600", "--unwatched-time", "3600"];
  const server = await startServer(program("agb-server"), args, { pinned: false, env: { AGB_API_KEY: apiKey, RUST_LOG: "warn" } });
  try {
    const agb = new AGB({ apiKey, config: { endpoint: server.endpoint } });
    const accesses: SessionAccess[] = [];
    for (let made = 0; made < RUNS; made++) {
      const { session } = throwIfFailed(await agb.create({ imageId: "agb-code-space-1" }));
      // Its interpreter is no part of what is measured. By a plain call: memory of WebSockets that were there before would
      // be taken again, and not be seen.
      const { success, errorMessage } = await session!.code.run("print(1)", "python");
      if (!success) throw new Error(errorMessage);
      accesses.push(throwIfFailed(await session!.browserAccess()).access!);
    }
    const connections = await metric(server, "agb_connections");
    return await work(accesses, server, { ...(await settled(server)), connections });
  } finally {
    await server.stop();
  }
}

/** A process with clients, which is killed. */
class Client {
  readonly ids: readonly string[];
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, ids: string[]) {
    this.#child = child;
    this.ids = ids;
  }

  static async start(task: object, addon: string): Promise<Client> {
    const path = fileURLToPath(new URL("resume-hold.mjs", import.meta.url));
    const child = spawn(process.execPath, [path, JSON.stringify(task)], {
      env: { ...ENVIRONMENT, AGB_NATIVE: addon },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface({ input: child.stdout! });
    const [line] = (await Promise.race([once(lines, "line"), once(child, "exit"), once(child, "error")])) as [unknown];
    if (typeof line !== "string") {
      throw new Error("a client ended before its runs were there");
    }
    return new Client(child, (JSON.parse(line) as { ids: string[] }).ids);
  }

  async kill(): Promise<void> {
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }
}

async function perRun(server: Server, before: Figures): Promise<Omit<RunMemory, "name">> {
  const { memoryKiB, fileKiB } = await settled(server);
  const going = await metric(server, "agb_runs");
  if (going !== RUNS) {
    throw new Error(`${going} of ${RUNS} runs are going on`);
  }
  return { runs: RUNS, memoryKiB: (memoryKiB - before.memoryKiB) / RUNS, fileKiB: (fileKiB - before.fileKiB) / RUNS };
}

/** What the server has once it changes no more: something may still be on its way into a file. */
async function settled(server: Server): Promise<{ memoryKiB: number; fileKiB: number }> {
  for (let before = { memoryKiB: 0, fileKiB: 0 }; ; ) {
    const now = { memoryKiB: privateKiB(server.pid), fileKiB: filesKiB(server.pid) };
    if (now.fileKiB === before.fileKiB && Math.abs(now.memoryKiB - before.memoryKiB) < 64) return now;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

/** Files that a process has open and that have no name any more. */
function filesKiB(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  let sum = 0;
  for (const name of readdirSync(folder)) {
    try {
      if (/\/spool-[0-9a-f]+ \(deleted\)$/.test(readlinkSync(`${folder}/${name}`))) sum += statSync(`${folder}/${name}`).blocks / 2;
    } catch {
      // It was closed meanwhile.
    }
  }
  return sum;
}

/** Waits until the server has seen that the others have gone. */
async function gone(server: Server, connections: number): Promise<void> {
  for (let tries = 0; tries < 1200; tries++) {
    if ((await metric(server, "agb_connections")) <= connections) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the server keeps connections of a client that is gone");
}

async function metric(server: Server, name: string): Promise<number> {
  const answer = await fetch(`${server.endpoint}/metrics`, { headers: { authorization: `Bearer ${apiKey}` } });
  return Number(new RegExp(`^${name} ([0-9]+)$`, "m").exec(await answer.text())![1]);
}

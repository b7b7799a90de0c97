/**
 * How fast sessions start, beside a bare interpreter, two sandboxes and Jupyter's kernel; how many a second; what an
 * idle one takes; and whether a thousand of them can be held.
 *
 * `cargo xtask bench start [--json] [--runs N] [--only PART]…` installs the peers (bubblewrap and runc from Debian,
 * ipykernel below `target`), prepares the default image and builds the server and `starts`, an example of
 * `crates/client`, which starts and times all of them. Parts: `first`, `churn`, `memory`, `hold`.
 */

import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { ENVIRONMENT, privateKiB, program, read, type Server, startServer } from "./processes.ts";
import { median, short, table } from "./statistics.ts";

/** A first output may take so many times as long as that of a bare `python3 -S -c 'print(1)'`. */
const GOAL_FIRST = 3;
/** Sessions created, used and deleted a second, on two processors. */
const GOAL_CHURN = 100;
/** Private memory of an idle Python session with pandas imported. */
const GOAL_MIB = 6;
/** Idle sessions at once. */
const GOAL_HELD = 1000;

const BARE = ["/usr/bin/python3", "-S", "-c", "print(1)"];
const PANDAS = "import pandas, matplotlib.pyplot\nprint(1)";
const PROGRAMS = [
  { name: "python", language: "python", code: "print(1)" },
  { name: "python, pandas and pyplot", language: "python", code: PANDAS },
  { name: "javascript", language: "javascript", code: "console.log(1)" },
  { name: "r", language: "r", code: "cat(1)" },
  { name: "java", language: "java", code: "System.out.println(1);" },
];
/** Sessions whose memory is measured: enough that what the server keeps for itself does not count. */
const MEASURED = 20;

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    runs: { type: "string", default: "15" },
    seconds: { type: "string", default: "8" },
    sessions: { type: "string", default: String(GOAL_HELD) },
    only: { type: "string", multiple: true, default: ["first", "churn", "memory", "hold"] },
  },
});
const runs = Number(options.runs);
const apiKey = randomBytes(16).toString("hex");
const images = fileURLToPath(new URL("../../target/images", import.meta.url));
const jupyter = fileURLToPath(new URL("../../target/bench/jupyter/bin/python", import.meta.url));

type Figures = Record<string, number>;

/** `starts`: it does one task at a time, with the real client. */
class Starts {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  constructor(endpoint: string) {
    this.#child = spawn(program("examples/starts"), [endpoint], { env: { ...ENVIRONMENT, AGB_API_KEY: apiKey } });
    this.#child.stderr.pipe(process.stderr);
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async do(task: object): Promise<Figures> {
    this.#child.stdin.write(`${JSON.stringify(task)}\n`);
    const line = await this.#lines.next();
    if (line.done === true) throw new Error(`the client ended at ${JSON.stringify(task)}`);
    return JSON.parse(line.value) as Figures;
  }

  async end(): Promise<void> {
    const ended = once(this.#child, "exit");
    this.#child.stdin.end();
    await ended;
  }
}

/** Does something with a server and a client of its own. */
async function withServer<T>(args: string[], work: (starts: Starts, server: Server) => Promise<T>): Promise<T> {
  const server = await startServer(program("agb-server"), ["serve", "--listen", "127.0.0.1:0", "--image-dir", images, ...args], {
    pinned: false,
    env: { AGB_API_KEY: apiKey, RUST_LOG: "warn" },
  });
  const starts = new Starts(server.endpoint);
  try {
    return await work(starts, server);
  } finally {
    await starts.end();
    await server.stop();
  }
}

/** Waits until an interpreter is ready. */
async function untilWarm(server: Server, language: string): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    const answer = await fetch(`${server.endpoint}/metrics`, { headers: { authorization: `Bearer ${apiKey}` } });
    const line = new RegExp(`^agb_warm_kernels\\{language="${language}"\\} ([0-9]+)$`, "m").exec(await answer.text());
    if (Number(line?.[1] ?? 0) > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no ${language} becomes warm`);
}

/** A bundle for runc: the system's `/usr`, read-only, and namespaces of its own, as our sandboxes have them. */
function runcBundle(): string {
  const folder = mkdtempSync(`${tmpdir()}/agb-bench-runc-`);
  for (const name of ["usr", "proc", "dev", "tmp"]) mkdirSync(`${folder}/rootfs/${name}`, { recursive: true });
  for (const name of ["bin", "lib", "lib64"]) symlinkSync(`usr/${name}`, `${folder}/rootfs/${name}`);
  const mount = (destination: string, type: string, source: string, options: string[] = []) => ({ destination, type, source, options });
  const config = {
    ociVersion: "1.0.2",
    process: { terminal: false, user: { uid: 0, gid: 0 }, args: BARE, env: ["PATH=/usr/bin"], cwd: "/", noNewPrivileges: true },
    root: { path: "rootfs", readonly: true },
    mounts: [mount("/usr", "bind", "/usr", ["rbind", "ro"]), mount("/proc", "proc", "proc"), mount("/dev", "tmpfs", "tmpfs"), mount("/tmp", "tmpfs", "tmpfs")],
    linux: { namespaces: ["pid", "mount", "ipc", "uts", "network"].map((type) => ({ type })) },
  };
  writeFileSync(`${folder}/config.json`, JSON.stringify(config));
  return folder;
}

const LINKS = ["bin", "lib", "lib64"].flatMap((name) => ["--symlink", `usr/${name}`, `/${name}`]);
const BWRAP = ["bwrap", "--ro-bind", "/usr", "/usr", ...LINKS, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--unshare-all", "--die-with-parent", ...BARE];
/** What is started as a program is. */
const SPAWNED = [
  { name: "python3 -S, bare", command: BARE },
  ...(existsSync("/usr/bin/bwrap") ? [{ name: "bwrap", command: BWRAP }] : []),
];

/** From the start of ipykernel to its first output, milliseconds; its own client is not counted. */
const IPYKERNEL = `
import time
import jupyter_client.manager
begin = time.perf_counter()
manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3")
client.execute("print(1)")
while client.get_iopub_msg(timeout=60)["msg_type"] != "stream": pass
print((time.perf_counter() - begin) * 1e3)
client.stop_channels()
manager.shutdown_kernel(now=True)
`;

interface First {
  name: string;
  createMs?: number;
  firstMs: number;
  deleteMs?: number;
  beside: number;
}

/** The time to the first output, of all in turn. */
async function measureFirst(): Promise<{ results: First[]; notes: string[] }> {
  const notes: string[] = [];
  const bundle = runcBundle();
  const all = new Map<string, Figures[]>();
  const add = (name: string, figures: Figures): unknown => (all.get(name)?.push(figures) ?? all.set(name, [figures]));
  let count = 0;
  const peers: { name: string; command: () => string[]; gone?: true }[] = [
    { name: "python3 -S, bare", command: () => BARE },
    { name: "bwrap", command: () => BWRAP },
    { name: "runc", command: () => ["runc", "run", "--bundle", bundle, `agb-bench-${process.pid}-${count++}`] },
  ];
  const warm = "our session, warm: ";
  const cold = "our session, cold: ";
  try {
    await withServer([], (starts, server) =>
      withServer(["--warm-max", "0"], async (coldStarts) => {
        for (let run = -1; run < runs; run++) {
          for (const peer of peers) {
            if (peer.gone) continue;
            try {
              const figures = await starts.do({ do: "spawn", command: peer.command() });
              if (run >= 0) add(peer.name, figures);
            } catch (error) {
              if (peer.name.startsWith("python3")) throw error;
              peer.gone = true;
              notes.push(`${peer.name} cannot be measured here: ${String(error)}`);
            }
          }
          for (const { name, language, code } of PROGRAMS) {
            // The first of each language is how the pool hears of it.
            if (run >= 0) await untilWarm(server, language);
            const figures = await starts.do({ do: "first", language, code });
            if (run >= 0) add(warm + name, figures);
            if (run >= 0) add(cold + name, await coldStarts.do({ do: "first", language, code }));
          }
          if (run >= 0 && run < 3 && existsSync(jupyter)) {
            const { stdout } = await promisify(execFile)(jupyter, ["-c", IPYKERNEL], { env: ENVIRONMENT, timeout: 120_000 });
            add("ipykernel", { firstMs: Number(stdout) });
          }
        }
      }),
    );
  } finally {
    rmSync(bundle, { recursive: true });
  }
  if (!existsSync(jupyter)) notes.push("ipykernel is not there");
  const of = (name: string, figure: string): number => median(all.get(name)!.map((figures) => figures[figure]!));
  const bare = of(peers[0]!.name, "firstMs");
  const order = [...peers.map(({ name }) => name), "ipykernel", ...PROGRAMS.map(({ name }) => warm + name), ...PROGRAMS.map(({ name }) => cold + name)];
  const results = order
    .filter((name) => all.has(name))
    .map((name) => {
      const firstMs = of(name, "firstMs");
      const session = name.startsWith("our") ? { createMs: of(name, "createMs"), deleteMs: of(name, "deleteMs") } : {};
      return { name, ...session, firstMs, beside: firstMs / bare };
    });
  return { results, notes };
}

/** The processes below this one, and their private memory in MiB. */
function below(pid: number): { processes: number; privateMiB: number } {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const stat = read(`/proc/${entry}/stat`);
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
  }
  const found: number[] = [];
  for (let next = children.get(pid) ?? []; next.length > 0; next = next.flatMap((one) => children.get(one) ?? [])) found.push(...next);
  const kib = found.reduce((sum, one) => sum + privateKiB(one), 0);
  return { processes: found.length, privateMiB: kib / 1024 };
}

/** The same once it changes no more: something may still be made in the background. */
async function settled(pid: number): Promise<ReturnType<typeof below>> {
  for (let before = below(pid); ; ) {
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const now = below(pid);
    if (now.processes === before.processes && Math.abs(now.privateMiB - before.privateMiB) < 1) return now;
    before = now;
  }
}

interface Memory {
  name: string;
  programsMiB: number;
  serverMiB: number;
  processes: number;
}

/** What an idle session takes. */
async function measureMemory(): Promise<Memory[]> {
  const results: Memory[] = [];
  for (const { name, language, code } of PROGRAMS) {
    results.push(
      await withServer(["--warm-max", "0"], async (starts, server) => {
        // What is made once is no session's: the process that others are copied from. Its memory is its own until it has
        // been copied, and then it is theirs as well: so there is a copy before anything is counted.
        for (const sessions of [1, 2]) {
          await starts.do({ do: "hold", sessions, parallel: 1, language, code });
          await settled(server.pid);
        }
        const [before, own] = [await settled(server.pid), privateKiB(server.pid)];
        await starts.do({ do: "hold", sessions: MEASURED, parallel: 2, language, code });
        const [after, ownAfter] = [await settled(server.pid), privateKiB(server.pid)];
        await starts.do({ do: "drop", parallel: 4 });
        return {
          name,
          programsMiB: (after.privateMiB - before.privateMiB) / MEASURED,
          serverMiB: (ownAfter - own) / 1024 / MEASURED,
          processes: (after.processes - before.processes) / MEASURED,
        };
      }),
    );
  }
  return results;
}

interface Churn {
  name: string;
  parallel: number;
  perSecond: number;
  firstMs?: number;
}

/** As many as get through in some seconds, in turn: the machine may be busy, and what is bare shows how much. */
async function measureChurn(): Promise<Churn[]> {
  return withServer([], async (starts) => {
    const results: Churn[] = [];
    const seconds = Number(options.seconds);
    for (const parallel of [1, 2, 4, 8]) {
      for (const { name, command } of SPAWNED) {
        const { perSecond } = await starts.do({ do: "spawns", parallel, seconds: seconds / 2, command });
        results.push({ name, parallel, perSecond: perSecond! });
      }
      const { perSecond, firstMs } = await starts.do({ do: "churn", parallel, seconds, language: "python", code: "print(1)" });
      results.push({ name: "our session", parallel, perSecond: perSecond!, firstMs: firstMs! });
    }
    return results;
  });
}

/** Many idle sessions at once. */
async function measureHold(): Promise<Figures> {
  const sessions = Number(options.sessions);
  const args = ["--max-sessions", String(sessions + 100), "--max-connections", String(2 * sessions), "--idle-timeout", "3600", "--warm-max", "0"];
  return withServer(args, async (starts, server) => {
    const before = below(server.pid);
    const { held, seconds } = await starts.do({ do: "hold", sessions, parallel: 4, language: "python", code: "x = 1\nprint(x)" });
    const after = below(server.pid);
    const descriptors = readdirSync(`/proc/${server.pid}/fd`).length;
    const asked = await starts.do({ do: "ask", parallel: 4, language: "python", code: "print(x + 1)" });
    const dropped = await starts.do({ do: "drop", parallel: 4 });
    return {
      sessions,
      held: held!,
      answered: asked["answered"]!,
      deleted: dropped["deleted"]!,
      holdSeconds: seconds!,
      askSeconds: asked["seconds"]!,
      dropSeconds: dropped["seconds"]!,
      programsMiB: after.privateMiB - before.privateMiB,
      serverMiB: privateKiB(server.pid) / 1024,
      descriptors,
    };
  });
}

const wants = (part: string): boolean => options.only.includes(part);
const first = wants("first") ? await measureFirst() : undefined;
const churn = wants("churn") ? await measureChurn() : undefined;
const memory = wants("memory") ? await measureMemory() : undefined;
const hold = wants("hold") ? await measureHold() : undefined;

const goals: { goal: string; value: number; bound: string; reached: boolean }[] = [];
for (const { name, firstMs, beside } of first?.results ?? []) {
  if (!name.includes("warm: python")) continue;
  goals.push({ goal: `${name}, first output beside bare python3`, value: beside, bound: `at most ${GOAL_FIRST} × (${short(firstMs)} ms)`, reached: beside <= GOAL_FIRST });
}
if (churn !== undefined) {
  const most = Math.max(...churn.filter(({ name }) => name === "our session").map(({ perSecond }) => perSecond));
  goals.push({ goal: `sessions created, used and deleted a second (${cpus().length} processors)`, value: most, bound: `at least ${GOAL_CHURN}`, reached: most >= GOAL_CHURN });
}
if (memory !== undefined) {
  const { programsMiB } = memory.find(({ name }) => name.includes("pandas"))!;
  goals.push({ goal: "private memory of an idle Python session with pandas, MiB", value: programsMiB, bound: `at most ${GOAL_MIB}`, reached: programsMiB <= GOAL_MIB });
}
if (hold !== undefined) {
  const value = Math.min(hold["held"]!, hold["answered"]!, hold["deleted"]!);
  goals.push({ goal: "idle sessions held at once, each of which answers", value, bound: `at least ${GOAL_HELD}`, reached: value >= GOAL_HELD });
}

if (options.json) {
  console.log(JSON.stringify({ node: process.version, processors: cpus().length, runs, first, churn, memory, hold, goals }, null, 2));
} else {
  const parts = [];
  const number = (value: number | undefined): string => (value === undefined ? "" : short(value));
  if (first !== undefined) {
    const rows = first.results.map(({ name, createMs, firstMs, deleteMs, beside }) => [name, number(createMs), short(firstMs), `${beside.toFixed(2)} ×`, number(deleteMs)]);
    parts.push(table([[`medians of ${runs}, ms`, "created", "first output", "beside bare", "deleted"], ...rows]), ...first.notes);
  }
  if (churn !== undefined) {
    const rows = churn.map(({ name, parallel, perSecond, firstMs }) => [`${name}, ${parallel} at once`, short(perSecond), number(firstMs)]);
    parts.push(table([["print(1)", "a second", "first output, ms"], ...rows]));
  }
  if (memory !== undefined) {
    const rows = memory.map(({ name, programsMiB, serverMiB, processes }) => [name, short(programsMiB), short(serverMiB), processes.toFixed(1)]);
    parts.push(table([["an idle session", "private MiB", "of the server, MiB", "processes"], ...rows]));
  }
  if (hold !== undefined) {
    const name = (key: string): string => key.replace(/MiB$/, ", MiB").replace(/Seconds$/, ", seconds");
    parts.push(table([["idle sessions at once", ""], ...Object.entries(hold).map(([key, value]) => [name(key), String(Math.round(value * 10) / 10)])]));
  }
  parts.push(goals.map(({ goal, value, bound, reached }) => `${goal}: ${short(value)}, ${bound}: ${reached ? "reached" : "missed"}`).join("\n"));
  console.log(parts.join("\n\n"));
}

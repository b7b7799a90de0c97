/** Starts what is measured, and what it is measured against, in a clean environment. */

import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** A server of the project that says where it listens. */
export interface Server {
  readonly endpoint: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/**
 * What a measured process sees of ours. `NODE_EXTRA_CA_CERTS` would slow down each start, `NODE_OPTIONS` and `AGB_*`
 * change what is measured.
 */
export const ENVIRONMENT = { PATH: process.env["PATH"], HOME: process.env["HOME"] };

/** A program of `target/release`. */
export function program(name: string): string {
  return fileURLToPath(new URL(`../../target/release/${name}`, import.meta.url));
}

/** Starts a server that prints `… listening on URL`, on one processor of its own where `taskset` is there. */
export async function startServer(command: string, args: string[], options: { pinned: boolean; env?: Record<string, string> }): Promise<Server> {
  const words = options.pinned && canPin() ? ["taskset", "-c", String(cpus().length - 1), command, ...args] : [command, ...args];
  const child: ChildProcess = spawn(words[0]!, words.slice(1), {
    env: { ...ENVIRONMENT, ...options.env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let found: RegExpExecArray | null = null;
  let line = "";
  // One iterator over all lines: a gateway says before where it leads, and both may come at once.
  for await (line of createInterface({ input: child.stdout! })) {
    found = / listening on (http:\/\/\S+)$/.exec(line);
    if (found !== null || !line.includes(" is a gateway to ")) {
      break;
    }
  }
  if (found === null) {
    throw new Error(`${command} did not start: ${line}`);
  }
  child.stdout!.resume(); // what is said later must not fill the pipe
  return {
    endpoint: found[1]!,
    pid: child.pid!,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, "exit");
        child.kill("SIGTERM");
        await ended;
      }
    },
  };
}

/** Whether the load server has a processor of its own. */
export function canPin(): boolean {
  return cpus().length > 1 && spawnSync("taskset", ["--version"]).status === 0;
}

/**
 * The addon that `cargo build --release -p agb-node` leaves, under a name that Node loads. The one in the checkout's
 * package may be another build, made for tests.
 */
export function releaseAddon(): string {
  const folder = fileURLToPath(new URL("../../target/bench", import.meta.url));
  mkdirSync(folder, { recursive: true });
  copyFileSync(program("libagb_node.so"), `${folder}/agbcloud-sdk.node`);
  return `${folder}/agbcloud-sdk.node`;
}

/** Runs a measured process to its end and gives what it reported. `addon`: which one, if not the package's own. */
export async function runMeasured(script: string, task: object, addon: string | null): Promise<unknown> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  // One minute is many times what a case takes.
  const env = addon === null ? ENVIRONMENT : { ...ENVIRONMENT, AGB_NATIVE: addon };
  const options = { env, timeout: 60_000, killSignal: "SIGKILL" } as const;
  const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", path, JSON.stringify(task)], options);
  return JSON.parse(stdout);
}

/** Memory that a process has to itself. */
export function privateKiB(pid: number): number {
  const fields = read(`/proc/${pid}/smaps_rollup`).matchAll(/^(?:Private_Clean|Private_Dirty):\s+(\d+) kB$/gm);
  return [...fields].reduce((sum, [, kib]) => sum + Number(kib), 0);
}

/** What a file of the system's says; nothing if the process has ended. */
export function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

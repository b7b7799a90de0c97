/** Three servers that act as one, on an etcd, behind a balancer that knows nothing of sessions. */

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { freePort } from "./free-port.js";
import { type LocalServer, PROGRAM, startServerWithKey } from "./local-server.js";

/** Clients reach it at its balancer; `pid` is the balancer's. */
export interface LocalCluster extends LocalServer {
  readonly servers: LocalServer[];
}

export async function startCluster(...args: string[]): Promise<LocalCluster> {
  const apiKey = randomBytes(16).toString("hex");
  const folder = mkdtempSync(join(tmpdir(), "agb-cluster-"));
  const etcd = await startEtcd(join(folder, "etcd"));
  const servers: LocalServer[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop()));
    await etcd.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    for (const name of ["one", "two", "three"]) {
      servers.push(await startServerWithKey(apiKey, "--cluster", etcd.url, "--node-name", name, "--data-dir", folder, ...args));
    }
    await Promise.all(servers.map(({ endpoint }) => knows(endpoint, apiKey, servers.length)));
    const balancer = await startBalancer(servers.map(({ endpoint }) => new URL(endpoint).host));
    return { endpoint: balancer.endpoint, apiKey, pid: balancer.child.pid!, servers, stop: () => ended(balancer.child).then(stop) };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Kills a server that passes a WebSocket on, which is none that has the session. Says how many: 0 or 1. */
export async function killEntry({ servers, apiKey }: LocalCluster): Promise<number> {
  for (const server of servers) {
    if (/^agb_tunnels [1-9]/m.test(await metrics(server.endpoint, apiKey))) {
      process.kill(server.pid, "SIGKILL");
      return 1;
    }
  }
  return 0;
}

/** One member of etcd, which `cargo xtask` has unpacked, with what `--cluster` takes. */
export async function startEtcd(folder: string): Promise<{ url: string; pid: number; stop(): Promise<void> }> {
  const unpacked = fileURLToPath(new URL("../../target/tools/etcd-server/usr/bin/etcd", import.meta.url));
  const program = process.env["AGB_ETCD"] ?? (existsSync(unpacked) ? unpacked : "etcd");
  const [client, peer] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const args = ["--data-dir", folder, "--listen-client-urls", `http://${client}`, "--advertise-client-urls", `http://${client}`];
  args.push("--listen-peer-urls", `http://${peer}`, "--initial-advertise-peer-urls", `http://${peer}`, "--initial-cluster", `default=http://${peer}`);
  const child = spawn(program, args, { env: { PATH: process.env["PATH"] }, stdio: "ignore" });
  child.on("error", () => undefined); // it has no exit code then, and does not answer
  for (const deadline = performance.now() + 30_000; ; ) {
    const answer = await fetch(`http://${client}/health`).catch(() => null);
    if (answer?.ok) {
      return { url: `etcd://${client}/agb`, pid: child.pid!, stop: () => ended(child) };
    }
    if (performance.now() > deadline || child.exitCode !== null) {
      await ended(child);
      throw new Error(`${program} did not start`);
    }
    await sleep(50);
  }
}

async function startBalancer(servers: string[]): Promise<{ endpoint: string; child: ChildProcess }> {
  const child = spawn(join(dirname(PROGRAM), "agb-balancer"), servers, { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = (await once(createInterface({ input: child.stdout! }), "line")) as [string];
  return { endpoint: / listening on (\S+)$/.exec(line)![1]!, child };
}

/** Waits until a server knows of so many. */
async function knows(endpoint: string, apiKey: string, count: number): Promise<void> {
  for (const deadline = performance.now() + 60_000; performance.now() < deadline; await sleep(100)) {
    if ((await metrics(endpoint, apiKey)).includes(`\nagb_cluster_nodes{state="up"} ${count}\n`)) {
      return;
    }
  }
  throw new Error(`${endpoint} does not know ${count} servers`);
}

async function metrics(endpoint: string, apiKey: string): Promise<string> {
  const answer = await fetch(`${endpoint}/metrics`, { headers: { authorization: `Bearer ${apiKey}` } });
  return answer.text();
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
    const end = once(child, "exit");
    child.kill("SIGKILL");
    await end;
  }
}

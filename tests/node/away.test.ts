/**
 * A network that goes away and comes back, and a server or a client that sleeps: each line once, each interruption told,
 * over a WebSocket and by event streams. And `localhost`, wherever its server listens.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { networkInterfaces } from "node:os";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { AGB, type AGBConfig, type Session } from "agbcloud-sdk";
import { type LocalServer, newSession, startServer } from "./local-server.ts";
import { Network, type NetworkOptions, TRANSPORTS } from "./network.ts";

/** As long as a lift or a tunnel takes. */
const AWAY_MS = 20_000;
/** After so long a silent connection counts as lost, by default. */
const SILENCE_MS = 25_000;
/** Longer than the limits of who is to notice it. */
const ASLEEP_MS = 5_000;
/** Limits by which a silent service is noticed within two seconds. */
const QUICK = { heartbeatS: 0.5, silenceS: 2 };

let server: LocalServer;
const networks: Network[] = [];
before(async () => {
  server = await startServer();
});
after(async () => {
  networks.forEach((network) => network.close());
  await server?.stop();
});

async function through(from: LocalServer, options: NetworkOptions): Promise<Network> {
  const network = await Network.start(from.endpoint, options);
  networks.push(network);
  return network;
}

async function sessionAt(from: LocalServer, endpoint: string, config: AGBConfig = {}): Promise<Session> {
  return newSession(new AGB({ apiKey: from.apiKey, config: { endpoint, ...config } }));
}

/** A program of numbered lines that marks each time it is run. */
function numbered(lines: number, everyMs: number): string {
  return `import time\nopen("starts", "a").write("x")\nfor i in range(${lines}):\n    print(i, flush=True)\n    time.sleep(${everyMs / 1_000})`;
}

/** Follows such a program; `during` begins with its third line. Every line comes once, and it is run once. */
async function follow(session: Session, lines: number, everyMs: number, during: () => Promise<void>): Promise<{ interruptions: number; told: string[] }> {
  const run = session.code.stream(numbered(lines, everyMs), "python", { timeoutS: 120 });
  const told: string[] = [];
  let text = "";
  let meanwhile: Promise<void> | undefined;
  for await (const event of run) {
    if (event.type === "stdout") {
      text += event.text;
      if (text.includes("2\n")) {
        meanwhile ??= during();
      }
    } else if (event.type === "error") {
      told.push(event.error.code ?? event.error.message);
    } else if (event.type === "reconnected") {
      told.push("reconnected");
    }
  }
  await meanwhile;
  const result = await run.result;
  assert(result.success, result.errorMessage);
  assert.equal(text, Array.from({ length: lines }, (_, i) => `${i}\n`).join(""));
  const starts = await session.code.run("open('starts').read()", "python", 60);
  assert.equal(starts.results[0]?.text, "'x'", `it is run once: ${starts.errorMessage}`);
  return { interruptions: result.interruptions, told };
}

describe("away and back", { concurrency: true }, () => {
  for (const { name, refusesSockets } of TRANSPORTS) {
    for (const connections of ["kept", "forgotten"] as const) {
      it(`a network that is away for 20 s and has ${connections} its connections, with ${name}`, async () => {
        const network = await through(server, { refusesSockets });
        const session = await sessionAt(server, `http://127.0.0.1:${network.port}`);
        let awayMs = 0;
        const { interruptions, told } = await follow(session, 90, 250, async () => {
          const left = performance.now();
          network.leave();
          await sleep(AWAY_MS / 2);
          const call = session.file.write("/tmp/meanwhile", "written"); // over a connection of its own
          await sleep(AWAY_MS / 2);
          network.back(connections);
          awayMs = performance.now() - left;
          const written = await call;
          assert(written.success, written.errorMessage);
        });
        if (connections === "kept" && awayMs < SILENCE_MS - 2_000) {
          assert.deepEqual([interruptions, told], [0, []], "it was away for less than the limit of silence");
        } else {
          assert.equal(interruptions, 1);
          assert.equal(told.length, 2, told.join());
          assert.match(told.join(), /^CONNECTION_\w+,reconnected$/);
        }
      });
    }

    it(`a server that sleeps, with ${name}`, async () => {
      const own = await startServer("--heartbeat", "1");
      try {
        const network = await through(own, { refusesSockets });
        const session = await sessionAt(own, `http://127.0.0.1:${network.port}`, { streaming: QUICK });
        const { interruptions, told } = await follow(session, 60, 100, async () => {
          process.kill(own.pid, "SIGSTOP");
          const call = session.file.write("/tmp/meanwhile", "written");
          await sleep(ASLEEP_MS);
          process.kill(own.pid, "SIGCONT");
          const written = await call;
          assert(written.success, written.errorMessage);
        });
        assert.equal(interruptions, 1);
        assert.match(told.join(), /^CONNECTION_\w+,reconnected$/);
      } finally {
        process.kill(own.pid, "SIGCONT");
        await own.stop();
      }
    });

    it(`a client that sleeps, with ${name}`, async () => {
      const own = await startServer("--heartbeat", "1", "--silence-timeout", "2");
      try {
        const network = await through(own, { refusesSockets });
        const config = { endpoint: `http://127.0.0.1:${network.port}`, streaming: QUICK, lines: 60, everyS: 0.1 };
        const { created, run } = await inChild(own, config, async (child) => {
          process.kill(child, "SIGSTOP");
          await sleep(ASLEEP_MS);
          process.kill(child, "SIGCONT");
        });
        assert(created.success && run.success, created.message + run.message);
        assert.equal(run.stdout, Array.from({ length: 60 }, (_, i) => `${i}\n`).join(""));
        assert(run.interruptions <= 1 && run.errors.length === run.interruptions, `${run.interruptions}: ${run.errors.join()}`);
      } finally {
        await own.stop();
      }
    });
  }
});

interface Report {
  readonly created: { readonly success: boolean; readonly message: string };
  readonly run: { readonly success: boolean; readonly message: string; readonly stdout: string; readonly interruptions: number; readonly errors: string[] };
}

/** Runs a program in a process of its own; `during` begins with its first line. */
async function inChild(from: LocalServer, config: object, during: (pid: number) => Promise<void>): Promise<Report> {
  const child = spawn(process.execPath, [fileURLToPath(new URL("./networks-child.mjs", import.meta.url)), JSON.stringify(config)], {
    env: { PATH: process.env["PATH"], AGB_API_KEY: from.apiKey },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said: string[] = [];
  let meanwhile = Promise.resolve();
  createInterface({ input: child.stderr }).on("line", (line) => {
    said.push(line);
    if (line === "begun") {
      meanwhile = during(child.pid!);
    }
  });
  createInterface({ input: child.stdout }).on("line", (line) => said.push(line));
  await new Promise((resolve) => child.once("close", resolve));
  await meanwhile;
  assert(said.includes("begun"), said.join("\n"));
  return JSON.parse(said.find((line) => line.startsWith("{"))!) as Report;
}

describe("localhost", { concurrency: true }, () => {
  const hasIPv6 = Object.values(networkInterfaces()).flat().some((address) => address?.address === "::1");
  for (const hosts of [["127.0.0.1"], ["::1"], ["127.0.0.1", "::1"]]) {
    for (const { name, refusesSockets } of TRANSPORTS) {
      const skip = hosts.includes("::1") && !hasIPv6 ? "this machine has no ::1" : false;
      it(`is ${hosts.join(" and ")}, with ${name} and calls`, { skip }, async () => {
        const network = await through(server, { hosts, refusesSockets });
        const session = await sessionAt(server, `http://localhost:${network.port}`);
        const { interruptions } = await follow(session, 5, 10, async () => {});
        assert.equal(interruptions, 0);
        assert((await session.file.write("/tmp/a", "b")).success);
        assert.equal((await session.file.read("/tmp/a")).content, "b");
        assert(network.sockets > 0);
      });
    }
  }
});

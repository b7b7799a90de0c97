/**
 * Clocks that are set by hours while a run goes on, on the server's side and on the client's: nothing is late, lost or
 * released by them. Debian's libfaketime sets the wall clock of one process, and leaves its monotonic clock alone.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { arch, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { AGB, Session } from "agbcloud-sdk";
import { type LocalServer, newSession, startServer, startServerWith } from "./local-server.ts";
import { Network, TRANSPORTS } from "./network.ts";

const TRIPLET = `${arch() === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
/** `cargo xtask test --only node` unpacks it. */
const LIBRARY = fileURLToPath(new URL(`../../target/tools/libfaketime/usr/lib/${TRIPLET}/faketime/libfaketime.so.1`, import.meta.url));
const JUMPS = ["+5h", "-5h", "+0"];
const HOURS = 3_600_000;

let folder: string;
const networks: Network[] = [];
before(() => {
  assert(existsSync(LIBRARY), `${LIBRARY} is missing: cargo xtask test --only node unpacks it`);
  folder = mkdtempSync(join(tmpdir(), "agb-clocks-"));
});
after(() => {
  networks.forEach((network) => network.close());
  rmSync(folder, { recursive: true, force: true });
});

/** A wall clock that can be set, and the environment of the process that has it. */
class WallClock {
  readonly #file: string;
  readonly env: Record<string, string>;

  constructor(name: string) {
    this.#file = join(folder, name);
    this.set("+0");
    this.env = { LD_PRELOAD: LIBRARY, FAKETIME_TIMESTAMP_FILE: this.#file, FAKETIME_NO_CACHE: "1", FAKETIME_DONT_FAKE_MONOTONIC: "1" };
  }

  set(offset: string): void {
    writeFileSync(this.#file, offset);
  }
}

async function through(server: LocalServer, refusesSockets: boolean): Promise<string> {
  const network = await Network.start(server.endpoint, { refusesSockets });
  networks.push(network);
  return `http://127.0.0.1:${network.port}`;
}

describe("clocks that jump by hours", { concurrency: true }, () => {
  for (const { name, refusesSockets } of TRANSPORTS) {
    it(`on the server, with ${name}`, async () => {
      const clock = new WallClock(`server-${refusesSockets}`);
      const server = await startServerWith(clock.env);
      try {
        const endpoint = await through(server, refusesSockets);
        const agb = new AGB({ apiKey: server.apiKey, config: { endpoint } });
        const [session, idle] = [await newSession(agb), await newSession(agb)];
        const { access } = await session.browserAccess();
        const page = Session.attach(access!);
        const code = "import time\nfor i in range(40):\n    print(i, flush=True)\n    time.sleep(0.1)";
        const run = page.code.stream(code, "python", { timeoutS: 60 });
        const [jumps, told] = [[...JUMPS], [] as string[]];
        let [text, stamps] = ["", [] as number[]];
        for await (const event of run) {
          if (event.type === "stdout") {
            text += event.text;
            stamps.push(event.time ?? 0);
            if (text.split("\n").length % 10 === 0) {
              clock.set(jumps.shift() ?? "+0");
            }
          } else if (event.type !== "end") {
            told.push(event.type);
          }
        }
        const result = await run.result;
        assert(result.success, result.errorMessage);
        assert.equal(text, Array.from({ length: 40 }, (_, i) => `${i}\n`).join(""));
        assert.deepEqual([result.interruptions, told], [0, []]);
        assert(result.executionTime > 3 && result.executionTime < 60, `${result.executionTime} s`);
        const [first, last] = [Math.min(...stamps), Math.max(...stamps)];
        assert(last - first > 4 * HOURS, "the server's clock was set");
        for (const jump of JUMPS) {
          clock.set(jump);
          const other = await idle.code.run("1 + 1", "python", 30); // was not released, though hours have passed
          assert.equal(other.results[0]?.text, "2", other.errorMessage);
          const again = await page.code.run("2 + 2", "python", 30, { onStdout: () => {} }); // its access goes on
          assert.equal(again.results[0]?.text, "4", again.errorMessage);
        }
      } finally {
        await server.stop();
      }
    });

    it(`on the client, with ${name}`, async () => {
      const clock = new WallClock(`client-${refusesSockets}`);
      const server = await startServer();
      try {
        const config = { endpoint: await through(server, refusesSockets), lines: 40, everyS: 0.1 };
        const script = fileURLToPath(new URL("./networks-child.mjs", import.meta.url));
        const child = spawn(process.execPath, [script, JSON.stringify(config)], {
          env: { PATH: process.env["PATH"], AGB_API_KEY: server.apiKey, AGB_SAY: "clock", ...clock.env },
          stdio: ["ignore", "pipe", "pipe"],
        });
        const jumps = [...JUMPS];
        const [said, clocks] = [[] as string[], [] as number[]];
        createInterface({ input: child.stdout }).on("line", (line) => said.push(line));
        createInterface({ input: child.stderr }).on("line", (line) => {
          const [, time] = /^clock (\d+)$/.exec(line) ?? [];
          if (time === undefined) {
            said.push(line);
          } else if (clocks.push(Number(time)) % 10 === 0) {
            clock.set(jumps.shift() ?? "+0");
          }
        });
        await new Promise((resolve) => child.once("close", resolve));
        assert(said.some((line) => line.startsWith("{")), said.join("\n"));
        const { created, run } = JSON.parse(said.find((line) => line.startsWith("{"))!) as Record<string, { success: boolean; message: string; stdout: string; interruptions: number; errors: string[] }>;
        assert(created!.success && run!.success, created!.message + run!.message);
        assert.equal(run!.stdout, Array.from({ length: 40 }, (_, i) => `${i}\n`).join(""));
        assert.deepEqual([run!.interruptions, run!.errors], [0, []]);
        assert(Math.max(...clocks) - Math.min(...clocks) > 4 * HOURS, "the client's clock was set");
      } finally {
        await server.stop();
      }
    });
  }
});

/**
 * `npx agbcloud-local [arguments]`: becomes the server program, as far as a Node process can. Without arguments it
 * serves.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { constants } from "node:os";
import { serverPath, startFault } from "./server-path.js";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

function main(): void {
  const given = process.argv.slice(2);
  // What the program tells a person to run is what the person ran.
  const env = { ...process.env, AGB_COMMAND_NAME: process.env["AGB_COMMAND_NAME"] ?? "npx agbcloud-local" };
  const child = spawn(serverPath(), given.length === 0 ? ["serve"] : given, { env, stdio: "inherit" });
  for (const signal of SIGNALS) {
    process.on(signal, () => child.kill(signal));
  }
  child.once("error", (error) => fail(`agbcloud-local: ${child.spawnfile} cannot be started: ${startFault(child.spawnfile, error)}`));
  child.once("exit", (code, signal) => {
    process.exitCode = signal === null ? (code ?? 1) : 128 + constants.signals[signal];
  });
}

function fail(message: string): void {
  console.error(message);
  process.exitCode = 1;
}

try {
  main();
} catch (error) {
  fail(error instanceof Error ? error.message : String(error));
}

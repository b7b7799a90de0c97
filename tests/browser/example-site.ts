/** An example with a page and a server of its own, as its users start it. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export class ExampleSite {
  private constructor(
    readonly process: ChildProcess,
    readonly address: string,
  ) {}

  /**
   * Starts an example and waits for the address that it prints.
   *
   * @param file - in `examples`; by default the page with the editor, which `cargo xtask demo --browser` shows
   */
  static async start(endpoint: string, apiKey: string, file = "browser/server.ts"): Promise<ExampleSite> {
    const site = spawn(process.execPath, ["--import", "tsx", file], {
      cwd: `${ROOT}examples`,
      env: { ...process.env, AGB_ENDPOINT: endpoint, AGB_API_KEY: apiKey, PORT: "0" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    return ExampleSite.#of(site);
  }

  /** The page with the editor as `cargo xtask demo` starts it, with all that stands behind it. Nothing is built. */
  static async demo(...options: string[]): Promise<ExampleSite> {
    const site = spawn(`${ROOT}target/debug/xtask`, ["demo", "--browser", ...options, "--no-build"], {
      cwd: ROOT,
      env: { ...process.env, PORT: "0" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    return ExampleSite.#of(site);
  }

  static async #of(site: ChildProcess): Promise<ExampleSite> {
    const lines = createInterface({ input: site.stdout! });
    const address = await new Promise<string>((resolve, reject) => {
      lines.on("line", (line) => line.startsWith("http") && resolve(line)); // among what Vite says
      lines.on("close", () => reject(new Error("the page's server ended without an address")));
    });
    return new ExampleSite(site, address);
  }

  /** @param signal - SIGINT is what Ctrl+C sends */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const ended = once(this.process, "exit");
      this.process.kill(signal);
      await ended;
    }
  }
}

/** A process that has not ended. */
export interface Living {
  readonly id: number;
  readonly name: string;
  /** Which one of this id. */
  readonly started: string;
}

/** The processes that this one has started, and those that they have. */
export function descendants(ancestor: number): Living[] {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap(readProcess);
  const found = new Set([ancestor]);
  for (let before = 0; before < found.size; ) {
    before = found.size;
    all.filter(({ parent }) => found.has(parent)).forEach(({ id }) => found.add(id));
  }
  return all.filter(({ id }) => id !== ancestor && found.has(id));
}

export function isAlive({ id, started }: Living): boolean {
  return readProcess(String(id)).some((process) => process.started === started);
}

/** `/proc/ID/stat`: `ID (NAME) STATE PARENT …`, the start as the 22nd field. Nothing for one that has ended. */
function readProcess(id: string): (Living & { parent: number })[] {
  try {
    const [, name = "", rest = ""] = /^\d+ \((.*)\) (.*)$/s.exec(readFileSync(`/proc/${id}/stat`, "utf8")) ?? [];
    const fields = rest.trim().split(" ");
    return fields[0] === "Z" ? [] : [{ id: Number(id), name, parent: Number(fields[1]), started: fields[19]! }];
  } catch {
    return []; // it has ended
  }
}

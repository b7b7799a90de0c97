/** An example with a page and a server of its own, as its users start it. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const EXAMPLES = fileURLToPath(new URL("../../examples/", import.meta.url));

export class ExampleSite {
  readonly #process: ChildProcess;

  private constructor(
    process: ChildProcess,
    readonly address: string,
  ) {
    this.#process = process;
  }

  /**
   * Starts an example and waits for the address that it prints.
   *
   * @param file - in `examples`; by default the page with the editor, which `cargo xtask demo --browser` shows
   */
  static async start(endpoint: string, apiKey: string, file = "browser/server.ts"): Promise<ExampleSite> {
    const site = spawn(process.execPath, ["--import", "tsx", file, "--port", "0"], {
      cwd: EXAMPLES,
      env: { ...process.env, AGB_ENDPOINT: endpoint, AGB_API_KEY: apiKey, PORT: "0" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface({ input: site.stdout! });
    const address = await new Promise<string>((resolve, reject) => {
      lines.on("line", (line) => line.startsWith("http") && resolve(line)); // among what Vite says
      lines.on("close", () => reject(new Error("the page's server ended without an address")));
    });
    return new ExampleSite(site, address);
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const ended = once(this.#process, "exit");
      this.#process.kill("SIGTERM");
      await ended;
    }
  }
}

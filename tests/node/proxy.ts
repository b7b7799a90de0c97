/** A proxy with faults between a client and the local server: the testkit's, by its command line. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const PROGRAM = process.env["AGB_PROXY"] ?? new URL("../../target/debug/agb-proxy", import.meta.url).pathname;

/** What has happened so far. */
export type Tally = Record<"upgrades" | "refused" | "cut" | "silenced" | "stalled", number>;

export class Proxy {
  readonly endpoint: string;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess, lines: AsyncIterator<string>, endpoint: string) {
    this.#child = child;
    this.#lines = lines;
    this.endpoint = endpoint;
  }

  /** Passes everything, until it is told to harm. */
  static async start(upstream: string): Promise<Proxy> {
    const child = spawn(PROGRAM, [new URL(upstream).host], { stdio: ["pipe", "pipe", "inherit"] });
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    const first = await lines.next();
    const found = /^agb-proxy listening on (http:\/\/\S+)$/.exec(String(first.value));
    if (found === null) {
      throw new Error(`${PROGRAM} did not start: ${String(first.value)}`);
    }
    return new Proxy(child, lines, found[1]!);
  }

  /** What happens to connections to come: words as in `Schedule::parse` of the testkit. */
  async harm(faults: string): Promise<void> {
    this.#child.stdin!.write(`faults ${faults}\n`);
    await this.tally(); // commands are taken in order: it has been heard
  }

  /** Breaks the WebSockets there are: `silence` leaves them half-open. */
  now(command: "cut" | "reset" | "silence"): void {
    this.#child.stdin!.write(`${command}\n`);
  }

  async tally(): Promise<Tally> {
    this.#child.stdin!.write("tally\n");
    const { value } = await this.#lines.next();
    const pairs = String(value).split(" ").map((pair) => pair.split("="));
    return Object.fromEntries(pairs.map(([name, count]) => [name, Number(count)])) as Tally;
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, "exit");
    this.#child.stdin!.end();
    await ended;
  }
}

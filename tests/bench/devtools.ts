/**
 * Chromium over its bare debugging protocol. The usual drivers listen to the network, which reports every frame of a
 * WebSocket and more than halves what is measured here.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";

const FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--remote-debugging-port=0",
];

export interface DevToolsPage {
  evaluate(expression: string): Promise<unknown>;
  send(method: string, params?: object): Promise<unknown>;
  cpu(): Promise<number>;
  close(): Promise<void>;
}

export class DevTools {
  readonly #child: ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (answer: { result?: unknown; error?: { message: string } }) => void>();
  #last = 0;

  private constructor(child: ChildProcess, profile: string, socket: WebSocket) {
    this.#child = child;
    this.#profile = profile;
    this.#socket = socket;
    socket.on("message", (data) => {
      const { id, ...answer } = JSON.parse(String(data)) as { id?: number };
      if (id !== undefined) {
        this.#waiting.get(id)?.(answer);
        this.#waiting.delete(id);
      }
    });
  }

  static async launch(): Promise<DevTools> {
    const profile = mkdtempSync(join(tmpdir(), "agb-bench-chromium-"));
    const program = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
    const child = spawn(program, [...FLAGS, `--user-data-dir=${profile}`, "about:blank"], { stdio: "ignore" });
    const port = join(profile, "DevToolsActivePort");
    for (let tries = 0; !existsSync(port) || readFileSync(port, "utf8").trim() === ""; tries++) {
      if (tries > 300) {
        throw new Error(`${program} did not start`);
      }
      await sleep(100);
    }
    const [number, path] = readFileSync(port, "utf8").split("\n");
    const socket = new WebSocket(`ws://127.0.0.1:${number}${path}`);
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    return new DevTools(child, profile, socket);
  }

  /**
   * Opens a page; gives what evaluates an expression in it, awaiting promises, what sends it a command of the protocol, and
   * what tells its main thread's CPU seconds.
   */
  async open(url: string): Promise<DevToolsPage> {
    const { targetId } = (await this.#send("Target.createTarget", { url })) as { targetId: string };
    const { sessionId } = (await this.#send("Target.attachToTarget", { targetId, flatten: true })) as { sessionId: string };
    await this.#send("Performance.enable", { timeDomain: "threadTicks" }, sessionId);
    return {
      send: (method, params = {}) => this.#send(method, params, sessionId),
      cpu: async () => {
        const { metrics } = (await this.#send("Performance.getMetrics", {}, sessionId)) as { metrics: Array<{ name: string; value: number }> };
        return metrics.find(({ name }) => name === "TaskDuration")!.value;
      },
      evaluate: async (expression) => {
        const params = { expression, awaitPromise: true, returnByValue: true };
        const answer = (await this.#send("Runtime.evaluate", params, sessionId)) as {
          result: { value: unknown };
          exceptionDetails?: { exception?: { description?: string }; text: string };
        };
        if (answer.exceptionDetails !== undefined) {
          throw new Error(answer.exceptionDetails.exception?.description ?? answer.exceptionDetails.text);
        }
        return answer.result.value;
      },
      close: async () => void (await this.#send("Target.closeTarget", { targetId })),
    };
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    await this.#send("Browser.close", {}).catch(() => {});
    await ended;
    this.#socket.close();
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  #send(method: string, params: object, sessionId?: string): Promise<unknown> {
    const id = ++this.#last;
    this.#socket.send(JSON.stringify({ id, method, params, ...(sessionId === undefined ? {} : { sessionId }) }));
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) => (error === undefined ? resolve(result) : reject(new Error(`${method}: ${error.message}`))));
    });
  }
}

/** Starts the local server for a test file, as a person would: by its command line. */

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";

import { AGB, type Session } from "agbcloud-sdk";

export interface LocalServer {
  readonly endpoint: string;
  readonly apiKey: string;
  readonly pid: number;
  /** SIGTERM, and waits until it has ended. */
  stop(): Promise<void>;
}

export const PROGRAM = process.env["AGB_SERVER"] ?? new URL("../../target/debug/agb-server", import.meta.url).pathname;

export async function startServer(...args: string[]): Promise<LocalServer> {
  return startServerWith({}, ...args);
}

/** One of several servers with the same key. */
export async function startServerWithKey(apiKey: string, ...args: string[]): Promise<LocalServer> {
  return start(apiKey, { AGB_API_KEY: apiKey }, args);
}

/** A server with more in its environment. */
export async function startServerWith(env: Record<string, string>, ...args: string[]): Promise<LocalServer> {
  const apiKey = randomBytes(16).toString("hex");
  return start(apiKey, { AGB_API_KEY: apiKey, ...env }, args);
}

/** A gateway to another server. It passes on the other one's key, which its environment has for the clients, as a person's shell. */
export async function startGateway(upstream: LocalServer, ...args: string[]): Promise<LocalServer> {
  return start(upstream.apiKey, { AGB_API_KEY: upstream.apiKey }, ["--upstream", upstream.endpoint, ...args]);
}

async function start(apiKey: string, env: Record<string, string>, args: string[]): Promise<LocalServer> {
  const child: ChildProcess = spawn(PROGRAM, ["serve", ...(args.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"]), ...args], {
    env: { PATH: process.env["PATH"], RUST_LOG: "warn", ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const said: string[] = [];
  const found = await new Promise<RegExpExecArray | null>((resolve) => {
    const lines = createInterface({ input: child.stdout! });
    lines.on("line", (line) => {
      said.push(line); // a gateway says before where it leads
      const listening = /^agb-server listening on (https?:\/\/\S+)$/.exec(line);
      if (listening !== null) {
        resolve(listening);
      }
    });
    lines.on("close", () => resolve(null));
  });
  if (found === null) {
    throw new Error(`${PROGRAM} did not start: ${said.join("\n")}`);
  }
  return {
    endpoint: found[1]!,
    apiKey,
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

/** A server, an account on it and a session: what most test files begin with. */
export interface Stage {
  readonly server: LocalServer;
  readonly agb: AGB;
  readonly session: Session;
  /** Deletes the session and stops the server. */
  readonly leave: () => Promise<void>;
}

export async function startStage(...args: string[]): Promise<Stage> {
  const server = await startServer(...args);
  const agb = new AGB({ apiKey: server.apiKey, config: { endpoint: server.endpoint } });
  const session = await newSession(agb);
  const leave = async (): Promise<void> => {
    await agb.delete(session);
    await server.stop();
  };
  return { server, agb, session, leave };
}

export async function newSession(agb: AGB): Promise<Session> {
  const { session, errorMessage } = await agb.create({ imageId: "agb-code-space-1" });
  if (session === undefined) {
    throw new Error(errorMessage);
  }
  return session;
}

/** All events of a run. */
export async function all<E>(run: AsyncIterable<E>): Promise<E[]> {
  const events: E[] = [];
  for await (const event of run) {
    events.push(event);
  }
  return events;
}

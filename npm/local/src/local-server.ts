import { type ChildProcessByStdio, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import type { Readable, Writable } from "node:stream";
import { serverPath, startFault } from "./server-path.js";

/** Options of {@link startLocalServer}. */
export interface LocalServerOptions {
  /** Key that clients must send. Default: a fresh random one; with `upstream` the variable `AGB_API_KEY`. */
  readonly apiKey?: string | undefined;
  /**
   * Runs no program here but stands in front of this AGB-compatible service: its sessions gain what this server adds, such
   * as access for web pages. Clients give the service's API key, which is passed on. Default: programs run on this machine.
   */
  readonly upstream?: string | undefined;
  /** TCP port on 127.0.0.1. Default: a free one. */
  readonly port?: number | undefined;
  /** More arguments for `agb-server serve`. */
  readonly args?: readonly string[] | undefined;
  /** More environment variables for the server, e.g. `RUST_LOG`. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** The server program. Default: {@link serverPath}. */
  readonly program?: string | undefined;
  /** How long the server may take until it takes connections, milliseconds. Default: 30000. */
  readonly startTimeoutMs?: number | undefined;
  /** Gets what the server logs, line by line. */
  readonly onLog?: ((line: string) => void) | undefined;
}

/** A server that runs; see {@link startLocalServer}. */
export interface LocalServer {
  /** Its URL, for `config.endpoint` or `AGB_ENDPOINT`. */
  readonly endpoint: string;
  /** The key that it takes, for `apiKey` or `AGB_API_KEY`; with `upstream` that of the service behind. */
  readonly apiKey: string;
  /** Ends the server and everything that it runs; resolves when it is gone. May be called again. */
  stop(): Promise<void>;
}

type ServerProcess = ChildProcessByStdio<Writable, Readable, Readable>;

const DEFAULT_START_TIMEOUT_MS = 30_000;
/** A server that has not stopped by then is killed. Milliseconds. */
const STOP_GRACE_MS = 10_000;
/** Lines of its log that an error message quotes. */
const QUOTED_LINES = 20;
const LISTENING = /^agb-server listening on (http:\/\/\S+)/;

/**
 * Starts a server on this machine and resolves when it takes connections. It ends with {@link LocalServer.stop}, and
 * with this process.
 *
 * ```ts
 * const server = await startLocalServer();
 * const agb = new AGB({ apiKey: server.apiKey, config: { endpoint: server.endpoint } });
 * // …
 * await server.stop();
 * ```
 *
 * As a gateway in front of a service that web pages cannot reach:
 *
 * ```ts
 * const gateway = await startLocalServer({ upstream: "https://sdk-api.agb.cloud" });
 * const { session } = await new AGB({ apiKey: gateway.apiKey, config: { endpoint: gateway.endpoint } }).create({ imageId: "agb-code-space-1" });
 * const { access } = await session.browserAccess(); // for the page
 * ```
 *
 * @throws Error (as a rejection) with the end of the server's log when it does not start.
 */
export async function startLocalServer(options: LocalServerOptions = {}): Promise<LocalServer> {
  const { upstream } = options;
  const apiKey = options.apiKey ?? (upstream === undefined ? `local-${randomBytes(24).toString("hex")}` : process.env["AGB_API_KEY"]);
  if (apiKey === undefined || apiKey === "") {
    throw new Error(`agbcloud-local: no API key for ${upstream}: give apiKey, or set AGB_API_KEY`);
  }
  const listen = `127.0.0.1:${options.port ?? 0}`;
  const behind = upstream === undefined ? [] : ["--upstream", upstream];
  const child = spawn(options.program ?? serverPath(), ["serve", "--listen", listen, "--exit-with-stdin", ...behind, ...(options.args ?? [])], {
    // The key goes by the environment: arguments can be seen by every user of the machine. A gateway gets none: it is
    // its clients' to give.
    env: { ...process.env, AGB_COMMAND_NAME: "npx agbcloud-local", ...options.env, AGB_API_KEY: upstream === undefined ? apiKey : undefined },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const killWithUs = (): void => void child.kill("SIGKILL");
  process.once("exit", killWithUs);
  const exited = new Promise<void>((resolve) => {
    child.once("close", resolve);
    child.once("error", () => child.pid ?? resolve()); // never started
  }).finally(() => process.removeListener("exit", killWithUs));
  try {
    const endpoint = await listening(child, options);
    detach(child);
    return { endpoint, apiKey, stop: () => stop(child, exited) };
  } catch (error) {
    await stop(child, exited);
    throw error;
  }
}

/** Waits for the line that says where the server listens. */
function listening(child: ServerProcess, options: LocalServerOptions): Promise<string> {
  const timeoutMs = options.startTimeoutMs ?? DEFAULT_START_TIMEOUT_MS;
  const tail: string[] = [];
  return new Promise((resolve, reject) => {
    const fail = (what: string): void => {
      clearTimeout(timer);
      const quoted = tail.length === 0 ? "It logged nothing." : `The end of its log:\n${tail.join("\n")}`;
      reject(new Error(`agbcloud-local: the server ${child.spawnfile} ${what}. ${quoted}`));
    };
    const timer = setTimeout(() => fail(`did not take connections within ${timeoutMs} ms`), timeoutMs);
    const onLine = (line: string): void => {
      options.onLog?.(line);
      tail.push(line);
      tail.splice(0, tail.length - QUOTED_LINES);
    };
    eachLine(child.stdout, (line) => {
      const url = LISTENING.exec(line)?.[1];
      if (url === undefined) {
        onLine(line);
      } else {
        clearTimeout(timer);
        resolve(url);
      }
    });
    eachLine(child.stderr, onLine);
    child.once("error", (error) => fail(`cannot be started: ${startFault(child.spawnfile, error)}`));
    child.once("close", (code, signal) => fail(`ended at once (${signal ?? `exit code ${code}`})`));
  });
}

function eachLine(stream: Readable, onLine: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      onLine(line.replace(/\r$/, ""));
    }
  });
}

/** Lets this process end although the server runs. */
function detach(child: ServerProcess): void {
  child.unref();
  for (const stream of [child.stdin, child.stdout, child.stderr]) {
    (stream as Partial<{ unref(): void }>).unref?.();
  }
}

async function stop(child: ServerProcess, exited: Promise<void>): Promise<void> {
  child.ref();
  child.kill("SIGTERM");
  const killer = setTimeout(() => child.kill("SIGKILL"), STOP_GRACE_MS);
  await exited;
  clearTimeout(killer);
}

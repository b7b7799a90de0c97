/**
 * A page as a careful application makes it: it shows a run line by line, and finds it again when it is loaded anew. What it
 * saw is in `seen`, over all its loads.
 */

import { createServer, connect, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

/** What the page has seen. */
export interface Seen {
  readonly lines: string[];
  /** How the run ended, each time that it was told. */
  readonly ends: string[];
  /** `persisted` of each `pageshow`, the first one included. */
  readonly shows: boolean[];
  /** How often the page's script ran. */
  readonly loads: number;
  readonly interruptions: number;
  /** Why the page was not kept, as Chromium says it. */
  readonly reasons: unknown;
}

/** The page with this module as the SDK. `begin(access, code)` starts its run. */
export function keptPage(module: string): string {
  return `<!doctype html><link rel="icon" href="data:,"><title>kept</title><script type="module">
    const kept = JSON.parse(sessionStorage.getItem("kept") ?? "null");
    const seen = globalThis.seen = kept?.seen ?? { lines: [], ends: [], shows: [], loads: 0, interruptions: 0, reasons: null };
    seen.loads += 1;
    let current = null;
    addEventListener("pageshow", ({ persisted }) => {
      seen.shows.push(persisted);
      seen.reasons = performance.getEntriesByType("navigation")[0].notRestoredReasons ?? null;
    });
    addEventListener("pagehide", () => sessionStorage.setItem("kept", JSON.stringify({
      seen, access: current?.access, id: current?.run.id, seq: current?.seq,
    })));
    const { Session } = await import("${module}"); // who awaits first misses the first pageshow
    const follow = async (access, run, after) => {
      current = { access, run, seq: after };
      for await (const event of run) {
        current.seq = event.seq;
        if (event.type === "stdout") seen.lines.push(event.text);
      }
      const { status, interruptions } = await run.result;
      current = null;
      seen.interruptions += interruptions;
      seen.ends.push(status);
    };
    globalThis.begin = (access, code) => void follow(access, Session.attach(access).code.stream(code, "python", { timeoutS: 120 }), 0);
    if (kept?.id !== undefined) {
      void follow(kept.access, Session.attach(kept.access).code.attach(kept.id, { afterSeq: kept.seq }), kept.seq);
    }
    globalThis.ready = true;
  </script>`;
}

/**
 * Passes bytes to a server on this machine, and counts the WebSockets that are open at the same time. One is no more as soon
 * as the page has said so: its closing frame has the opcode 8 (RFC 6455, section 5.2), and comes by itself.
 */
export class SocketCounter {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #open = 0;
  most = 0;
  all = 0;

  private constructor(target: number) {
    this.#server = createServer((client) => {
      const server = connect(target, "127.0.0.1");
      let isSocket = false;
      client.once("data", (head) => {
        isSocket = /^upgrade: *websocket/im.test(head.toString("latin1"));
        if (isSocket) {
          this.all += 1;
          this.#open += 1;
          this.most = Math.max(this.most, this.#open);
        }
        server.write(head);
        client.on("data", (bytes) => bytes[0] === 0x88 && gone());
        client.pipe(server);
      });
      server.pipe(client);
      const gone = (): void => {
        this.#open -= Number(isSocket);
        isSocket = false;
      };
      client.once("close", gone);
      for (const [one, other] of [[client, server], [server, client]] as const) {
        this.#sockets.add(one);
        one.setNoDelay();
        one.on("error", () => {});
        one.once("close", () => {
          this.#sockets.delete(one);
          other.destroy();
        });
      }
    });
  }

  static async start(endpoint: string): Promise<SocketCounter> {
    const counter = new SocketCounter(Number(new URL(endpoint).port));
    await new Promise<void>((resolve) => counter.#server.listen(0, "127.0.0.1", resolve));
    return counter;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
    this.#sockets.forEach((socket) => socket.destroy());
  }
}

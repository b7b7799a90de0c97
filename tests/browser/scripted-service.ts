/** A service that does to each connection what a script says: for comparing what clients make of it. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { type WebSocket, WebSocketServer } from "ws";

import type { SessionAccess } from "agbcloud-sdk";

/** What happens, and when. What a script leaves out is as of a service that has nothing like it. */
export interface Script {
  readonly extensions: readonly string[];
  /** Answers what asks for a WebSocket with this status. */
  readonly refuses?: number;
  /** Something was said over a WebSocket; `nth` counts WebSockets, from 1. */
  readonly onSocket?: (peer: Peer, method: string, nth: number) => void;
  /** Answers a request for a run's event stream. */
  readonly onEvents?: (response: ServerResponse, frame: (data: object) => string) => void;
  /** Answers a plain call. */
  readonly onCall?: (response: ServerResponse) => void;
}

/** A client's WebSocket and the run that it spoke of. */
export interface Peer {
  say(data: object): void;
  sayRaw(frame: string): void;
  close(code: number): void;
  /** Cuts the connection, without a word. */
  cut(): void;
}

const frameOf = (invocationId: string, data: object): string =>
  JSON.stringify({ invocationId, source: "wuying_codespace", target: "SDK", data });

export class ScriptedService {
  readonly access: SessionAccess;
  /** Starts of programs that arrived, by whichever way. A repeated start of one run counts once. */
  readonly starts = new Set<string>();
  readonly #script: Script;
  readonly #http: Server;
  readonly #ws = new WebSocketServer({ noServer: true });
  #sockets = 0;
  #calls = 0;

  private constructor(script: Script, http: Server) {
    this.#script = script;
    this.#http = http;
    const host = `127.0.0.1:${(http.address() as AddressInfo).port}`;
    this.access = {
      sessionId: "s-1",
      wsUrl: `ws://${host}/ws`,
      linkUrl: `http://${host}/link`,
      token: "tok-SECRET",
      expiresAt: "2099-01-01T00:00:00Z",
      scope: "run",
      extensions: script.extensions,
    };
    http.on("request", (request, response) => void this.#answer(request, response));
    http.on("upgrade", (request, socket, head) => {
      socket.on("error", () => {});
      if (script.refuses !== undefined) {
        socket.end(`HTTP/1.1 ${script.refuses} Refused\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
        return;
      }
      this.#ws.handleUpgrade(request, socket, head, (webSocket) => this.#serve(webSocket));
    });
  }

  static async start(script: Script): Promise<ScriptedService> {
    const http = createServer();
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    return new ScriptedService(script, http);
  }

  async stop(): Promise<void> {
    this.#ws.clients.forEach((socket) => socket.terminate());
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  #serve(socket: WebSocket): void {
    this.#sockets += 1;
    const nth = this.#sockets;
    socket.on("error", () => {});
    socket.on("message", (message) => {
      const { invocationId, data } = JSON.parse(String(message)) as { invocationId?: string; data?: { method: string; mode?: string } };
      if (invocationId === undefined || data === undefined) {
        socket.send('{"type":"pong"}'); // to the heartbeat of a client without ping frames
        return;
      }
      const method = data.mode ?? data.method;
      if (method === "stream") {
        this.starts.add(invocationId);
      }
      const sayRaw = (frame: string): void => {
        if (socket.readyState === socket.OPEN) {
          socket.send(frame);
        }
      };
      const peer: Peer = {
        say: (words) => sayRaw(frameOf(invocationId, words)),
        sayRaw,
        close: (code) => socket.close(code),
        cut: () => socket.terminate(),
      };
      this.#script.onSocket?.(peer, method, nth);
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    for await (const part of request) {
      body += String(part);
    }
    const [, invocation = "", events] = /\/runs\/([^/?]+)(\/events)?/.exec(request.url ?? "") ?? [];
    const { onEvents, onCall } = this.#script;
    if (events !== undefined && onEvents !== undefined) {
      onEvents(response, (data) => `data: ${frameOf(invocation, data)}\n\n`);
    } else if (invocation !== "" && onEvents !== undefined) {
      if (body.includes('"stream"')) {
        this.starts.add(invocation);
      }
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    } else if (invocation === "" && onCall !== undefined) {
      this.#calls += 1;
      this.starts.add(`call ${this.#calls}`);
      onCall(response);
    } else {
      response.writeHead(404, { "content-type": "application/json" }).end("{}");
    }
  }
}

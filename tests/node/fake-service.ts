/** A service of a few lines that does on its WebSocket what a test says. */

import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { type WebSocket, WebSocketServer } from "ws";

export interface SeenRequest {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: Record<string, unknown>;
}

/** One run, from the service's side. */
export class Served {
  readonly code: string;
  readonly #socket: WebSocket;
  readonly #invocation: string;

  constructor(socket: WebSocket, invocation: string, code: string) {
    this.#socket = socket;
    this.#invocation = invocation;
    this.code = code;
  }

  chunk(stream: "out" | "err", chunk: string): void {
    this.event({ eventType: stream === "out" ? "stdout" : "stderr", chunk });
  }

  event(data: Record<string, unknown>): void {
    this.#send({ phase: "event", ...data });
  }

  end(data: Record<string, unknown> = { status: "finished", executionTime: 0.25 }): void {
    this.#send({ phase: "end", ...data });
  }

  /** Waits until what was sent has gone to the system. Resolves to false when the client is gone. */
  async pushed(_sent: void, pauseMs = 0): Promise<boolean> {
    if (pauseMs > 0) {
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    while (this.#socket.readyState === this.#socket.OPEN && this.#socket.bufferedAmount > 0) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    if (pauseMs === 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    return this.#socket.readyState === this.#socket.OPEN;
  }

  #send(data: Record<string, unknown>): void {
    if (this.#socket.readyState === this.#socket.OPEN) {
      this.#socket.send(JSON.stringify({ invocationId: this.#invocation, source: "wuying_codespace", target: "SDK", data }));
    }
  }
}

export class FakeService {
  readonly endpoint: string;
  readonly requests: SeenRequest[] = [];
  /** WebSockets that were opened. */
  sockets = 0;
  /** New sessions get a WebSocket that is refused, as behind a proxy that lets none through. */
  refusesSockets = false;
  onRun: (run: Served) => Promise<void> = async (run) => run.end();
  readonly #http: Server;
  readonly #ws: WebSocketServer;

  private constructor(http: Server) {
    this.#http = http;
    this.endpoint = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    http.on("request", (request, response) => {
      void this.#answer(request).then(({ status, body }) => {
        response.writeHead(status, { "content-type": "application/json" });
        response.end(JSON.stringify(body));
      });
    });
    this.#ws = new WebSocketServer({ server: http, path: "/ws" });
    this.#ws.on("connection", (socket) => {
      this.sockets += 1;
      socket.on("error", () => {});
      socket.on("message", (message) => {
        const { invocationId, data } = JSON.parse(String(message));
        if (data?.mode === "stream") {
          void this.onRun(new Served(socket, invocationId, data.params.code));
        }
      });
    });
  }

  static async start(): Promise<FakeService> {
    const http = createServer();
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    return new FakeService(http);
  }

  async stop(): Promise<void> {
    for (const socket of this.#ws.clients) {
      socket.terminate();
    }
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  async #answer(request: IncomingMessage): Promise<{ status: number; body: unknown }> {
    let text = "";
    for await (const chunk of request) {
      text += String(chunk);
    }
    const path = request.url ?? "";
    const body = text === "" ? {} : JSON.parse(text);
    this.requests.push({ path, authorization: request.headers.authorization, body });
    const fine = (data: unknown) => ({
      status: 200,
      body: { requestId: "r-1", code: "ok", success: true, httpStatusCode: 200, data },
    });
    const missing = {
      status: 400,
      body: { requestId: "r-1", code: "InvalidMcpSession.NotFound", message: "session not found", success: false },
    };
    if (path.startsWith("/mcp/createSession")) {
      const wsUrl = `${this.endpoint.replace("http", "ws")}/${this.refusesSockets ? "refused" : "ws"}?t=query-SECRET`;
      return fine({ sessionId: "s-1", success: true, wsUrl, token: "tok-SECRET", toolList: "[]" });
    }
    if (path.startsWith("/mcp/getSession")) {
      return missing; // also getSessionInfo: it is gone as soon as it is released
    }
    if (path.startsWith("/mcp?")) {
      const answer = { result: [{ "text/plain": "1", isMainResult: true }], stdout: ["grün\n"], stderr: ["x"] };
      return fine({ content: [{ type: "text", text: JSON.stringify(answer) }], isError: false });
    }
    return fine(path.startsWith("/mcp/listTools") ? "[]" : null);
  }
}

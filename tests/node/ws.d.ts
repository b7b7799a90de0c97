/** What the tests use of the npm package `ws`, which has no types of its own. */
declare module "ws" {
  import type { EventEmitter } from "node:events";
  import type { Server } from "node:http";

  export interface WebSocket extends EventEmitter {
    readonly OPEN: number;
    readonly readyState: number;
    readonly bufferedAmount: number;
    send(text: string): void;
    terminate(): void;
    on(event: "message", listener: (message: Buffer) => void): this;
    on(event: "error", listener: (error: Error) => void): this;
  }

  export class WebSocketServer {
    constructor(options: { readonly server: Server; readonly path: string });
    readonly clients: Set<WebSocket>;
    on(event: "connection", listener: (socket: WebSocket) => void): this;
  }
}

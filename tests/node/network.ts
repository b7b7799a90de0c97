/** A network between a client and a server of this machine: it can go away as a whole and come back, and can lack WebSockets. */

import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

export interface NetworkOptions {
  /** Addresses of this machine that it listens on, all with one port. Default: 127.0.0.1. */
  readonly hosts?: readonly string[];
  /** Answers 403 to each WebSocket, so that runs have event streams. */
  readonly refusesSockets?: boolean;
}

/** What a session goes by, as a network lets it. */
export const TRANSPORTS = [
  { name: "a WebSocket", refusesSockets: false },
  { name: "event streams", refusesSockets: true },
] as const;

export class Network {
  /** WebSockets that were asked for. */
  sockets = 0;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #refusesSockets: boolean;
  readonly #servers: Server[] = [];
  readonly #ways = new Set<Way>();
  #away = false;

  private constructor(endpoint: string, refusesSockets: boolean) {
    const { hostname, port } = new URL(endpoint);
    this.#target = { host: hostname, port: Number(port) };
    this.#refusesSockets = refusesSockets;
  }

  static async start(endpoint: string, { hosts = ["127.0.0.1"], refusesSockets = false }: NetworkOptions = {}): Promise<Network> {
    const network = new Network(endpoint, refusesSockets);
    for (const host of hosts) {
      const server = createServer((client) => network.#join(client));
      await new Promise<void>((resolve, reject) => server.once("error", reject).listen(network.#servers.length === 0 ? 0 : network.port, host, resolve));
      network.#servers.push(server);
    }
    return network;
  }

  get port(): number {
    return (this.#servers[0]!.address() as AddressInfo).port;
  }

  /** Nothing passes any more. Who connects meanwhile waits, as for a packet that is sent again. */
  leave(): void {
    this.#away = true;
    this.#ways.forEach((way) => way.hold());
  }

  /** It is back, with the connections of before, or without them: then they stay half-open for ever. */
  back(connections: "kept" | "forgotten"): void {
    this.#away = false;
    for (const way of this.#ways) {
      if (connections === "kept" || !way.hasBegun) {
        way.flow();
      }
    }
  }

  close(): void {
    this.#servers.forEach((server) => server.close());
    this.#ways.forEach((way) => way.end());
  }

  #join(client: Socket): void {
    const way = new Way(client, connect(this.#target.port, this.#target.host), (head) => {
      const wants = /^upgrade: *websocket/im.test(head);
      this.sockets += Number(wants);
      return !wants || !this.#refusesSockets;
    });
    this.#ways.add(way);
    client.once("close", () => this.#ways.delete(way));
    if (!this.#away) {
      way.flow();
    }
  }
}

/** One connection. It holds what comes until it flows. */
class Way {
  /** Something has passed. */
  hasBegun = false;
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #admits: (head: string) => boolean;

  constructor(client: Socket, server: Socket, admits: (head: string) => boolean) {
    [this.#client, this.#server, this.#admits] = [client, server, admits];
    for (const [one, other] of [[client, server], [server, client]] as const) {
      one.setNoDelay();
      one.pause();
      one.on("error", () => {});
      one.once("close", () => other.destroy());
    }
  }

  flow(): void {
    if (this.hasBegun) {
      this.#pass();
      return;
    }
    this.#client.once("data", (head) => {
      this.hasBegun = true;
      this.#client.pause();
      if (!this.#admits(head.toString("latin1"))) {
        this.#client.end("HTTP/1.1 403 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return;
      }
      this.#server.write(head);
      this.#pass();
    });
    this.#client.resume();
  }

  hold(): void {
    this.#client.unpipe(this.#server).pause();
    this.#server.unpipe(this.#client).pause();
  }

  end(): void {
    this.#client.destroy();
    this.#server.destroy();
  }

  #pass(): void {
    this.#client.pipe(this.#server);
    this.#server.pipe(this.#client);
  }
}

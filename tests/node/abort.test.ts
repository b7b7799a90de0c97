/** The signal of a call: what it does to the call on the wire, and to what the service has made by then. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";

import { AGB } from "agbcloud-sdk";

import { type LocalServer, startServer } from "./local-server.ts";

/** A proxy that holds each request back until the test lets it go. */
class Gate {
  readonly endpoint: string;
  readonly waiting: Array<{ readonly request: IncomingMessage; readonly response: ServerResponse; readonly body: string }> = [];
  readonly #server;
  readonly #upstream: string;

  private constructor(server: ReturnType<typeof createServer>, upstream: string) {
    this.#server = server;
    this.#upstream = upstream;
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("request", (request, response) => {
      let body = "";
      request.on("data", (part) => (body += String(part)));
      request.on("end", () => this.waiting.push({ request, response, body }));
    });
  }

  static async open(upstream: string): Promise<Gate> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Gate(server, upstream);
  }

  async arrived(): Promise<Gate["waiting"][number]> {
    while (this.waiting.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return this.waiting.shift()!;
  }

  /** Sends the oldest request on, and its answer back. */
  async pass(): Promise<void> {
    const { request, response, body } = await this.arrived();
    const { authorization, "content-type": type } = request.headers;
    const headers = { authorization: String(authorization), "content-type": String(type) };
    const sent = { method: request.method!, headers, ...(body !== "" && { body }) };
    const answer = await fetch(`${this.#upstream}${request.url}`, sent);
    response.writeHead(answer.status, { "content-type": "application/json" }).end(await answer.text());
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

let server: LocalServer;
let gate: Gate;
let agb: AGB;

before(async () => {
  server = await startServer();
  gate = await Gate.open(server.endpoint);
  agb = new AGB({ apiKey: server.apiKey, config: { endpoint: gate.endpoint } });
});
after(async () => {
  gate.close();
  await server.stop();
});

describe("an aborted call", () => {
  test("ends at once, and its connection with it", async () => {
    const controller = new AbortController();
    const pending = agb.list(null, { signal: controller.signal });
    const { request } = await gate.arrived();
    const closed = once(request.socket, "close");
    controller.abort();
    const result = await pending;
    assert.deepEqual([result.success, result.code], [false, "CANCELLED"]);
    await closed;
  });

  test("leaves no session behind that it has made", async () => {
    const controller = new AbortController();
    const labels = { test: "aborted" };
    const pending = agb.create({ imageId: "agb-code-space-1", labels }, { signal: controller.signal });
    while (gate.waiting.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    controller.abort();
    assert.equal((await pending).code, "CANCELLED");
    const direct = new AGB({ apiKey: server.apiKey, config: { endpoint: server.endpoint } });
    await gate.pass(); // the service makes the session now
    assert.equal((await direct.list(labels)).totalCount, 1, "it was made");
    await gate.pass(); // the release
    const deadline = performance.now() + 30_000;
    while ((await direct.list(labels)).totalCount > 0) {
      assert.ok(performance.now() < deadline, "the session is still there");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await gate.pass(); // the look whether it is gone
  });

  test("stops a program that was to give all its output at the end", async () => {
    const direct = new AGB({ apiKey: server.apiKey, config: { endpoint: server.endpoint } });
    const { session } = await direct.create({ imageId: "agb-code-space-1" });
    const controller = new AbortController();
    const { signal } = controller;
    const code = "import time\nx = 1\nopen('begun', 'w').close()\ntime.sleep(600)";
    const run = session!.code.run(code, "python", 900, { streamBeta: false, signal });
    while (!(await session!.callMcpTool("get_file_info", { path: "begun" })).success) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    controller.abort();
    const result = await run;
    assert.deepEqual([result.success, result.status], [false, "cancelled"]);
    const next = await session!.code.run("print(x)", "python", 60);
    assert.equal(next.logs.stdout.join(""), "1\n", "the interpreter is free, and has its variables");
  });

  test("never starts a program whose signal was aborted before", async () => {
    const direct = new AGB({ apiKey: server.apiKey, config: { endpoint: server.endpoint } });
    const { session } = await direct.create({ imageId: "agb-code-space-1" });
    const { code } = session!;
    const signal = AbortSignal.abort();
    await code.run("ran = []", "python"); // the connection is there: a program could be on its way at once
    const errors: string[] = [];
    const onError = (error: Error): void => void errors.push(error.name);
    for (let i = 0; i < 20; i++) {
      const result = await code.run(`ran.append(${i})`, "python", 60, { signal, onError });
      assert.deepEqual([result.success, result.status, result.error?.name], [false, "cancelled", "Cancelled"]);
    }
    assert.deepEqual(errors, Array(20).fill("Cancelled"), "onError hears of each once");
    const silent = await code.run("ran.append('silent')", "python", 60, { streamBeta: false, signal });
    assert.deepEqual([silent.status, silent.error?.code], ["cancelled", "CANCELLED"]);
    const run = code.stream("ran.append('stream')", "python", { signal });
    const events = [];
    for await (const event of run) {
      events.push(event.type);
    }
    assert.deepEqual([events, (await run.result).status, run.id], [["end"], "cancelled", ""]);
    assert.equal((await code.run("ran", "python")).results[0]?.text, "[]");

    // What a run says that was stopped on its way, this one says as well.
    const late = new AbortController();
    const stopped = await code.run("print(1, flush=True)\nimport time\ntime.sleep(60)", "python", 60, {
      signal: late.signal,
      onStdout: () => late.abort(),
    });
    assert.deepEqual([stopped.error, stopped.errorMessage], [silent.error, silent.errorMessage]);
  });
});

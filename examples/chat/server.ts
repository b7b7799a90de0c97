/**
 * A chat in which a model's code runs live: `npm run chat`, then open the address that it prints.
 *
 * `POST /chat` answers with a JSON object a line: the model's words, its programs, and what they print as they print it.
 * A conversation has a session, so its programs share their variables.
 *
 * @module
 */

import { AGB, type Session, throwIfFailed } from "agbcloud-sdk";
import { type ModelMessage, stepCountIs, streamText } from "ai";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { bodyText } from "../browser/body-text.js";
import { listen } from "../browser/listen.js";
import { isOwnPage } from "../browser/own-page.js";
import { scriptedModel } from "./model.js";
import { runPython } from "./run-python.js";

interface Conversation {
  readonly session: Session;
  readonly messages: ModelMessage[];
}

/** More would be somebody who opens the page again and again. */
const MOST_CONVERSATIONS = 20;
const agb = new AGB({ config: { endpoint: process.env["AGB_ENDPOINT"] ?? "local" } });
const conversations = new Map<string, Conversation>();

async function begin(): Promise<string> {
  if (conversations.size >= MOST_CONVERSATIONS) {
    const [oldest] = conversations.keys();
    await conversations.get(oldest!)!.session.delete();
    conversations.delete(oldest!);
  }
  const { session } = throwIfFailed(await agb.create({ imageId: "agb-code-space-1", labels: { example: "chat" } }));
  const id = randomUUID();
  conversations.set(id, { session: session!, messages: [] });
  return id;
}

async function chat(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { id, question } = JSON.parse(await bodyText(request)) as { id?: string; question: string };
  const known = id !== undefined && conversations.has(id) ? id : await begin();
  const { session, messages } = conversations.get(known)!;
  const left = new AbortController(); // the page pressed Stop, or went away
  response.on("close", () => left.abort());
  response.writeHead(200, { "content-type": "application/x-ndjson", "cache-control": "no-store" });
  const send = (part: object): void => void (response.destroyed || response.write(`${JSON.stringify(part)}\n`));
  send({ type: "conversation", id: known });

  messages.push({ role: "user", content: String(question) });
  const answer = streamText({
    model: scriptedModel,
    messages,
    tools: { runPython: runPython(session, (output) => send({ type: "output", text: output })) },
    stopWhen: stepCountIs(5),
    abortSignal: left.signal,
  });
  for await (const part of answer.fullStream) {
    if (part.type === "text-delta") send({ type: "words", text: part.text });
    if (part.type === "tool-call" && !part.dynamic) send({ type: "program", code: part.input.code });
    if (part.type === "tool-result" && !part.dynamic) send({ type: "end", status: part.output.status, error: part.output.error });
    if (part.type === "error") send({ type: "failed", message: String(part.error) });
  }
  if (!left.signal.aborted) messages.push(...(await answer.response).messages);
  response.end();
}

const http = createServer((request, response) => {
  const fail = (error: unknown): void => {
    if (!response.headersSent) response.writeHead(500, { "content-type": "text/plain" });
    response.end(error instanceof Error ? error.message : String(error));
  };
  if (!isOwnPage(request)) {
    response.writeHead(403).end("only for this server's own page");
  } else if (request.method === "POST" && request.url === "/chat") {
    chat(request, response).catch(fail);
  } else if (request.method === "GET" && request.url === "/") {
    readFile(new URL("index.html", import.meta.url)).then(
      (page) => response.writeHead(200, { "content-type": "text/html; charset=utf-8", "content-security-policy": "default-src 'self' 'unsafe-inline' data:" }).end(page),
      fail,
    );
  } else {
    response.writeHead(404).end("not found");
  }
});
listen(http, process.env["PORT"] ?? "5174");

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    void Promise.allSettled([...conversations.values()].map(({ session }) => session.delete())).then(() => process.exit());
  });
}

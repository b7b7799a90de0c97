import { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";

/** A page sends a question or an access: 1 MiB is a thousand times as much. */
const MOST_BYTES = 1 << 20;

/** What a page sends. Whoever sends more than a page does is hung up on. */
export async function bodyText(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > MOST_BYTES) {
      throw new Error(`a request has ${MOST_BYTES} bytes at most`);
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

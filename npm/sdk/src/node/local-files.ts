import { randomBytes } from "node:crypto";
import { createReadStream, createWriteStream, type WriteStream } from "node:fs";
import { access, link, rename, rm, stat } from "node:fs/promises";
import { type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { dirname } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { isFolder, makeFolders, pack, unpack } from "./local-folders.js";
import type { LocalFiles, TransferRequest } from "../platform.js";

/** Files of this machine, carried over HTTP as streams: memory stays flat at any size. */
export const localFiles: LocalFiles = {
  async size(path) {
    const found = await stat(path).catch(() => null);
    return found?.isFile() ? found.size : null;
  },

  exists: (path) =>
    access(path).then(
      () => true,
      () => false,
    ),

  async put(url, path, size, options) {
    const headers: Record<string, string | number> = { "content-length": size };
    if (options.contentType !== null) {
      headers["content-type"] = options.contentType;
    }
    const sending = open(url, "PUT", headers, options);
    const answered = answerOf(sending);
    // What the far side answers before it has read everything is the outcome, not the broken pipe.
    const [sent, answer] = await Promise.allSettled([
      pipeline(createReadStream(path, { end: Math.max(0, size - 1) }), counting(options), sending),
      answered,
    ]);
    if (answer.status === "rejected") {
      throw sent.status === "rejected" ? sent.reason : answer.reason;
    }
    answer.value.resume();
    const { etag } = answer.value.headers;
    return { status: answer.value.statusCode ?? 0, etag: etag ?? null };
  },

  async get(url, path, options, overwrite) {
    const receiving = open(url, "GET", {}, options);
    receiving.end();
    const answer = await answerOf(receiving);
    const status = answer.statusCode ?? 0;
    if (status < 200 || status >= 300) {
      answer.resume();
      return { status, bytes: 0 };
    }
    const count = counting(options);
    await whole(path, overwrite, (part) => pipeline(answer, count, part));
    return { status, bytes: count.bytes };
  },

  read: (path) => createReadStream(path, { highWaterMark: 1 << 20 }),

  isFolder,
  pack,
  unpack,

  write: (path, bytes, overwrite) => whole(path, overwrite, (part) => pipeline(Readable.from(bytes), part)),
};

/** Writes a file beside its place first: nobody sees half a file, and an old one stays until the new one is whole. */
async function whole(path: string, overwrite: boolean, write: (part: WriteStream) => Promise<void>): Promise<void> {
  await makeFolders(dirname(path));
  const part = `${path}.${randomBytes(6).toString("hex")}.part`;
  try {
    await write(createWriteStream(part, { flags: "wx" }));
    await (overwrite ? rename(part, path) : link(part, path));
  } finally {
    await rm(part, { force: true });
  }
}

function open(url: string, method: string, headers: Record<string, string | number>, { signal, quietMs }: TransferRequest): ClientRequest {
  const begin = url.startsWith("https:") ? httpsRequest : httpRequest;
  const call = begin(url, { method, headers });
  call.setTimeout(quietMs, () => call.destroy(new Error(`nothing moved for ${quietMs / 1000} s`)));
  const stop = (): void => void call.destroy(new Error("the call was cancelled"));
  signal?.addEventListener("abort", stop);
  call.once("close", () => signal?.removeEventListener("abort", stop));
  if (signal?.aborted) {
    stop();
  }
  return call;
}

function answerOf(call: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    call.once("response", resolve);
    call.on("error", reject);
  });
}

/** Passes bytes on and tells how many there were so far. */
function counting({ onBytes }: TransferRequest): Transform & { bytes: number } {
  const count = Object.assign(
    new Transform({
      transform(chunk: Buffer, _, done) {
        count.bytes += chunk.length;
        const told = async (): Promise<unknown> => onBytes(count.bytes);
        told().then(
          () => done(null, chunk),
          (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
        );
      },
    }),
    { bytes: 0 },
  );
  return count;
}

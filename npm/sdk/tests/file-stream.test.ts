import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { type FileSystem } from "../src/index.js";
import { FakeBackend, type FakeSession, failed, ok } from "./fake-binding.js";

const backend = new FakeBackend().plug();
/** Bytes of a call that reads or writes. */
const PART = 4 << 20;
let file: FileSystem;
let fake: FakeSession;

beforeEach(async () => {
  const made = await backend.newSession();
  [file, fake] = [made.session.file, made.fake];
  fake.extensions = ["files", "fileWatch"];
});

/** A service that has this file. */
function serve(size: number): Array<Record<string, unknown>> {
  const asked: Array<Record<string, unknown>> = [];
  fake.onTransfer = (name, args) => {
    assert.equal(name, "file.readPart");
    asked.push(args);
    const [offset, length] = [Number(args["offset"]), Number(args["length"])];
    const bytes = new Uint8Array(Math.max(0, Math.min(length, size - offset)));
    return ok({ meta: JSON.stringify({ size, etag: '"1"', isLast: offset + length >= size }), bytes });
  };
  return asked;
}

async function count(stream: ReadableStream<Uint8Array>): Promise<number> {
  let sum = 0;
  for await (const bytes of stream) {
    sum += bytes.length;
  }
  return sum;
}

describe("reading a stream", () => {
  it("asks part by part, for one state of the file, one part ahead of its reader", async () => {
    const asked = serve(2 * PART + 5);
    const reader = file.readStream("/a").getReader();
    assert.equal(asked.length, 0, "nothing is fetched before anybody reads");
    assert.equal((await reader.read()).value?.length, PART);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(asked.map(({ offset, etag }) => [offset, etag]), [[0, null], [PART, '"1"']]);
    assert.equal((await reader.read()).value?.length, PART);
    assert.equal((await reader.read()).value?.length, 5);
    assert.equal((await reader.read()).done, true);
    assert.equal(asked.length, 3);
  });

  it("asks for the next part while one is waited for, and for none beyond it", async () => {
    const asked = serve(4 * PART + 5);
    const [answer, held]: [typeof fake.onTransfer, Array<() => void>] = [fake.onTransfer, []];
    fake.onTransfer = async (...given) => {
      const came = answer(...given);
      await new Promise<void>((go) => held.push(go));
      return came;
    };
    const turn = (): Promise<unknown> => new Promise((resolve) => setImmediate(resolve));
    const offsets = (): unknown[] => asked.map(({ offset }) => Number(offset) / PART);
    const reader = file.readStream("/a").getReader();
    for (const [waiting, using] of [[[0], [0, 1]], [[0, 1, 2], [0, 1, 2]], [[0, 1, 2, 3], [0, 1, 2, 3]], [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]]) {
      const part = reader.read();
      await turn();
      assert.deepEqual(offsets(), waiting);
      held.shift()!();
      assert.equal((await part).value?.length, PART);
      await turn();
      assert.deepEqual(offsets(), using);
    }
    held.shift()!();
    assert.equal((await reader.read()).value?.length, 5);
    assert.equal((await reader.read()).done, true);
    assert.equal(asked.length, 5, "the file's size is known");
  });

  it("gives what came before a part that failed, and nothing behind it", async () => {
    serve(4 * PART);
    const answer = fake.onTransfer;
    fake.onTransfer = (name, args, bytes) =>
      args["offset"] === PART ? failed("InvalidFile.Changed", 412, "changed") : answer(name, args, bytes);
    const reader = file.readStream("/a").getReader();
    assert.equal((await reader.read()).value?.length, PART);
    await assert.rejects(reader.read(), { code: "InvalidFile.Changed" });
    await assert.rejects(reader.read(), { code: "InvalidFile.Changed" });
  });

  it("reads a range, and nothing beyond it", async () => {
    const asked = serve(100);
    assert.equal(await count(file.readStream("/a", { start: 10, end: 30 })), 20);
    assert.deepEqual(asked.map(({ offset, length }) => [offset, length]), [[10, 20]]);
    assert.equal(await count(file.readStream("/a", { start: 30, end: 10 })), 0);
  });

  it("ends with the error that the service gives, and stops when it is cancelled", async () => {
    fake.onTransfer = () => failed("InvalidFile.NotFound", 404, "not found");
    await assert.rejects(count(file.readStream("/a")), { code: "InvalidFile.NotFound" });
    const asked = serve(10 * PART);
    await file.readStream("/a").cancel();
    assert.equal(asked.length, 0);
  });

  it("uses the documented tool where there is no other way", async () => {
    fake.extensions = [];
    const chunk = (text: string): object => ok({ content: Buffer.from(text).toString("base64"), size: text.length });
    fake.procedures["file.readChunk"] = [chunk("x".repeat(51_200)), chunk("end")] as never;
    assert.equal(await count(file.readStream("/a")), 51_203);
    assert.deepEqual(fake.calls.map(([, args]) => (args as { offset: number }).offset), [0, 51_200]);
  });
});

describe("writing a stream", () => {
  it("sends full parts in order, and the last one completes the file", async () => {
    const sent: Array<[number, boolean, number]> = [];
    fake.onTransfer = (name, args, bytes) => {
      assert.equal(name, "file.writePart");
      sent.push([Number(args["offset"]), Boolean(args["complete"]), bytes!.length]);
      return ok({ meta: '{"size":0,"etag":"","isLast":false}', bytes: new Uint8Array(0) });
    };
    const writer = file.writeStream("/a").getWriter();
    await writer.write(new Uint8Array(PART + 1));
    await writer.write("ü");
    await writer.close();
    assert.deepEqual(sent, [[0, false, PART], [PART, true, 3]]);
  });

  it("gives an upload up that failed or was aborted", async () => {
    fake.procedures["file.discard"] = ok(null);
    fake.onTransfer = () => failed("InsufficientStorage", 507, "full");
    const failing = file.writeStream("/a").getWriter();
    await assert.rejects(async () => {
      await failing.write(new Uint8Array(1));
      await failing.close();
    }, { code: "InsufficientStorage" });
    const aborted = file.writeStream("/a").getWriter();
    await aborted.abort();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(fake.calls.filter(([name]) => name === "file.discard").length, 2);
  });

  it("uses the documented tool for texts, whole characters at a time", async () => {
    fake.extensions = [];
    fake.procedures["file.write"] = ok(null);
    const writer = file.writeStream("/a").getWriter();
    await writer.write("x".repeat(51_199) + "€");
    await writer.close();
    const parts = fake.calls.map(([, args]) => args as { content: string; mode: string });
    assert.deepEqual(parts.map(({ content, mode }) => [content.length, mode]), [[51_199, "overwrite"], [1, "append"]]);
    const binary = file.writeStream("/b").getWriter();
    await assert.rejects(async () => {
      await binary.write(new Uint8Array([0xff]));
      await binary.close();
    }, { code: "NOT_SUPPORTED" });
  });
});

describe("watching", () => {
  const event = (path: string, eventType = "create"): object => ({ eventType, path, pathType: "file" });
  const news = (after: number, events: object[], ended: string | null = null): object => ok({ watch: "w", after, events, ended });

  it("asks behind what has come, and ends when the service says so", async () => {
    fake.procedures["file.watchOpen"] = ok("w");
    fake.procedures["file.watchNext"] = [news(0, []), news(1, [event("/a"), event("/b")]), news(2, [event("/", "delete")], "gone")] as never;
    const paths: string[] = [];
    for await (const { path } of file.watch("/", { recursive: true })) {
      paths.push(path);
    }
    assert.deepEqual(paths, ["/a", "/b", "/"]);
    const asked = fake.calls.filter(([name]) => name === "file.watchNext").map(([, args]) => (args as { after: number }).after);
    assert.deepEqual(asked, [0, 0, 1]);
  });

  it("tells the service when it is left", async () => {
    fake.procedures["file.watchOpen"] = ok("w");
    fake.procedures["file.watchNext"] = news(1, [event("/a")]) as never;
    fake.procedures["file.watchClose"] = ok(null);
    for await (const _ of file.watch("/")) {
      break;
    }
    assert.equal(fake.calls.at(-1)?.[0], "file.watchClose");
  });

  it("says so where the service does not tell, and rejects wrong arguments", async () => {
    fake.extensions = [];
    const watch = file.watch("/");
    await assert.rejects(watch.ready, { code: "NOT_SUPPORTED" });
    await assert.rejects(watch.next(), { code: "NOT_SUPPORTED" });
    assert.throws(() => file.watch(""), TypeError);
    assert.throws(() => file.watch("/", { recursive: 1 as never }), TypeError);
  });
});

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { AGB, type FileSystem } from "../src/index.js";
import { localFiles } from "../src/node/local-files.js";
import { FakeBackend, type FakeSession, failed, ok } from "./fake-binding.js";

const backend = new FakeBackend().plug({ localFiles });
const CONTENT = Buffer.alloc(3 << 20, "0123456789");
let file: FileSystem;
let fake: FakeSession;
let folder: string;
let store: Server;
let url: string;
const stored: Array<{ body: Buffer; type: string | undefined; length: string | undefined }> = [];

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "agb-transfer-"));
  writeFileSync(join(folder, "local.bin"), CONTENT);
  store = createServer(async (request, response) => {
    if (request.url === "/refuse") {
      response.writeHead(403).end("no");
      return;
    }
    if (request.method === "PUT") {
      const parts: Buffer[] = [];
      for await (const part of request) {
        parts.push(part as Buffer);
      }
      stored.push({ body: Buffer.concat(parts), type: request.headers["content-type"], length: request.headers["content-length"] });
      response.writeHead(200, { etag: '"e-1"' }).end();
    } else {
      response.writeHead(200, { "content-length": CONTENT.length });
      response.write(CONTENT.subarray(0, 1000));
      request.url === "/cut" ? response.destroy() : response.end(CONTENT.subarray(1000));
    }
  });
  await new Promise<void>((resolve) => store.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(store.address() as AddressInfo).port}`;
});

after(() => {
  store.close();
  rmSync(folder, { recursive: true });
});

beforeEach(async () => {
  const { session } = await new AGB("key").create({ imageId: "agb-code-space-1" });
  assert(session);
  file = session.file;
  fake = backend.client.session;
  fake.procedures["context.transfer"] = ok({ contextId: "c", path: "/tmp/transfer" });
  fake.procedures["context.uploadUrl"] = ok({ url: `${url}/file` });
  fake.procedures["context.downloadUrl"] = ok({ url: `${url}/file` });
});

const calls = () => fake.calls.map(([name]) => name);

describe("an upload", () => {
  it("goes through the session's context, and tells its progress", async () => {
    const progress: number[] = [];
    const result = await file.upload(join(folder, "local.bin"), "/tmp/transfer/sub/a.bin", {
      contentType: "text/x",
      progressCallback: (bytes) => progress.push(bytes),
    });
    assert.deepEqual(result, {
      success: true,
      requestIdUploadUrl: "r-1",
      requestIdSync: "r-1",
      httpStatus: 200,
      etag: '"e-1"',
      bytesSent: CONTENT.length,
      path: "/tmp/transfer/sub/a.bin",
      errorMessage: "",
    });
    const [got] = stored;
    assert(got);
    assert(got.body.equals(CONTENT));
    assert.deepEqual([got.type, got.length], ["text/x", String(CONTENT.length)]);
    assert.equal(progress.at(-1), CONTENT.length);
    assert.deepEqual(progress, [...progress].sort((a, b) => a - b));
    assert.deepEqual(fake.calls.slice(1), [
      ["context.uploadUrl", { contextId: "c", filePath: "/tmp/transfer/sub/a.bin" }],
      ["context.beginSync", { contextId: "c", path: "/tmp/transfer/sub", mode: "download" }],
      ["context.await", { contextId: "c", path: "/tmp/transfer/sub", taskType: "download" }],
    ]);
  });

  it("does not wait when it is told so, and asks for its context once", async () => {
    await file.upload(join(folder, "local.bin"), "/tmp/transfer/a.bin", { wait: false });
    await file.upload(join(folder, "local.bin"), "a.bin", { wait: false });
    assert(!calls().includes("context.await"));
    assert.equal(calls().filter((name) => name === "context.transfer").length, 1);
    assert.deepEqual(fake.calls.at(-1), ["context.beginSync", { contextId: "c", path: "/tmp/transfer", mode: "download" }]);
  });

  it("resolves failures of every step", async () => {
    const local = join(folder, "local.bin");
    assert.match((await file.upload(folder, "/a")).errorMessage, /not found/);
    assert.deepEqual(fake.calls, []);
    fake.procedures["context.transfer"] = ok(null);
    assert.match((await file.upload(local, "/a")).errorMessage, /Context ID not available/);
    fake.procedures["context.transfer"] = ok({ contextId: "c", path: "/t" });
    fake.procedures["context.uploadUrl"] = ok({ url: `${url}/refuse` });
    const refused = await file.upload(local, "/a");
    assert.deepEqual([refused.success, refused.httpStatus], [false, 403]);
    fake.procedures["context.uploadUrl"] = ok({ url: "http://127.0.0.1:1/" });
    assert.match((await file.upload(local, "/a")).errorMessage, /ECONNREFUSED|bad port/);
    fake.procedures["context.uploadUrl"] = ok({ url: `${url}/file` });
    fake.procedures["context.await"] = failed("SYNC_FAILED", 200, "disk full");
    const late = await file.upload(local, "/a");
    assert.deepEqual([late.success, late.errorMessage, late.bytesSent], [false, "disk full", CONTENT.length]);
  });

  it("is stopped by its signal and by a callback that throws", async () => {
    const stop = new AbortController();
    const stopped = await file.upload(join(folder, "local.bin"), "/a", { signal: stop.signal, progressCallback: () => stop.abort() });
    assert.equal(stopped.success, false);
    const thrown = await file.upload(join(folder, "local.bin"), "/a", {
      progressCallback: () => {
        throw new Error("enough");
      },
    });
    assert.deepEqual([thrown.success, thrown.errorMessage], [false, "enough"]);
    const progressCallback = async (): Promise<void> => {
      throw new Error("later");
    };
    const up = await file.upload(join(folder, "local.bin"), "/a", { progressCallback });
    const down = await file.download("/a", join(folder, "rejected.bin"), { progressCallback });
    assert.deepEqual([up.errorMessage, down.errorMessage, existsSync(join(folder, "rejected.bin"))], ["later", "later", false]);
  });
});

describe("a transfer", () => {
  it("does without options, and names those that are wrong before anything is sent", async () => {
    const local = join(folder, "local.bin");
    assert.equal((await file.upload(local, "/a", null)).success, true);
    assert.equal((await file.download("/a", join(folder, "plain.bin"), null)).success, true);
    fake.calls.length = 0;
    const wrong = [
      5, "x", { contentType: 5 }, { wait: "no" }, { overwrite: 1 }, { waitTimeout: -1 }, { pollInterval: "x" }, { progressCallback: 5 },
    ];
    for (const options of wrong) {
      const name = new RegExp(typeof options === "object" ? Object.keys(options)[0]! : "options");
      assert.match((await file.upload(local, "/a", options as never)).errorMessage, name);
      assert.match((await file.download("/a", join(folder, "wrong.bin"), options as never)).errorMessage, name);
    }
    for (const path of [undefined, null, 5, " "]) {
      assert.match((await file.upload(local, path as never)).errorMessage, /remotePath must be/);
      assert.match((await file.download(path as never, join(folder, "wrong.bin"))).errorMessage, /remotePath must be/);
      assert.match((await file.download("/a", path as never)).errorMessage, /localPath must be/);
    }
    assert.deepEqual(fake.calls, []);
    assert.equal(existsSync(join(folder, "wrong.bin")), false);
  });
});

describe("a download", () => {
  it("arrives whole, in folders that are made, and its copy is deleted", async () => {
    const target = join(folder, "new", "deep", "b.bin");
    const result = await file.download("/tmp/transfer/a.bin", target);
    assert.deepEqual(result, {
      success: true,
      requestIdDownloadUrl: "r-1",
      requestIdSync: "r-1",
      httpStatus: 200,
      bytesReceived: CONTENT.length,
      path: "/tmp/transfer/a.bin",
      localPath: target,
      errorMessage: "",
    });
    assert(readFileSync(target).equals(CONTENT));
    assert.deepEqual(calls(), ["context.transfer", "context.beginSync", "context.await", "context.downloadUrl", "context.deleteFile"]);
    assert.equal((await file.download("/tmp/transfer/a.bin", target)).success, true);
    const kept = await file.download("/tmp/transfer/a.bin", target, { overwrite: false });
    assert.deepEqual([kept.success, /exists/.test(kept.errorMessage)], [false, true]);
  });

  it("to where no folder can be made fails", async () => {
    // Node's own `mkdir` with `recursive` would go on for ever there.
    for (const target of ["/proc/none/below/b.bin", join(folder, "file", "b.bin")]) {
      writeFileSync(join(folder, "file"), "");
      const { success, errorMessage } = await file.download("/tmp/transfer/a.bin", target);
      assert.deepEqual([success, /mkdir/.test(errorMessage)], [false, true], errorMessage);
    }
  });

  it("that is cut leaves what was there and nothing half written", async () => {
    const target = join(folder, "kept.bin");
    writeFileSync(target, "old");
    fake.procedures["context.downloadUrl"] = ok({ url: `${url}/cut` });
    assert.equal((await file.download("/a", target)).success, false);
    assert.equal(readFileSync(target, "utf8"), "old");
    fake.procedures["context.downloadUrl"] = ok({ url: `${url}/refuse` });
    assert.equal((await file.download("/a", join(folder, "none"))).httpStatus, 403);
    assert(!existsSync(join(folder, "none")));
    assert.deepEqual(readdirSync(folder).filter((name) => name.endsWith(".part")), []);
  });
});

describe("the folder for files on their way", () => {
  it("is the context's, or none", async () => {
    assert.equal(await file.transferPath(), "/tmp/transfer");
    const { session } = await new AGB("key").create({ imageId: "i" });
    backend.client.session.failure = failed("UNREACHABLE", null, "x");
    assert.equal(await session?.file.transferPath(), undefined);
  });
});

import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { type FileChangeEvent, FileSystem } from "../src/index.js";
import { FakeBackend, type FakeSession, failed, ok } from "./fake-binding.js";

const backend = new FakeBackend().plug();
const DONE = { requestId: "r-1", success: true, errorMessage: "", httpStatus: 200 };
const FAILED = { requestId: "r-2", success: false, errorMessage: "/a: not found", code: "TOOL_FAILED", httpStatus: 200 };
const CHANGE: FileChangeEvent = { eventType: "create", path: "/a", pathType: "file" };
let file: FileSystem;
let fake: FakeSession;

beforeEach(async () => {
  const made = await backend.newSession();
  [file, fake] = [made.session.file, made.fake];
});

describe("files", () => {
  it("are written, moved and deleted by methods of several names", async () => {
    for (const call of [
      () => file.createDirectory("/a/"), () => file.mkdir("/a/"),
      () => file.deleteFile("/a"), () => file.delete("/a"), () => file.remove("/a"), () => file.rm("/a"),
      () => file.moveFile("/a", "/b"), () => file.move("/a", "/b"),
      () => file.writeFile("/a", "x"), () => file.write("/a", "x", "append"),
      () => file.editFile("/a", [{ oldText: "x", newText: "y" }]), () => file.edit("/a", [], true),
    ]) {
      assert.deepEqual(await call(), { ...DONE, data: true });
    }
    assert.deepEqual(fake.calls.slice(8), [
      ["file.write", { path: "/a", content: "x", mode: "overwrite" }],
      ["file.write", { path: "/a", content: "x", mode: "append" }],
      ["file.edit", { path: "/a", edits: [{ oldText: "x", newText: "y" }], dryRun: false }],
      ["file.edit", { path: "/a", edits: [], dryRun: true }],
    ]);
    assert.deepEqual(new Set(fake.calls.slice(2, 6).map(([name]) => name)), new Set(["file.delete"]));
  });

  it("are read as text or as bytes", async () => {
    fake.procedures["file.read"] = ok({ content: "é" });
    fake.procedures["file.readBytes"] = ok({ content: "w6k=", size: 2 });
    assert.deepEqual(await file.readFile("/a"), { ...DONE, content: "é" });
    assert.deepEqual(await file.read("/a", { format: "text" }), { ...DONE, content: "é" });
    const bytes = { ...DONE, content: Buffer.from("é"), size: 2 };
    assert.deepEqual(await file.read("/a", { format: "bytes" }), bytes);
    assert.deepEqual(await file.readBytes("/a"), bytes);
    assert.match((await file.read("/a", { format: "base64" as "text" })).errorMessage, /^format must be/);
  });

  it("tell what they are", async () => {
    const info = { name: "a", path: "/a", size: 3, isDirectory: false, type: "file", modTime: "t", mode: "644" };
    fake.procedures["file.info"] = ok({ ...info, owner: null, group: null });
    fake.procedures["file.list"] = ok([{ type: "file", name: "a" }]);
    fake.procedures["file.search"] = ok(["/a"]);
    fake.procedures["file.readMany"] = ok({ "/a": "x" });
    fake.procedures["file.changes"] = ok({ events: [CHANGE], rawData: "[…]" });
    assert.deepEqual(await file.getFileInfo("/a"), { ...DONE, fileInfo: info });
    assert.deepEqual(await file.ls("/"), { ...DONE, entries: [{ type: "file", name: "a" }] });
    assert.deepEqual(await file.searchFiles("/", "*", ["b"]), { ...DONE, matches: ["/a"] });
    assert.deepEqual(await file.readBatch(["/a"]), { ...DONE, files: { "/a": "x" } });
    assert.deepEqual(await file.getFileChange("/"), { ...DONE, events: [CHANGE], rawData: "[…]" });
    assert.deepEqual(fake.calls[2], ["file.search", { path: "/", pattern: "*", excludePatterns: ["b"] }]);
  });

  it("resolve failures with empty contents", async () => {
    fake.failure = failed("TOOL_FAILED", 200, "/a: not found");
    assert.deepEqual(await file.read("/a"), { ...FAILED, content: "" });
    assert.deepEqual(await file.readBytes("/a"), { ...FAILED, content: Buffer.alloc(0) });
    assert.deepEqual(await file.list("/a"), { ...FAILED, entries: [] });
    assert.deepEqual(await file.readMultipleFiles(["/a"]), { ...FAILED, files: {} });
    assert.deepEqual(await file.getFileChange("/a"), { ...FAILED, events: [] });
    for (const result of [await file.info("/a"), await file.search("/", "x"), await file.write("/a", "")]) {
      assert.deepEqual(result, FAILED);
    }
  });

  it("have methods that work by themselves, and print no more than the session's id", async () => {
    const { read, mkdir, watchDir } = file;
    assert.equal(typeof watchDir, "function");
    assert.equal((await mkdir("/a")).success, true);
    assert.equal((await read("/a")).success, true);
    assert.equal(JSON.stringify(file), '{"sessionId":"s-1"}');
    assert.equal(FileSystem.DEFAULT_CHUNK_SIZE, 51_200);
  });
});

describe("a watch", () => {
  const look = (events: FileChangeEvent[], problem: string | null = null, ended = false) => ok({ events, problem, ended });

  it("tells changes only, goes on after a failed look, and ends with the session", async () => {
    fake.procedures["file.watch"] = [look([]), look([]), look([], "busy"), look([CHANGE]), look([], "gone", true)];
    const heard: FileChangeEvent[][] = [];
    await file.watchDirectory("/a", (events) => heard.push(events), 1);
    assert.deepEqual(heard, [[CHANGE]]);
    assert.deepEqual(fake.calls.map(([, args]) => args), [true, false, false, false, false].map((first) => ({ path: "/a", first })));
  });

  it("goes on when its callback throws", async () => {
    fake.procedures["file.watch"] = [look([CHANGE]), look([CHANGE]), look([], "gone", true)];
    let heard = 0;
    await file.watchDirectory("/a", async () => {
      heard += 1;
      throw new Error("not now");
    }, 1);
    assert.equal(heard, 2);
  });

  it("stops at once, also while it waits", async () => {
    fake.procedures["file.watch"] = look([CHANGE]);
    const stop = new AbortController();
    await file.watchDirectory("/a", () => stop.abort(), 3_600_000, stop.signal);
    await new Promise<void>((resolve) => {
      const { stop: end } = file.watchDir("/a", () => {
        end();
        resolve();
      }, 3_600_000);
    });
    assert.equal(fake.calls.length, 2);
  });

  it("needs a path, a callback and a time", async () => {
    for (const path of [undefined, 5, "", Symbol("path")]) {
      await assert.rejects(file.watchDirectory(path as never, () => {}), TypeError);
      assert.throws(() => file.watchDir(path as never, () => {}), TypeError);
    }
    await assert.rejects(file.watchDirectory("/a", "log" as never), TypeError);
    assert.throws(() => file.watchDir("/a", () => {}, -1), TypeError);
    assert.deepEqual(fake.calls, []);
  });
});

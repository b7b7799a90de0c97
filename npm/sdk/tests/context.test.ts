import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import {
  AGB,
  ClearanceTimeoutError,
  Context,
  ContextSync,
  Lifecycle,
  newRecyclePolicy,
  newSyncPolicy,
  type Session,
  syncPolicyToDict,
  UploadMode,
  setLogger,
} from "../src/index.js";
import { FakeBackend, failed, ok } from "./fake-binding.js";

const backend = new FakeBackend().plug();
const DONE = { requestId: "r-1", success: true, errorMessage: "", httpStatus: 200 };
const FAILED = { requestId: "r-2", success: false, errorMessage: "no such context", code: "NOT_FOUND", httpStatus: 404 };
let agb: AGB;
let session: Session;

beforeEach(async () => {
  agb = new AGB("key");
  ({ session } = await agb.create({ imageId: "i" }));
  backend.client.calls.length = 0;
});

describe("contexts", () => {
  it("are listed, found and made", async () => {
    const { procedures } = backend.client;
    procedures["context.list"] = ok({ contexts: [{ id: "c-1", name: "n", createdAt: "t", lastUsedAt: null }], nextToken: null, maxResults: 5, totalCount: 1 });
    const context = new Context("c-1", "n", "t");
    assert.deepEqual(await agb.context.list({ maxResults: 5 }), { ...DONE, contexts: [context], maxResults: 5, totalCount: 1 });
    procedures["context.get"] = ok({ id: "c-1", name: "n", createdAt: "t", lastUsedAt: null });
    const { get, create } = agb.context;
    assert.deepEqual(await get("n"), { ...DONE, contextId: "c-1", context });
    assert.deepEqual(await create("n"), { ...DONE, contextId: "c-1", context });
    assert.deepEqual(backend.client.calls, [
      ["context.list", { maxResults: 5 }],
      ["context.get", { name: "n", create: false }],
      ["context.get", { name: "n", create: true, loginRegionId: null, contextId: null }],
    ]);
  });

  it("are changed by an instance or a plain object", async () => {
    backend.client.procedures["context.update"] = ok("c-1");
    backend.client.procedures["context.delete"] = ok("c-1");
    const changed = { ...DONE, data: { context_id: "c-1" } };
    assert.deepEqual(await agb.context.update(new Context("c-1", "new")), changed);
    assert.deepEqual(await agb.context.delete({ id: "c-1", name: "new" }), changed);
    assert.deepEqual(backend.client.calls, [["context.update", { contextId: "c-1", name: "new" }], ["context.delete", { contextId: "c-1" }]]);
    backend.client.calls.length = 0;
    for (const wrong of [undefined, null, {}, { id: " " }, { id: 7 }]) {
      const { success, code, errorMessage } = await agb.context.delete(wrong as never);
      assert.deepEqual([success, code], [false, "BAD_ARGUMENTS"]);
      assert.match(errorMessage, /^context\.id must be a non-empty string/);
    }
    assert.match((await agb.context.update({ id: "c-1" } as never)).errorMessage, /^context\.name must be/);
    assert.deepEqual(backend.client.calls, []);
  });

  it("have files, with both spellings of their fields", async () => {
    const file = { fileId: "7", name: "a", path: "/d/a", type: "FILE", size: 3, fileName: "a", filePath: "/d/a", fileType: "FILE" };
    backend.client.procedures["context.listFiles"] = ok({ files: [{ ...file, status: null }], count: 1 });
    backend.client.procedures["context.uploadUrl"] = ok({ url: "https://u", expireTime: "9" });
    backend.client.procedures["context.downloadUrl"] = ok({ url: "https://d", expireTime: null });
    assert.deepEqual(await agb.context.listFiles("c"), { ...DONE, files: [file], entries: [file], count: 1 });
    assert.deepEqual(backend.client.calls[0], ["context.listFiles", { contextId: "c", parentFolderPath: "", pageNumber: 1, pageSize: 50 }]);
    assert.deepEqual(await agb.context.getFileUploadUrl("c", "/d/a"), { ...DONE, url: "https://u", expireTime: "9" });
    assert.deepEqual(await agb.context.getFileDownloadUrl("c", "/d/a"), { ...DONE, url: "https://d" });
    assert.deepEqual(await agb.context.deleteFile("c", "/d/a"), { ...DONE, data: true });
  });

  it("are cleared, and a time-out is an error of its own", async () => {
    const { procedures } = backend.client;
    procedures["context.clearAsync"] = ok({ contextId: "c", state: "clearing" });
    procedures["context.clear"] = ok({ contextId: "c", state: "available" });
    assert.deepEqual(await agb.context.clearAsync("c"), { ...DONE, contextId: "c", state: "clearing", status: "clearing" });
    assert.equal((await agb.context.clear("c", 5, 1)).status, "available");
    assert.deepEqual(backend.client.calls.at(-1), ["context.clear", { contextId: "c", timeout: 5, pollInterval: 1 }]);
    procedures["context.clear"] = failed("CLEARANCE_TIMED_OUT", null, "still clearing");
    await assert.rejects(agb.context.clear("c"), (error) => error instanceof ClearanceTimeoutError && /60 seconds/.test(error.message));
    procedures["context.clear"] = failed("NOT_FOUND", 404, "no such context");
    assert.deepEqual(await agb.context.clear("c"), FAILED);
  });

  it("resolve failures with empty fields", async () => {
    backend.client.failure = failed("NOT_FOUND", 404, "no such context");
    assert.deepEqual(await agb.context.list(), { ...FAILED, contexts: [] });
    assert.deepEqual(await agb.context.get("n"), { ...FAILED, contextId: "" });
    assert.deepEqual(await agb.context.listFiles("c"), { ...FAILED, files: [], entries: [] });
    assert.deepEqual(await agb.context.getFileUploadUrl("c", "/a"), { ...FAILED, url: "" });
    assert.deepEqual(await agb.context.deleteFile("c", "/a"), { ...FAILED, data: false });
    assert.equal(JSON.stringify(agb.context), '{"type":"ContextService"}');
  });
});

describe("a session's contexts", () => {
  it("tell what they are doing", async () => {
    const item = { contextId: "c", path: "/p", errorMessage: "", status: "Success", startTime: 1, finishTime: 2, taskType: "upload" };
    backend.client.session.procedures["context.info"] = ok([item]);
    assert.deepEqual(await session.context.info("c", "/p", "upload"), { ...DONE, items: [item], data: [item] });
    assert.deepEqual(backend.client.session.calls, [["context.info", { contextId: "c", path: "/p", taskType: "upload" }]]);
  });

  it("are synchronized, at once or with a callback", async () => {
    const fake = backend.client.session;
    assert.deepEqual(await session.context.sync("c", "/p", "upload"), DONE);
    assert.deepEqual(fake.calls, [["context.sync", { contextId: "c", path: "/p", mode: "upload", maxRetries: 150, retryInterval: 1500 }]]);
    fake.procedures["context.sync"] = failed("SYNC_FAILED", 200, "disk full");
    assert.equal((await session.context.sync()).errorMessage, "disk full");
    const told = await new Promise<[boolean, boolean]>((resolve) => {
      let begun = false;
      void session.context.sync(null, null, null, 1, 1, (success) => resolve([begun, success])).then(({ success }) => (begun = success));
    });
    assert.deepEqual(told, [true, false]);
  });

  it("log what a callback throws, also later", async () => {
    const line = new Promise<string>((resolve) => {
      const others = (): void => {};
      setLogger({ error: resolve, warn: others, info: others, debug: others });
    });
    await session.context.sync(null, null, null, 1, 1, async () => {
      throw new Error("not now");
    });
    assert.match(await line, /the callback of context.sync threw: Error: not now/);
    setLogger(null);
  });
});

describe("policies", () => {
  it("have their documented defaults", () => {
    assert.deepEqual(syncPolicyToDict(newSyncPolicy()), {
      uploadPolicy: { autoUpload: true, uploadStrategy: "UploadBeforeResourceRelease", uploadMode: "File" },
      downloadPolicy: { autoDownload: true, downloadStrategy: "DownloadAsync" },
      deletePolicy: { syncLocalFile: true },
      extractPolicy: { extract: true, deleteSrcFile: true, extractToCurrentFolder: false },
      recyclePolicy: { lifecycle: "Lifecycle_Forever", paths: [""] },
      bwList: { whiteLists: [] },
    });
  });

  it("say only what is set, as the service spells it", () => {
    const policy = { uploadPolicy: { uploadMode: UploadMode.ARCHIVE }, mappingPolicy: { path: "/old" }, bwList: undefined };
    assert.deepEqual(syncPolicyToDict(policy as never), { uploadPolicy: { uploadMode: "Archive" }, mappingPolicy: { path: "/old" } });
    assert.deepEqual(syncPolicyToDict(), {});
    const partial = newSyncPolicy({ uploadPolicy: { autoUpload: false }, mappingPolicy: { path: "/old" } });
    assert.deepEqual([partial.uploadPolicy?.autoUpload, partial.mappingPolicy], [false, { path: "/old" }]);
  });

  it("refuse wildcards among what is recycled", () => {
    for (const path of ["*.log", "a?", "[a]"]) {
      assert.throws(() => newRecyclePolicy({ paths: ["/ok", path] }), /Wildcard/);
    }
    assert.deepEqual(newRecyclePolicy({ lifecycle: Lifecycle.LIFECYCLE_1DAY, paths: ["/a"] }), { lifecycle: "Lifecycle_1Day", paths: ["/a"] });
  });

  it("are changed in place", () => {
    const mount = ContextSync.new("c", "/p");
    assert.deepEqual({ ...mount }, { contextId: "c", path: "/p" });
    assert.equal(mount.withPolicy(newSyncPolicy()), mount);
    assert(mount.policy);
  });
});

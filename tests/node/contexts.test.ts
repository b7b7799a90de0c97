/** Contexts, from Node against the real server. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { type Stage, startStage } from "./local-server.ts";

let stage: Stage;
let folder: string;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "agb-contexts-"));
  stage = await startStage("--contexts-dir", join(folder, "contexts"));
});
after(async () => {
  await stage.leave();
  rmSync(folder, { recursive: true });
});

describe("contexts", () => {
  test("are made, found, renamed, listed and deleted", async () => {
    const { context: contexts } = stage.agb;
    const made = await contexts.create("papers");
    assert.ok(made.context, made.errorMessage);
    assert.equal((await contexts.create("papers")).contextId, made.contextId);
    assert.equal((await contexts.get("papers")).contextId, made.contextId);
    assert.equal((await contexts.get(undefined, false, undefined, made.contextId)).context?.name, "papers");
    assert.equal((await contexts.get("nothing of that name")).success, false);
    assert.equal((await contexts.get()).code, "BAD_ARGUMENTS");
    assert.ok((await contexts.update({ ...made.context, name: "books" })).success);
    const listed = await contexts.list({ maxResults: 100 });
    assert.ok(listed.contexts.some(({ id, name }) => id === made.contextId && name === "books"), listed.errorMessage);
    const deleted = await contexts.delete(made.context);
    assert.deepEqual(deleted.data, { context_id: made.contextId });
    assert.equal((await contexts.get(undefined, false, undefined, made.contextId)).success, false);
  });

  test("have files that are put and fetched by addresses without the key, and are cleared", async () => {
    const { context: contexts } = stage.agb;
    const { contextId } = await contexts.create("files");
    const up = await contexts.getFileUploadUrl(contextId, "/data/a.txt");
    assert.ok(up.url, up.errorMessage);
    assert.ok((await fetch(up.url, { method: "PUT", body: "hällo" })).ok);
    const { files, entries } = await contexts.listFiles(contextId, "/data");
    assert.deepEqual(files.map(({ name, filePath, size }) => [name, filePath, size]), [["a.txt", "/data/a.txt", 6]]);
    assert.equal(entries, files);
    const down = await contexts.getFileDownloadUrl(contextId, "/data/a.txt");
    assert.equal(await (await fetch(down.url)).text(), "hällo");
    assert.equal((await contexts.deleteFile(contextId, "/data/a.txt")).data, true);
    assert.equal((await contexts.clear(contextId, 30, 0.05)).state, "available");
    assert.deepEqual((await contexts.listFiles(contextId, "/data")).files, []);
  });
});

/** Mounts, uploads and downloads, from Node against the real server. */

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { ContextSync, newSyncPolicy, newUploadPolicy } from "agbcloud-sdk/context-sync";

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

describe("a session with a context", () => {
  test("has its files, keeps what it adds, and gives it to the next session", async () => {
    const { agb } = stage;
    const { contextId } = await agb.context.create("project");
    const up = await agb.context.getFileUploadUrl(contextId, "/home/project/given.txt");
    assert.ok((await fetch(up.url, { method: "PUT", body: "given" })).ok, up.errorMessage);
    const contextSync = [new ContextSync(contextId, "/home/project")];
    const first = await agb.create({ imageId: "agb-code-space-1", contextSync });
    assert.ok(first.success, first.errorMessage);
    assert.deepEqual(first.contexts?.filter(({ status }) => status !== "Success"), []);
    assert.equal((await first.session.file.read("/home/project/given.txt")).content, "given");
    const added = await first.session.command.execute("echo added > /home/project/added.txt; ls /home/project", 10_000);
    assert.equal(added.stdout, "added.txt\ngiven.txt\n", added.errorMessage);
    assert.ok((await first.session.context.sync(contextId, "/home/project", "upload")).success);
    const { data } = await first.session.context.info(contextId);
    assert.ok(data.every(({ status }) => status === "Success"));
    assert.ok((await agb.delete(first.session, true)).success);

    const policy = newSyncPolicy({ uploadPolicy: newUploadPolicy({ autoUpload: false }) });
    const second = await agb.create({ imageId: "agb-code-space-1", contextSync: [{ contextId, path: "/home/project", policy }] });
    assert.equal((await second.session.file.read("/home/project/added.txt")).content, "added\n");
    assert.ok((await second.session.delete()).success);
  });

  test("that does not exist is refused, and no session is made", async () => {
    const refused = await stage.agb.create({ imageId: "agb-code-space-1", contextSync: [{ contextId: "ctx-none", path: "/data" }] });
    assert.equal(refused.success, false);
    assert.notEqual(refused.errorMessage, "");
  });
});

describe("a file of this machine", () => {
  test("goes into the session and comes back", async () => {
    const { file } = stage.session;
    const transferPath = await file.transferPath();
    assert.ok(transferPath, "the service gave the session no folder for transfers");
    const content = Buffer.alloc(300_000, "0123456789");
    writeFileSync(join(folder, "up.bin"), content);
    const progress: number[] = [];
    const remote = `${transferPath}/up.bin`;
    const up = await file.upload(join(folder, "up.bin"), remote, { progressCallback: (bytes) => progress.push(bytes) });
    assert.ok(up.success, up.errorMessage);
    assert.deepEqual([up.bytesSent, progress.at(-1)], [content.length, content.length]);
    assert.ok((await file.readBytes(remote)).content.equals(content));
    const down = await file.download(remote, join(folder, "down", "down.bin"));
    assert.ok(down.success, down.errorMessage);
    assert.ok(readFileSync(join(folder, "down", "down.bin")).equals(content));
  });
});

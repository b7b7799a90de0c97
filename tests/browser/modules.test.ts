/** Commands, files and contexts of a session, in a page. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Stage } from "./stage.js";

let stage: Stage;
let folder: string;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "agb-contexts-"));
  stage = await Stage.build("--contexts-dir", folder);
});
after(async () => {
  await stage.close();
  rmSync(folder, { recursive: true });
});

describe("a page that was let into a session", () => {
  it("runs commands and works with files over the session's own link", async () => {
    const page = await stage.page();
    const seen = await page.evaluate(async (access) => {
      const session = agb.Session.attach(access as never);
      const { run } = session.command;
      const command = await run("echo from a page", 10_000);
      await session.file.write("/tmp/page.txt", "hällo");
      const text = (await session.file.read("/tmp/page.txt")).content;
      const { content } = await session.file.readBytes("/tmp/page.txt");
      const bytes = [content.constructor.name, ...content];
      const missing = await session.file.read("/tmp/none");
      const upload = await session.file.upload("a", "/tmp/a");
      const key = await session.context.info();
      return { command: command.stdout, text, bytes, missing: missing.success, upload: upload.errorMessage, key: key.code };
    }, await stage.access() as never);
    assert.deepEqual(seen, {
      command: "from a page\n",
      text: "hällo",
      bytes: ["Uint8Array", ...Buffer.from("hällo")],
      missing: false,
      upload: "A page has no local files: read and write contents with session.file.read and session.file.write",
      key: "NO_API_KEY",
    });
  });
});

describe("a page with an API key", () => {
  it("has contexts, mounts and everything else that Node has", async () => {
    const page = await stage.page();
    const { endpoint, apiKey } = stage.server;
    const seen = await page.evaluate(async ({ endpoint, apiKey }) => {
      const account = new agb.AGB({ apiKey, config: { endpoint } });
      const made = await account.context.create("from-a-page");
      const wrong = await account.context.get();
      const contextSync = [new agb.ContextSync(made.contextId, "/home/page")];
      const { session, success, errorMessage, contexts } = await account.create({ imageId: "agb-code-space-1", contextSync });
      if (!success) {
        return { errorMessage };
      }
      await session.file.write("/home/page/a.txt", "kept");
      const synced = await session.context.sync();
      const deleted = await account.delete(session, true);
      const { files } = await account.context.listFiles(made.contextId, "/home/page");
      return {
        wrong: wrong.code,
        settled: contexts?.every(({ status }) => status === "Success"),
        synced: synced.success,
        deleted: deleted.success,
        files: files.map(({ name }) => name),
      };
    }, { endpoint, apiKey });
    assert.deepEqual(seen, { wrong: "BAD_ARGUMENTS", settled: true, synced: true, deleted: true, files: ["a.txt"] });
  });
});

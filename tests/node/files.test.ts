/** Commands and files of a session, from Node against the real server. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { FileChangeEvent, Session } from "agbcloud-sdk";

import { type Stage, startStage } from "./local-server.ts";

let stage: Stage;
let session: Session;

before(async () => {
  stage = await startStage();
  ({ session } = stage);
});
after(() => stage.leave());

describe("commands", () => {
  test("tell what they printed and how they ended", async () => {
    const { run, exec } = session.command;
    const fine = await run("echo out; echo err >&2", 10_000);
    assert.deepEqual(
      [fine.success, fine.exitCode, fine.stdout, fine.stderr, fine.output, fine.errorMessage, fine.traceId],
      [true, 0, "out\n", "err\n", "out\nerr\n", "", ""],
    );
    const failed = await exec("echo why >&2; exit 3", 10_000);
    assert.deepEqual([failed.success, failed.exitCode, failed.errorMessage], [false, 3, "why\n"]);
    assert.notEqual(failed.traceId, "");
    assert.match((await run("exit 4", 10_000)).errorMessage, /4/);
  });

  test("have a folder, an environment and a time limit of their own, and share files", async () => {
    const placed = await session.command.execute("pwd; echo $GREETING", 10_000, "/tmp", { GREETING: "hällo" });
    assert.equal(placed.stdout, "/tmp\nhällo\n", placed.errorMessage);
    const byName = await session.command.execute("cd /; export LOST=1; echo kept > kept.txt; pwd", { timeoutMs: 10_000, cwd: "/tmp" });
    assert.equal(byName.stdout, "/\n", byName.errorMessage);
    assert.equal((await session.command.execute('echo "[$LOST]"', 10_000)).stdout, "[]\n");
    const began = performance.now();
    const late = await session.command.execute("echo begun; sleep 60", 500);
    assert.equal(late.success, false);
    assert.ok(performance.now() - began < 30_000, "the time limit did not end the command");
  });

  test("resolve for wrong arguments and for a session that is gone", async () => {
    const wrong = await session.command.execute("");
    assert.deepEqual([wrong.success, wrong.exitCode, wrong.code], [false, -1, "BAD_ARGUMENTS"]);
    await assert.rejects(session.command.execute("true", 1000, undefined, { A: 1 as never }), TypeError);
    const { session: other } = await stage.agb.create({ imageId: "agb-code-space-1" });
    assert.ok((await other.delete()).success);
    const gone = await other.command.execute("true");
    assert.deepEqual([gone.success, gone.exitCode], [false, -1]);
    assert.notEqual(gone.errorMessage, "");
  });
});

describe("files", () => {
  test("come back as they were written, whatever their length", async () => {
    const { file } = session;
    assert.ok((await file.mkdir("/tmp/files/deep")).success);
    for (const content of ["", "ü😀\r\n---\n", "0123456789ü".repeat(200_000)]) {
      assert.ok((await file.write("/tmp/files/a.txt", content)).success);
      const read = await file.read("/tmp/files/a.txt");
      assert.equal(read.success, true, read.errorMessage);
      assert.ok(read.content === content, `${read.content.length} of ${content.length} characters came back`);
    }
    assert.ok((await file.write("/tmp/files/b.txt", "one")).success);
    assert.ok((await file.write("/tmp/files/b.txt", "two", "append")).success);
    assert.equal((await file.write("/tmp/files/b.txt", "three", "create_new")).success, false);
    assert.equal((await file.write("/tmp/files/b.txt", "x", "truncate" as never)).code, "BAD_ARGUMENTS");
    assert.equal((await file.read("/tmp/files/b.txt")).content, "onetwo");
    const made = await session.command.execute("head -c 150000 /dev/urandom > /tmp/files/c.bin; sha256sum < /tmp/files/c.bin", 10_000);
    const { content, size } = await file.readBytes("/tmp/files/c.bin");
    assert.equal(size, 150_000);
    const digest = await crypto.subtle.digest("SHA-256", content);
    assert.equal(Buffer.from(digest).toString("hex"), made.stdout.split(" ")[0]);
  });

  test("are listed, described, found, moved, edited and deleted", async () => {
    const { file } = session;
    await file.mkdir("/tmp/work");
    await file.write("/tmp/work/a.py", "x = 1\nx = 1\n");
    await file.mkdir("/tmp/work/sub");
    const { entries } = await file.ls("/tmp/work");
    assert.deepEqual(entries, [{ type: "directory", name: "sub" }, { type: "file", name: "a.py" }]);
    const { fileInfo } = await file.getFileInfo("/tmp/work/a.py");
    assert.deepEqual([fileInfo?.name, fileInfo?.size, fileInfo?.isDirectory, fileInfo?.type], ["a.py", 12, false, "file"]);
    assert.ok(fileInfo?.modTime && fileInfo.mode);
    const { matches } = await file.searchFiles("/tmp/work", "*.py");
    assert.deepEqual(matches?.map((path) => path.split("/").at(-1)), ["a.py"]);
    assert.ok((await file.editFile("/tmp/work/a.py", [{ oldText: "x", newText: "y" }], true)).success);
    assert.ok((await file.editFile("/tmp/work/a.py", [{ oldText: "1", newText: "2" }])).success);
    assert.ok((await file.move("/tmp/work/a.py", "/tmp/work/b.py")).success);
    const { files } = await file.readMultipleFiles(["/tmp/work/b.py", "/tmp/work/a.py"]);
    assert.equal(files["/tmp/work/b.py"], "x = 2\nx = 2\n");
    assert.match(files["/tmp/work/a.py"] ?? "", /^Error - /);
    assert.equal((await file.remove("/tmp/work/sub")).success, false, "a directory is not deleted");
    assert.ok((await file.rm("/tmp/work/b.py")).success);
    const missing = await file.read("/tmp/work/b.py");
    assert.deepEqual([missing.success, missing.content], [false, ""]);
    assert.match(missing.errorMessage, /not found/i);
    assert.match((await file.read("/tmp/work")).errorMessage, /is a directory/);
  });

  test("are watched, and the watch tells changes only", async () => {
    const { file } = session;
    await file.mkdir("/tmp/watched");
    const heard: FileChangeEvent[] = [];
    const stop = new AbortController();
    const watching = file.watchDirectory("/tmp/watched", (events) => {
      assert.notEqual(events.length, 0);
      heard.push(...events);
      stop.abort();
    }, 50, stop.signal);
    for (let n = 0; heard.length === 0; n += 1) {
      await file.write(`/tmp/watched/${n}.txt`, "x");
    }
    await watching;
    assert.match(heard[0]?.path ?? "", /\.txt$/);
  });

  test("a watch ends with its session", async () => {
    const { session: other } = await stage.agb.create({ imageId: "agb-code-space-1" });
    const watching = other.file.watchDirectory("/tmp", () => {}, 20);
    await other.delete();
    await watching;
  });
});

/** Folders between this machine and a session, against the real server, also over a network that cuts. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { AGB, Session } from "agbcloud-sdk";

import { newSession, type Stage, startStage } from "./local-server.ts";
import { Proxy } from "./proxy.ts";

let stage: Stage;
let root: string;

before(async () => {
  stage = await startStage();
  root = mkdtempSync(join(tmpdir(), "agb-folders-"));
  mkdirSync(join(root, "project", "src", "deep", "empty"), { recursive: true });
  writeFileSync(join(root, "project", "large.bin"), randomBytes(9_000_001));
  for (let at = 0; at < 200; at += 1) {
    writeFileSync(join(root, "project", "src", `${at}.txt`), `file ${at}\n`.repeat(at));
  }
  writeFileSync(join(root, "project", "run.sh"), "#!/bin/sh\necho ran\n", { mode: 0o755 });
  symlinkSync("src/deep", join(root, "project", "link"));
});
after(async () => {
  await stage.leave();
  rmSync(root, { recursive: true });
});

const same = (one: string, other: string): string => execFileSync("diff", ["-r", "--no-dereference", one, other], { encoding: "utf8" });

describe("a folder", () => {
  test("goes in with its links and permissions, and comes out", async () => {
    const { file, command } = stage.session;
    const progress: number[] = [];
    const up = await file.upload(join(root, "project"), "/home/user/project", { progressCallback: (bytes) => progress.push(bytes) });
    assert.ok(up.success, up.errorMessage);
    assert.ok(up.bytesSent > 9_000_001 && progress.at(-1) === up.bytesSent);
    assert.equal((await command.execute("./run.sh && ls src | wc -l && readlink link", 10_000, "/home/user/project")).stdout, "ran\n201\nsrc/deep\n");
    const down = await file.download("/home/user/project", join(root, "down", "project"));
    assert.ok(down.success, down.errorMessage);
    assert.ok(down.bytesReceived > 9_000_001);
    assert.equal(same(join(root, "project"), join(root, "down", "project")), "");
    assert.equal(statSync(join(root, "down", "project", "run.sh")).mode & 0o777, 0o755);
    // What is there beside the files stays, on both sides; and nothing of the way is left.
    writeFileSync(join(root, "down", "project", "mine"), "mine");
    await command.execute("echo theirs > /home/user/project/theirs; rm /home/user/project/run.sh");
    assert.ok((await file.download("/home/user/project", join(root, "down", "project"))).success);
    assert.ok((await file.upload(join(root, "project"), "/home/user/project")).success);
    assert.equal(readFileSync(join(root, "down", "project", "mine"), "utf8") + readFileSync(join(root, "down", "project", "theirs"), "utf8"), "minetheirs\n");
    assert.equal((await command.execute("cat project/theirs; ./project/run.sh; ls -A /tmp | grep agb", 10_000)).stdout, "theirs\nran\n");
    assert.deepEqual(readdirSync(join(root, "down")), ["project"]);
  });

  test("is a tar stream that other programs understand, and goes in as one", async () => {
    const { file, command } = stage.session;
    await command.execute("mkdir -p made/sub; echo hello > made/sub/a; ln -s sub/a made/l", 10_000);
    const bytes = Buffer.from(await new Response(file.folderStream("made")).arrayBuffer());
    assert.equal(execFileSync("tar", ["-xOf", "-", "sub/a"], { input: bytes, encoding: "utf8" }), "hello\n");
    for (const [at, source] of [new Blob([bytes]), bytes, new Blob([bytes]).stream(), new Response(bytes).body!].entries()) {
      const up = await file.upload(source, `/tmp/in-${at}`, { unpack: true });
      assert.ok(up.success, up.errorMessage);
      assert.equal((await file.read(`/tmp/in-${at}/l`)).content, "hello\n");
    }
    // A stream goes in as a file as well, of which nothing need be known.
    const up = await file.upload(new Blob(["streamed ", "text"]).stream(), "/tmp/streamed");
    assert.ok(up.success, up.errorMessage);
    assert.equal((await file.read("/tmp/streamed")).content, "streamed text");
    assert.equal((await command.execute("ls -A /tmp | grep agb")).stdout, "", "what was packed is gone");
  });

  test("that cannot go says why, and leaves nothing", async () => {
    const { file, command } = stage.session;
    mkdirSync(join(root, "out"));
    symlinkSync("/etc/passwd", join(root, "out", "l"));
    const out = await file.upload(join(root, "out"), "/tmp/out");
    assert.ok(!out.success && /"l" in the archive leads out/.test(out.errorMessage), out.errorMessage);
    const text = await file.upload(new Blob(["no archive ".repeat(100)]), "/tmp/out", { unpack: true });
    assert.ok(!text.success && /not a tar archive/.test(text.errorMessage), text.errorMessage);
    assert.equal((await command.execute("ls -A /tmp | grep -c 'out\\|agb'")).stdout, "0\n");
    const wrong = await file.upload(new Blob([]), "/tmp/out", { unpack: 1 as never });
    assert.ok(!wrong.success && /unpack must be true or false/.test(wrong.errorMessage), wrong.errorMessage);
    const none = await file.download("/tmp/none", join(root, "none"));
    assert.ok(!none.success && /not found/.test(none.errorMessage), none.errorMessage);
    await command.execute("mkfifo /tmp/pipe");
    const pipe = await file.download("/tmp/pipe", join(root, "none"));
    assert.ok(!pipe.success && /not a/.test(pipe.errorMessage), pipe.errorMessage);
    assert.ok(!existsSync(join(root, "none")));
    const exists = await file.download("/home/user", join(root, "project"), { overwrite: false });
    assert.ok(!exists.success && /exists/.test(exists.errorMessage), exists.errorMessage);
    await assert.rejects(new Response(file.folderStream("/tmp/none")).text(), { code: "InvalidFile.NotFound" });
    assert.throws(() => file.folderStream(""), TypeError);
    const aborted = await file.upload(join(root, "project"), "/tmp/aborted", { signal: AbortSignal.abort() });
    assert.ok(!aborted.success);
    assert.equal((await file.info("/tmp/aborted")).success, false);
  });

  test("comes and goes whole over a network that cuts", async () => {
    const proxy = await Proxy.start(stage.server.endpoint);
    try {
      const agb = new AGB({ apiKey: stage.server.apiKey, config: { endpoint: proxy.endpoint } });
      const owned = await newSession(agb);
      const { access } = await owned.browserAccess();
      const seed = Number((process.env["AGB_LOSSY"] ?? "").split(",")[1] ?? 7);
      await proxy.harm(`seed=${seed} cut=90 after=1000..900000 http`);
      let cuts = 0;
      // As many rounds as it takes: how often the network cuts is its own choice.
      for (let round = 0; round < 2 || (cuts < 10 && round < 40); round += 1) {
        const { file } = Session.attach(access!); // with connections of its own: one that was spared is kept for ever
        const up = await file.upload(join(root, "project"), `/home/user/project-${round}`);
        assert.ok(up.success, `seed ${seed}: ${up.errorMessage}`);
        const down = await file.download(`/home/user/project-${round}`, join(root, `lossy-${round}`));
        assert.ok(down.success, `seed ${seed}: ${down.errorMessage}`);
        assert.equal(same(join(root, "project"), join(root, `lossy-${round}`)), "");
        cuts = (await proxy.tally()).cut;
      }
      assert.ok(cuts >= 10, `only ${cuts} cuts`);
      await stage.agb.delete((await stage.agb.get(owned.sessionId)).session!);
    } finally {
      await proxy.stop();
    }
  });
});

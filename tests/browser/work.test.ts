/**
 * A page in a real browser does a session's whole work: commands, terminals, files, folders, watches, links and contexts,
 * also over a network that cuts.
 */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Lines, numberedCommand } from "../node/lines.js";
import { Proxy } from "../node/proxy.js";
import { type Access, Stage } from "./stage.js";

const [, SEED = Math.floor(Math.random() * 1e6)] = (process.env["AGB_LOSSY"] ?? "").split(",").filter(Boolean).map(Number);

let stage: Stage;
let access: Access;
let contexts: string;
before(async () => {
  contexts = mkdtempSync(join(tmpdir(), "agb-page-contexts-"));
  stage = await Stage.build("--contexts-dir", contexts);
  access = await stage.access();
});
after(async () => {
  await stage.close();
  rmSync(contexts, { recursive: true });
});

describe("files in a page", () => {
  it("are streams of any bytes, and uploads of a Blob, a File and a stream", async () => {
    const page = await stage.page();
    const seen = await page.evaluate(async (access) => {
      const { file, command } = agb.Session.attach(access as never);
      const content = Uint8Array.from({ length: 9_000_001 }, (_, at) => (at % 251) ^ (at >> 16));
      const sum = async (bytes: ArrayBuffer): Promise<string> =>
        Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");
      await new Blob([content]).stream().pipeTo(file.writeStream("/tmp/large.bin"));
      const back = await new Response(file.readStream("/tmp/large.bin")).arrayBuffer();
      const range = await new Response(file.readStream("/tmp/large.bin", { start: 4_194_300, end: 4_194_310 })).arrayBuffer();
      const progress: number[] = [];
      const given = new File([content], "given.bin");
      const ups = [
        await file.upload(given, "/tmp/file.bin", { progressCallback: (bytes) => progress.push(bytes) }),
        await file.upload(new Blob([content]).stream(), "/tmp/stream.bin"),
        await file.upload("/tmp/local", "/tmp/none"),
      ];
      const { stdout } = await command.execute("sha256sum /tmp/large.bin /tmp/file.bin /tmp/stream.bin", 20_000);
      const missing = await file.readStream("/tmp/none").getReader().read().catch((error: unknown) => (error as { code: string }).code);
      return {
        own: await sum(content.buffer as ArrayBuffer),
        back: await sum(back),
        range: Array.from(new Uint8Array(range)).join() === Array.from(content.subarray(4_194_300, 4_194_310)).join(),
        ups: ups.map(({ success, errorMessage }) => (success ? "" : errorMessage)),
        last: progress.at(-1),
        sums: stdout.split("\n").filter(Boolean).map((line) => line.split(" ")[0]),
        missing,
      };
    }, access);
    assert.deepEqual([seen.back, ...seen.sums], [seen.own, seen.own, seen.own, seen.own]);
    assert.deepEqual([seen.range, seen.last, seen.missing], [true, 9_000_001, "InvalidFile.NotFound"]);
    assert.deepEqual(seen.ups.slice(0, 2), ["", ""]);
    assert.match(seen.ups[2]!, /A page has no local files/);
  });

  it("are folders as tar archives, both ways", async () => {
    const page = await stage.page();
    const seen = await page.evaluate(async (access) => {
      const { file, command } = agb.Session.attach(access as never);
      await command.execute("mkdir -p from/sub && echo hello > from/sub/a && ln -s sub/a from/l && head -c 5000000 /dev/zero > from/large", 20_000);
      const tar = await new Response(file.folderStream("from")).blob();
      const up = await file.upload(tar, "/tmp/to", { unpack: true });
      const bad = await file.upload(new Blob(["no archive"]), "/tmp/bad", { unpack: true });
      const { stdout } = await command.execute("diff -r --no-dereference from /tmp/to && echo same; ls -A /tmp | grep -c 'agb\\|bad'", 20_000);
      return { size: tar.size, up, bad: bad.errorMessage, stdout };
    }, access);
    assert.ok(seen.size > 5_000_000 && seen.up.success, seen.up.errorMessage);
    assert.match(seen.bad, /not a tar archive/);
    assert.equal(seen.stdout, "same\n0\n");
  });

  it("are watched, and a change arrives as it happens", async () => {
    const page = await stage.page();
    const seen = await page.evaluate(async (access) => {
      const { file, command } = agb.Session.attach(access as never);
      await file.mkdir("/tmp/watched");
      const stop = new AbortController();
      const events: string[] = [];
      const watch = file.watch("/tmp/watched", { recursive: true, signal: stop.signal });
      const begun = (async () => {
        for await (const { eventType, path } of watch) {
          events.push(`${eventType} ${path}`);
          if (path.endsWith("/last")) {
            break;
          }
        }
      })();
      while (events.length === 0) {
        await file.write(`/tmp/watched/first`, String(Math.random()));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await command.execute("mkdir -p /tmp/watched/sub; echo x > /tmp/watched/sub/new; rm /tmp/watched/sub/new; touch /tmp/watched/last", 20_000);
      await begun;
      return events;
    }, access);
    assert.ok(seen.some((event) => event.endsWith(" /tmp/watched/first")), seen.join("\n"));
    assert.ok(seen.includes("create /tmp/watched/sub"), seen.join("\n"));
  });
});

describe("commands in a page", () => {
  it("stream, take input and signals, and end honestly", async () => {
    const page = await stage.page();
    const seen = await page.evaluate(async (access) => {
      const { command } = agb.Session.attach(access as never);
      const run = command.stream("echo $A; pwd; cat; exit 3", { envs: { A: "b" }, cwd: "/tmp", stdin: true });
      run.write("typed\n");
      run.end();
      const texts: string[] = [];
      for await (const event of run) {
        if (event.type === "stdout") {
          texts.push(event.text);
        }
      }
      const ended = await run.result;
      const sleeping = command.stream("trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done");
      for await (const event of sleeping) {
        if (event.type === "stdout" && event.text.includes("ready")) {
          sleeping.kill("SIGTERM");
        }
      }
      const caught = await sleeping.result;
      const late = await command.execute("sleep 100", 200);
      return { text: texts.join(""), ended: [ended.status, ended.exitCode], caught: [caught.status, caught.exitCode, caught.stdout], late: late.exitCode };
    }, access);
    assert.deepEqual(seen, { text: "b\n/tmp\ntyped\n", ended: ["exited", 3], caught: ["exited", 5, "ready\ncaught\n"], late: 124 });
  });

  it("are found again by a page that was reloaded, terminals too", async () => {
    const page = await stage.page();
    const begun = await page.evaluate(async (access) => {
      const { command } = agb.Session.attach(access as never);
      const run = command.stream("i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i + 1)); sleep 0.005; done", { detached: true, timeoutMs: 60_000 });
      const shell = command.stream("PS1='$ ' exec sh -i", { pty: { cols: 90, rows: 30 }, detached: true });
      let text = "";
      let seq = 0;
      for await (const event of run) {
        if (event.type === "stdout") {
          [text, seq] = [text + event.text, event.seq];
          if (text.length > 500) {
            break;
          }
        }
      }
      for await (const event of shell) {
        if (event.type === "stdout" && event.text.includes("$ ")) {
          shell.write("X=kept\n");
          break;
        }
      }
      return { text, seq, id: run.id, shell: shell.id };
    }, access);
    await page.reload();
    await page.waitForFunction(() => "agb" in globalThis);
    const found = await page.evaluate(
      async ({ access, begun }) => {
        const { command } = agb.Session.attach(access as never);
        const listed = (await command.list()).commands.map(({ id }) => id);
        let text = begun.text;
        const run = command.attach(begun.id, { afterSeq: begun.seq });
        for await (const event of run) {
          if (event.type === "stdout") {
            text += event.text;
          }
        }
        const shell = command.attach(begun.shell);
        shell.resize(132, 50);
        shell.write("echo [$X]; stty size\n");
        let shown = "";
        for await (const event of shell) {
          if (event.type === "stdout") {
            shown += event.text;
            if (shown.includes("[kept]\r\n50 132\r\n")) {
              break;
            }
          }
        }
        shell.kill("SIGKILL");
        return { listed, text, end: (await run.result).status };
      },
      { access, begun },
    );
    assert.ok(found.listed.includes(begun.id) && found.listed.includes(begun.shell));
    assert.equal(found.text, Array.from({ length: 400 }, (_, at) => `line ${at}\n`).join(""));
    assert.equal(found.end, "exited");
  });
});

describe("a session in a page", () => {
  it("has links that the page itself can fetch, and contexts with an account", async () => {
    const page = await stage.page();
    const { endpoint, apiKey } = stage.server;
    const seen = await page.evaluate(
      async ({ endpoint, apiKey }) => {
        const account = new agb.AGB({ apiKey, config: { endpoint } });
        const made = await account.context.create("from-a-page");
        const { session, errorMessage } = await account.create({
          imageId: "agb-code-space-1",
          contextSync: [{ contextId: made.contextId!, path: "/home/project" }],
        });
        if (session == null) {
          throw new Error(errorMessage);
        }
        await session.file.write("/home/project/page.html", "<h1>from the session</h1>");
        await session.command.execute("nohup python3 -u -m http.server 30100 > /tmp/log 2>&1 & until grep -q Serving /tmp/log; do sleep 0.05; done", 20_000, "/home/project");
        const link = await session.getLink("https", 30100);
        const response = await fetch(new URL("page.html", `${link.data!.replace(/\/?$/, "/")}`));
        const text = await response.text();
        await account.delete(session, true);
        const { files } = await account.context.listFiles(made.contextId!, "/home/project");
        await account.context.delete({ id: made.contextId!, name: "from-a-page" });
        return { status: response.status, text, files: files.map(({ name }) => name) };
      },
      { endpoint, apiKey },
    );
    assert.deepEqual(seen, { status: 200, text: "<h1>from the session</h1>", files: ["page.html"] });
  });
});

describe("a page behind a network that cuts", () => {
  it("loses no line of a command and no byte of a file, and each happens once", async () => {
    console.log(`# AGB_LOSSY=1,${SEED} gives the same faults`);
    const proxy = await Proxy.start(stage.server.endpoint);
    try {
      const created = await stage.post(`${proxy.endpoint}/mcp/createSession?imageId=agb-code-space-1`, { authorization: `Bearer ${stage.server.apiKey}` }, {});
      const access = await stage.grant(created, {});
      const page = await stage.page();
      await proxy.harm(`seed=${SEED} cut=95 stall=1 stall_for=1..300 after=1..300000 delay=0..3`);
      let interruptions = 0;
      for (const [name, detached] of [["a", false], ["b", true]] as const) {
        const seen = await page.evaluate(
          async ({ access, command, detached }) => {
            const run = agb.Session.attach(access as never).command.stream(command, { timeoutMs: 600_000, logLimit: 0, detached });
            const texts: string[] = [];
            for await (const event of run) {
              if (event.type === "stdout") {
                texts.push(event.text);
              }
            }
            const { status, exitCode, errorMessage, interruptions } = await run.result;
            return { text: texts.join(""), status, exitCode, errorMessage, interruptions };
          },
          { access, command: numberedCommand(name, 9_000), detached },
        );
        assert.deepEqual([seen.status, seen.exitCode], ["exited", 0], seen.errorMessage);
        const lines = new Lines(name);
        lines.take(seen.text);
        lines.end(9_000);
        interruptions += seen.interruptions;
      }
      // No connection outlives its cut: one that did would be kept, and carry all that follows unharmed.
      await proxy.harm(`seed=${SEED} cut=100 after=1..300000 delay=0..3 http`);
      let cuts = 0;
      let rounds = 0;
      // As many rounds as it takes: how often the network cuts is its own choice.
      for (; rounds < 2 || (cuts < 10 && rounds < 20); rounds += 1) {
        const same = await page.evaluate(
          async ({ access, round }) => {
            const { file } = agb.Session.attach(access as never);
            const content = Uint8Array.from({ length: 6_000_001 }, (_, at) => (at % 251) ^ (at >> 16));
            await new Blob([content]).stream().pipeTo(file.writeStream("/tmp/lossy.bin"));
            const writer = file.writeStream("/tmp/log", { mode: "append" }).getWriter();
            await writer.write(`${round}\n`);
            await writer.close();
            const back = new Uint8Array(await new Response(file.readStream("/tmp/lossy.bin")).arrayBuffer());
            return back.length === content.length && back.every((byte, at) => byte === content[at]);
          },
          { access, round: rounds },
        );
        assert.ok(same, `round ${rounds}`);
        cuts = (await proxy.tally()).cut;
      }
      console.log(`# ${interruptions} interruptions, ${cuts} cuts`);
      assert.ok(interruptions >= 2 && cuts >= 10, `${interruptions} interruptions, ${cuts} cuts`);
      await proxy.harm("cut=0 refuse=0 stall=0");
      const near = await page.evaluate(async (access) => {
        const { command } = agb.Session.attach(access as never);
        return (await command.execute("cat starts /tmp/log; ls -A /tmp | grep -c agb", 20_000)).stdout;
      }, access);
      const appended = Array.from({ length: rounds }, (_, round) => `${round}\n`).join("");
      assert.equal(near, `a\nb\n${appended}0\n`, "each was begun and appended once");
    } finally {
      await proxy.stop();
    }
  });

  it("says of a file what the network did, where nothing comes through", async () => {
    const proxy = await Proxy.start(stage.server.endpoint);
    try {
      const created = await stage.post(`${proxy.endpoint}/mcp/createSession?imageId=agb-code-space-1`, { authorization: `Bearer ${stage.server.apiKey}` }, {});
      const access = await stage.grant(created, {});
      const page = await stage.page();
      await proxy.harm("seed=1 cut=100 after=1..200 http");
      const errors = await page.evaluate(async (access) => {
        const { file } = agb.Session.attach(access as never);
        const told = (error: unknown): string[] => [(error as { code: string }).code, (error as Error).name, (error as Error).message];
        const reading = file.readStream("/etc/hostname").getReader().read();
        const writing = new Blob(["x"]).stream().pipeTo(file.writeStream("/tmp/x"));
        return await Promise.all([reading.then(String, told), writing.then(String, told)]);
      }, access);
      for (const error of errors) {
        assert.ok(Array.isArray(error), `it succeeded: ${error}`);
        assert.equal(error[0], "INTERRUPTED");
        assert.match(error[2]!, /10 tries in a row carried nothing: check the network/);
      }
    } finally {
      await proxy.stop();
    }
  });
});

/** Files of a session as Web streams and as copies, from Node against the real server. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Worker } from "node:worker_threads";

import { AGB, type FileSystem, Session } from "agbcloud-sdk";

import { newSession, type Stage, startStage } from "./local-server.ts";
import { Proxy } from "./proxy.ts";

/** More than two parts, and not a whole number of them. */
const CONTENT = randomBytes(9_000_001);

let stage: Stage;
let folder: string;

before(async () => {
  stage = await startStage();
  folder = mkdtempSync(join(tmpdir(), "agb-streams-"));
});
after(async () => {
  await stage.leave();
  rmSync(folder, { recursive: true });
});

async function all(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) {
    parts.push(part);
  }
  return Buffer.concat(parts);
}

async function write(file: FileSystem, path: string, pieces: Iterable<string | Uint8Array>, mode?: "append" | "create_new"): Promise<void> {
  const writer = file.writeStream(path, { mode }).getWriter();
  for (const piece of pieces) {
    await writer.write(piece);
  }
  await writer.close();
}

function* cut(content: Buffer, size: number): Generator<Uint8Array> {
  for (let at = 0; at < content.length; at += size) {
    yield content.subarray(at, at + size);
  }
}

describe("streams of files", () => {
  test("carry any bytes, and any part of them", async () => {
    const { file } = stage.session;
    await write(file, "/tmp/large.bin", cut(CONTENT, 77_777));
    assert.ok((await all(file.readStream("/tmp/large.bin"))).equals(CONTENT));
    for (const [start, end] of [[0, 10], [4_194_300, 4_194_310], [8_999_990, undefined], [8_999_990, 99_999_999], [20, 20], [99_999_999, undefined]]) {
      const part = await all(file.readStream("/tmp/large.bin", { start, end }));
      assert.ok(part.equals(CONTENT.subarray(start, end)), `${start} to ${end}`);
    }
    const { stdout } = await stage.session.command.execute("sha256sum < /tmp/large.bin", 10_000);
    assert.equal(stdout.split(" ")[0], createHash("sha256").update(CONTENT).digest("hex"));
    const response = new Response(file.readStream("/tmp/large.bin", { end: 1000 }));
    assert.ok(Buffer.from(await response.arrayBuffer()).equals(CONTENT.subarray(0, 1000)));
    assert.match((await all(file.readStream("/proc/uptime"))).toString(), /^\d+\.\d+ /);
  });

  test("write what they were given, whatever becomes of it, and whatever it was", async () => {
    const { file } = stage.session;
    const shared = new Uint8Array(new SharedArrayBuffer(5 << 20)).fill(1);
    const writer = file.writeStream("/tmp/given").getWriter();
    for (const value of [2, 3]) {
      await writer.write(shared);
      shared.fill(value);
    }
    await writer.write(new DataView(new Float64Array([0, 1]).buffer, 8));
    await writer.write(new Uint8Array([4, 4]).buffer);
    await writer.close();
    const expected = Buffer.concat([Buffer.alloc(5 << 20, 1), Buffer.alloc(5 << 20, 2), Buffer.from(new Float64Array([1]).buffer), Buffer.from([4, 4])]);
    assert.ok((await all(file.readStream("/tmp/given"))).equals(expected));
  });

  test("replace as a whole or not at all, append and create", async () => {
    const { file } = stage.session;
    await write(file, "/tmp/text", ["hällo ", new TextEncoder().encode("wörld")]);
    await write(file, "/tmp/text", ["!"], "append");
    assert.equal((await file.read("/tmp/text")).content, "hällo wörld!");
    await write(file, "/tmp/empty", []);
    assert.equal((await file.read("/tmp/empty")).content, "");
    assert.equal((await all(file.readStream("/tmp/empty"))).length, 0);
    const given = file.writeStream("/tmp/text").getWriter();
    await given.write(CONTENT);
    await given.abort();
    assert.equal((await file.read("/tmp/text")).content, "hällo wörld!");
    await assert.rejects(write(file, "/tmp/text", ["x"], "create_new"), { code: "InvalidFile.Exists" });
    const { entries } = await file.list("/tmp");
    assert.deepEqual(entries.filter(({ name }) => name.startsWith(".agb")), [], "nothing half written stays");
  });

  test("say what is wrong", async () => {
    const { file } = stage.session;
    await assert.rejects(all(file.readStream("/tmp/none")), { code: "InvalidFile.NotFound", httpStatus: 404 });
    await assert.rejects(all(file.readStream("/tmp")), { code: "InvalidFile.Kind" });
    await assert.rejects(write(file, "/usr/x", ["x"]), { code: "InvalidFile.ReadOnly" });
    for (const wrong of [{ start: -1 }, { end: 1.5 }, { start: "1" }, 5]) {
      assert.throws(() => file.readStream("/tmp/a", wrong as never), TypeError);
    }
    assert.throws(() => file.readStream(""), TypeError);
    assert.throws(() => file.writeStream("/tmp/a", { mode: "w" as never }), TypeError);
    await assert.rejects(write(file, "/tmp/a", [5 as never]), TypeError);
  });

  test("end when a signal says so, and when the file changes meanwhile", async () => {
    const { file } = stage.session;
    await write(file, "/tmp/changing", [CONTENT, CONTENT]); // more than four parts
    const stop = new AbortController();
    await assert.rejects(async () => {
      for await (const _ of file.readStream("/tmp/changing", { signal: stop.signal })) {
        stop.abort();
      }
    }, { code: "CANCELLED" });
    // Two parts and the one that is fetched ahead of them are of the old state, no later one can be.
    const reader = file.readStream("/tmp/changing").getReader();
    await reader.read();
    await reader.read();
    await write(file, "/tmp/changing", ["new"]);
    const third = reader.read().then(({ value }) => value);
    await third.then((value) => assert.equal(value?.length, 4 << 20), (error) => assert.equal(error.code, "InvalidFile.Changed"));
    await assert.rejects(reader.read(), { code: "InvalidFile.Changed" });
  });

  // The thread that reads fills memory of the worker's, which goes with it.
  test("leave a process whole whose workers end while they read", { timeout: 120_000 }, async () => {
    const { session } = stage;
    await write(session.file, "/tmp/worker.bin", cut(CONTENT, 1 << 20));
    const source = `
      const { parentPort, workerData } = require("node:worker_threads");
      const { AGB } = require(workerData.sdk);
      (async () => {
        const agb = new AGB({ apiKey: workerData.key, config: { endpoint: workerData.endpoint } });
        const { session } = await agb.get(workerData.id);
        for (;;) {
          for await (const bytes of session.file.readStream("/tmp/worker.bin")) parentPort.postMessage(bytes.length);
        }
      })();`;
    const workerData = { sdk: createRequire(import.meta.url).resolve("agbcloud-sdk"), key: stage.server.apiKey, endpoint: stage.server.endpoint, id: session.sessionId };
    for (let round = 0; round < 8; round += 1) {
      const worker = new Worker(source, { eval: true, workerData });
      for (let left = round + 1; left > 0; left -= 1) {
        await once(worker, "message");
      }
      await worker.terminate();
    }
    assert.ok((await all(session.file.readStream("/tmp/worker.bin"))).equals(CONTENT));
  });

  test("keep memory flat, however slowly they are read", async () => {
    const { file } = stage.session;
    const size = 300 << 20;
    await stage.session.command.execute(`truncate -s ${size} /tmp/sparse`, 10_000);
    const before = process.memoryUsage();
    let [count, most, resident] = [0, 0, 0];
    for await (const bytes of file.readStream("/tmp/sparse")) {
      count += bytes.length;
      const { external, heapUsed, rss } = process.memoryUsage();
      most = Math.max(most, external + heapUsed - before.external - before.heapUsed);
      resident = Math.max(resident, rss - before.rss);
      if (count % (64 << 20) === 0) {
        globalThis.gc?.();
      }
    }
    assert.equal(count, size);
    console.log(`# ${Math.round(most / 2 ** 20)} MiB at most beyond what there was, ${Math.round(resident / 2 ** 20)} of the process`);
    assert.ok(most < 160 << 20, `${most} bytes`);
    // Some 50 at most; of memory that V8 does not collect early, 120 to 180.
    assert.ok(resident < 100 << 20, `${resident} bytes of the process`);
  });
});

describe("copies", () => {
  test("go in as paths, blobs and bytes, and come out", async () => {
    const { file } = stage.session;
    writeFileSync(join(folder, "up.bin"), CONTENT);
    const progress: number[] = [];
    const up = await file.upload(join(folder, "up.bin"), "/tmp/up.bin", { progressCallback: (bytes) => progress.push(bytes) });
    assert.ok(up.success, up.errorMessage);
    assert.deepEqual([up.bytesSent, progress.at(-1), up.path], [CONTENT.length, CONTENT.length, "/tmp/up.bin"]);
    assert.match(up.etag ?? "", /^".+"$/);
    for (const source of [new Blob([CONTENT]), CONTENT, new Uint8Array(CONTENT).buffer]) {
      const sent = await file.upload(source, "/tmp/blob.bin");
      assert.ok(sent.success && sent.bytesSent === CONTENT.length, sent.errorMessage);
      const down = await file.download("/tmp/blob.bin", join(folder, "deep", "down.bin"));
      assert.ok(down.success && down.bytesReceived === CONTENT.length, down.errorMessage);
      assert.ok(readFileSync(join(folder, "deep", "down.bin")).equals(CONTENT));
    }
    const kept = await file.download("/tmp/blob.bin", join(folder, "up.bin"), { overwrite: false });
    assert.match(kept.errorMessage, /exists/);
    const missing = await file.download("/tmp/none", join(folder, "none"));
    assert.match(missing.errorMessage, /not found/);
    assert.throws(() => readFileSync(join(folder, "none")));
  });
});

describe("a network that cuts", () => {
  test("loses and doubles no byte", async () => {
    const [, SEED = Math.floor(Math.random() * 1e6)] = (process.env["AGB_LOSSY"] ?? "").split(",").filter(Boolean).map(Number);
    console.log(`# AGB_LOSSY=16,${SEED} gives the same faults`);
    const proxy = await Proxy.start(stage.server.endpoint);
    try {
      const agb = new AGB({ apiKey: stage.server.apiKey, config: { endpoint: proxy.endpoint } });
      const { access } = await (await newSession(agb)).browserAccess();
      await proxy.harm(`seed=${SEED} cut=90 after=1000..900000 http`);
      let [appended, cuts] = ["", 0];
      // As many rounds as it takes: how often the network cuts is its own choice.
      for (let round = 0; round < 3 || (cuts < 20 && round < 60); round += 1) {
        const session = Session.attach(access!); // with connections of its own: one that was spared is kept for ever
        await write(session.file, "/tmp/lossy.bin", cut(CONTENT, 300_000));
        await write(session.file, "/tmp/log", [`${round}\n`], "append");
        appended += `${round}\n`;
        assert.ok((await all(session.file.readStream("/tmp/lossy.bin"))).equals(CONTENT));
        cuts = (await proxy.tally()).cut;
      }
      assert.equal((await all(Session.attach(access!).file.readStream("/tmp/log"))).toString(), appended, "each is appended once");
      console.log(`# ${cuts} cuts`);
      assert.ok(cuts >= 20, `only ${cuts} cuts`);
    } finally {
      await proxy.stop();
    }
  });
});

/** Changes of files as they happen, and what one session has that others do not, from Node against the real server. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { AGB, Session } from "agbcloud-sdk";

import { newSession, type Stage, startStage } from "./local-server.ts";
import { Proxy } from "./proxy.ts";

let stage: Stage;

before(async () => void (stage = await startStage()));
after(() => stage.leave());

describe("a watch", () => {
  test("tells of changes by programs and calls, below folders that come later, too", async () => {
    const { file, command } = stage.session;
    await file.mkdir("/tmp/w");
    const watch = file.watch("/tmp/w", { recursive: true });
    await watch.ready;
    await command.execute("mkdir -p /tmp/w/a/b; echo 1 > /tmp/w/a/b/f; rm /tmp/w/a/b/f", 10_000);
    await file.write("/tmp/w/last", "x");
    const heard: string[] = [];
    for await (const { eventType, path, pathType } of watch) {
      heard.push(`${eventType} ${pathType} ${path}`);
      if (path === "/tmp/w/last") {
        break;
      }
    }
    assert.ok(heard.includes("create directory /tmp/w/a"), heard.join("\n"));
  });

  test("goes on after cuts without losing anything", async () => {
    const proxy = await Proxy.start(stage.server.endpoint);
    try {
      const agb = new AGB({ apiKey: stage.server.apiKey, config: { endpoint: proxy.endpoint } });
      const owned = await newSession(agb);
      const session = Session.attach((await owned.browserAccess()).access!);
      await owned.command.execute("mkdir /tmp/w", 10_000);
      // Before its first call, so that no connection is used that was made before it could be harmed.
      await proxy.harm("seed=7 cut=80 after=500..6000 http");
      const watch = session.file.watch("/tmp/w");
      await watch.ready;
      const count = 300;
      void stage.agb.get(owned.sessionId).then(({ session: near }) =>
        near!.command.execute(`for i in $(seq ${count}); do echo 1 > /tmp/w/$i; sleep 0.01; done`, 60_000),
      );
      const created = new Set<string>();
      for await (const { eventType, path } of watch) {
        assert.notEqual(eventType, "overflow");
        if (eventType === "create") {
          assert.ok(!created.has(path), `${path} twice`);
          created.add(path);
        }
        if (created.size === count) {
          break;
        }
      }
      const { cut } = await proxy.tally();
      assert.ok(cut > 0, "nothing was cut");
    } finally {
      await proxy.stop();
    }
  });

  test("ends with a signal, with its session, and where there is nothing", async () => {
    const { file } = stage.session;
    const stop = new AbortController();
    const watch = file.watch("/tmp", { signal: stop.signal });
    await watch.ready;
    const next = watch.next();
    stop.abort();
    assert.equal((await next).done, true);
    await assert.rejects(file.watch("/tmp/none").next(), { code: "InvalidFile.NotFound" });
    const other = await newSession(stage.agb);
    const ending = other.file.watch("/tmp");
    await ending.ready;
    const [end] = await Promise.all([ending.next(), other.delete()]);
    assert.equal(end.done, true);
  });
});

describe("a session's own", () => {
  test("variables, network and time are kept and told", async () => {
    const created = await stage.agb.create({ imageId: "agb-code-space-1", envs: { GREETING: "hällo" }, network: "none", timeoutS: 600 });
    assert.ok(created.success, created.errorMessage);
    const session = created.session!;
    const { data } = await session.info();
    assert.deepEqual([data?.envs, data?.network, data?.timeoutS], [{ GREETING: "hällo" }, "none", 600]);
    assert.equal((await session.command.execute("echo $GREETING", 10_000)).stdout, "hällo\n");
    const code = await session.code.run("import os; print(os.environ['GREETING'])", "python");
    assert.equal(code.logs.stdout.join(""), "hällo\n");
    await session.delete();
    const wider = await stage.agb.create({ imageId: "agb-code-space-1", network: { allow: ["example.org"] } });
    assert.deepEqual([wider.success, wider.code], [false, "InvalidParameter.Value"]);
    assert.match(wider.errorMessage, /more than this server's programs reach/);
  });
});

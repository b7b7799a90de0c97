/** `session.command.stream`, `list` and `attach` from Node through the addon to real shells. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { AGB, AGBError, type CommandEvent, type CommandRun, Session } from "agbcloud-sdk";

import { all, type LocalServer, startStage } from "./local-server.ts";

let server: LocalServer;
let session: Session;
let leave: () => Promise<void>;

before(async () => {
  ({ server, session, leave } = await startStage());
});

after(() => leave());

const textOf = (events: readonly CommandEvent[], type: "stdout" | "stderr" = "stdout"): string =>
  events.map((event) => (event.type === type ? event.text : "")).join("");

/** Reads until so much has been shown, and goes on reading behind it. */
async function shown(run: CommandRun, ...wanted: string[]): Promise<string> {
  let text = "";
  for await (const chunk of run.stdout as unknown as AsyncIterable<string>) {
    text += chunk;
    if (wanted.every((part) => text.includes(part))) {
      break;
    }
  }
  return text;
}

describe("a command", () => {
  test("streams and ends honestly", async () => {
    const run = session.command.stream("echo out; echo err >&2; exit 3");
    const events = await all(run);
    assert.deepEqual([textOf(events), textOf(events, "stderr")], ["out\n", "err\n"]);
    const result = await run.result;
    assert.deepEqual([result.status, result.exitCode, result.success, result.code], ["exited", 3, false, "COMMAND_FAILED"]);
    assert.deepEqual([result.stdout, result.stderr, result.output, result.errorMessage], ["out\n", "err\n", "out\nerr\n", "err\n"]);
    const end = events.at(-1);
    assert.ok(end?.type === "end" && end.result === result && run.id !== "");
    for (const [command, options, status, exitCode] of [
      ["true", {}, "exited", 0],
      ["kill -KILL $$", {}, "signalled", 137],
      ["sleep 60", { timeoutMs: 200 }, "timeout", 124],
      ["pwd", { cwd: "missing" }, "failed", -1],
    ] as const) {
      const ended = await session.command.stream(command, options).result;
      assert.deepEqual([ended.status, ended.exitCode, ended.success], [status, exitCode, exitCode === 0], command);
    }
  });

  test("takes what it is given", async () => {
    const run = session.command.stream("read a; echo $a $B; pwd; cat", { cwd: "/tmp", envs: { B: "b" } });
    run.write("one\n");
    run.write("two\n");
    run.end();
    assert.equal((await run.result).stdout, "one b\n/tmp\ntwo\n");
    assert.equal((await session.command.stream("cat", { stdin: "all of it" }).result).stdout, "all of it");
    const without = session.command.stream("cat", { stdin: false });
    assert.throws(() => without.write("x"), (error: AGBError) => error.code === "NOT_OFFERED");
    assert.equal((await without.result).exitCode, 0);
    assert.throws(() => session.command.stream("x", { pty: { cols: 0, rows: 1 } }), TypeError);
    assert.throws(() => session.command.stream("x", { nonsense: 1 } as object), TypeError);
    assert.throws(() => session.command.stream(""), TypeError);
  });

  test("is stopped by a signal, by cancel, by leaving and by an AbortSignal", async () => {
    const waiting = "trap 'echo caught' USR1; echo ready; while :; do sleep 0.05; done";
    const run = session.command.stream(waiting);
    const events: CommandEvent[] = [];
    for await (const event of run) {
      events.push(event);
      if (textOf(events).endsWith("ready\n")) {
        run.kill("SIGUSR1");
      } else if (textOf(events).includes("caught")) {
        run.kill("SIGTERM");
      }
    }
    const { status, signal, exitCode } = await run.result;
    assert.deepEqual([status, signal, exitCode], ["signalled", "SIGTERM", 143]);
    const cancelled = session.command.stream("trap '' INT; sleep 600");
    await sleep(200);
    await cancelled.cancel();
    assert.equal((await cancelled.result).status, "cancelled");
    const left = session.command.stream(waiting);
    for await (const _ of left) {
      break;
    }
    assert.equal((await left.result).status, "cancelled");
    const controller = new AbortController();
    const aborted = session.command.stream(waiting, { signal: controller.signal });
    setTimeout(() => controller.abort(), 200);
    assert.equal((await aborted.result).status, "cancelled");
  });

  test("streams to the callbacks of execute", async () => {
    const seen: string[] = [];
    const result = await session.command.execute("echo a; sleep 0.2; echo b >&2; exit 2", {
      timeoutMs: 10_000,
      onStdout: (chunk) => void seen.push(`out ${chunk}`),
      onStderr: (chunk) => void seen.push(`err ${chunk}`),
    });
    assert.deepEqual(seen, ["out a\n", "err b\n"]);
    assert.deepEqual([result.success, result.exitCode, result.output], [false, 2, "a\nb\n"]);
    const late = await session.command.execute("sleep 60", { onStdout: () => {} });
    assert.deepEqual([late.success, late.exitCode], [false, 124], "the documented limit of 1000 ms");
  });
});

describe("a terminal", () => {
  test("has job control, sizes and Ctrl-C", async () => {
    const shell = session.command.stream("PS1='$ ' exec sh -i", { pty: { cols: 90, rows: 30 } });
    shell.write("test -t 0 && echo is-a-tty\n");
    shell.resize(132, 50);
    shell.write("stty size; echo sized-$((1 + 1))\n");
    // What was typed ahead may be echoed before the first prompt: only what is computed is waited for.
    const reading = shown(shell, "50 132\r\nsized-2\r\n", "after-23");
    await sleep(500);
    shell.write("sleep 600\n");
    await sleep(300);
    shell.write("\x03");
    shell.write("echo after-$((20 + 3))\n");
    assert.match(await reading, /is-a-tty\r\n/);
    await shell.cancel();
  });
});

describe("a detached command", () => {
  test("goes on behind its client, and another finds it", async () => {
    const run = session.command.stream("echo begun; until test -e go; do sleep 0.05; done; echo done; exit 5", { detached: true });
    for await (const event of run) {
      if (event.type === "stdout") {
        break; // leaving it does not stop it
      }
    }
    assert.equal((await run.result).status, "interrupted");
    const other = new AGB({ apiKey: server.apiKey, config: { endpoint: server.endpoint } });
    const { session: again } = await other.get(session.sessionId);
    const listed = (await again!.command.list()).commands.find(({ id }) => id === run.id);
    assert.ok(listed);
    assert.deepEqual([listed.status, listed.detached, listed.pty], ["running", true, false]);
    const found = again!.command.attach(run.id);
    await session.file.write("go", "");
    const result = await found.result;
    assert.deepEqual([result.status, result.exitCode], ["exited", 5]);
    assert.match(result.stdout, /done\n$/);
    const ended = (await session.command.list()).commands.find(({ id }) => id === run.id);
    assert.deepEqual([ended?.status, ended?.exitCode], ["exited", 5]);
    const gone = await session.command.attach("0".repeat(32)).result;
    assert.equal(gone.status, "interrupted");
  });

  test("is let go by detach", async () => {
    const run = session.command.stream("sleep 0.5; echo late", { detached: true });
    await run.detach();
    assert.equal((await session.command.attach(run.id).result).stdout, "late\n");
  });
});

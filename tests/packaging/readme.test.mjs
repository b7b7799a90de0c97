/** The README's commands for the server, as they stand there, in a project with the packed packages. */

import assert from "node:assert/strict";
import { readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { CHECKOUT, findProgram, Project, tarballs } from "./project.mjs";

const README = readFileSync(join(CHECKOUT, "README.md"), "utf8");
const [, BLOCK] = /### The server\n+```sh\n(.*?)```/s.exec(README);
const COMMANDS = BLOCK.trim().split("\n");
const project = new Project();

before(() => {
  project.install(tarballs());
  symlinkSync(findProgram("npx"), join(project.bin, "npx"));
});

const start = (t, command) => project.start(t, ["-c", command], {}, findProgram("sh"));

describe("the README's commands for the server", () => {
  it("run a program and end with its exit status", async (t) => {
    const [run] = COMMANDS.filter((command) => command.includes(" run "));
    const running = start(t, run);
    const { code } = await running.ended;
    assert.deepEqual([code, running.lines.map(({ text }) => text)], [0, ["42"]], running.errors());
    const failing = start(t, run.replace("print(6 * 7)", "import sys; sys.exit(3)"));
    assert.equal((await failing.ended).code, 3, failing.errors());
  });

  it("serve at the address and with the key that they name", async (t) => {
    const [serve] = COMMANDS.filter((command) => command.includes(" serve "));
    const [, address] = /--listen (\S+)/.exec(serve);
    const [, key] = /--api-key (\S+)/.exec(serve);
    const running = start(t, serve);
    const listening = await running.line(/listening on/);
    assert.ok(listening.endsWith(`http://${address}`), listening);
    const metrics = await fetch(`http://${address}/metrics`, { headers: { authorization: `Bearer ${key}` } });
    assert.equal(metrics.status, 200);
  });
});

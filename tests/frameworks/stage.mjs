/**
 * A project below this folder with the packed tarballs installed, so that it finds the tools beside it; and a server for
 * what is tried there.
 *
 * @module
 */

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Project, tarballs } from "../packaging/project.mjs";

export const HERE = fileURLToPath(new URL(".", import.meta.url));
/** A tool's file below `node_modules`. */
export const tool = (path) => join(HERE, "node_modules", path);
/** For the tools that want a newer Node than ours. */
export const NODE_22 = tool("node-22/bin/node");
/** How long a tool may take, milliseconds: a framework compiles. */
export const BUILD_MS = 300_000;

/** A program that prints 0, 1, 2 and how the run ended, as an ES module and as a function for CommonJS. */
export const BODY = `
  const agb = new AGB();
  const { session, errorMessage } = await agb.create({ imageId: "agb-code-space-1" });
  if (!session) throw new Error(errorMessage);
  const run = session.code.stream("import time\\nfor i in range(3):\\n    print(i)\\n    time.sleep(0.2)", "python");
  for await (const event of run) if (event.type === "stdout") process.stdout.write(event.text);
  console.log((await run.result).status);
  await agb.delete(session);
`;
export const ESM = `import { AGB } from "agbcloud-sdk";\nasync function main() {${BODY}}\nmain().catch((error) => { console.error(error); process.exitCode = 1; });\n`;
export const CJS = `const { AGB } = require("agbcloud-sdk");\nasync function main() {${BODY}}\nmain().catch((error) => { console.error(error); process.exitCode = 1; });\n`;
export const PRINTED = ["0", "1", "2", "finished"];

/** Each file of tests has a project of its own. */
export class Stage extends Project {
  /** What the SDK needs to know of the server. */
  environment = {};

  constructor(name) {
    const root = join(HERE, ".work", name);
    rmSync(root, { recursive: true, force: true });
    super(root);
  }

  /** Installs the tarballs and starts a server. */
  async open() {
    this.install(tarballs());
    const key = "a-key-for-these-tests";
    const command = [this.path("node_modules/.bin/agbcloud-local"), "serve", "--listen", "127.0.0.1:0"];
    const server = this.start(this.file, command, { AGB_API_KEY: key }, process.execPath, { timeoutMs: 3 * BUILD_MS });
    const line = await server.line(/^agb-server listening on http:/);
    this.environment = { AGB_ENDPOINT: line.replace(/.* on /, "").trim(), AGB_API_KEY: key };
  }

  /** The addon that is installed. */
  get addon() {
    const name = this.packages().find((name) => name.startsWith("agbcloud-sdk-"));
    const folder = this.path(`node_modules/${name}`);
    return join(folder, readdirSync(folder).find((file) => file.endsWith(".node")));
  }

  /** Runs a tool in a folder of the project; it must succeed. */
  async tool(t, folder, args, { env = {}, program = process.execPath } = {}) {
    const options = { cwd: this.path(folder), timeoutMs: BUILD_MS };
    const done = await this.node(t, args, { CI: "1", NO_COLOR: "1", ...env }, program, options);
    const output = `${done.lines.map(({ text }) => text).join("\n")}\n${done.errors}`;
    assert.equal(done.code, 0, `${args.join(" ")} failed:\n${output}`);
    return output;
  }

  /** Runs a built program against the server, to its end. */
  async run(t, args, { program, env = {}, cwd = this.folder } = {}) {
    const done = await this.node(t, args, { ...this.environment, ...env }, program, { cwd });
    return { ...done, printed: done.lines.map(({ text }) => text) };
  }

  /** It prints what it should. */
  async works(t, args, options) {
    const { printed, code, errors } = await this.run(t, args, options);
    assert.deepEqual([printed, code], [PRINTED, 0], errors);
  }

  /** Without the packages it says, in one message, which line of configuration is missing. */
  async saysWhatToDo(t, args, options) {
    const { code, errors } = await this.run(t, args, options);
    assert.equal(code, 1, errors);
    for (const words of ["NATIVE_ADDON_MISSING", "was bundled", 'serverExternalPackages: ["agbcloud-sdk"]', "--external:agbcloud-sdk", "AGB_NATIVE"]) {
      assert.ok(errors.includes(words), `${errors} lacks ${words}`);
    }
  }

  /** A folder's copy where no package is near. */
  elsewhere(t, folder) {
    const place = mkdtempSync(join(tmpdir(), "agb-elsewhere-"));
    t.after(() => rmSync(place, { recursive: true, force: true }));
    cpSync(this.path(folder), place, { recursive: true });
    return place;
  }
}

/**
 * An empty project outside the checkout, with the packed tarballs installed.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, relative } from "node:path";
import { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const CHECKOUT = fileURLToPath(new URL("../..", import.meta.url));
/** The only programs that the project finds: no cargo, no npm, nothing of the checkout. */
const PROGRAMS = ["python3", "sh", "env"];
/** How long anything here may take, milliseconds. */
const TIMEOUT_MS = 60_000;

/** The tarballs that `cargo xtask test` has packed; else packs them. */
export function tarballs() {
  let folder = process.env["AGB_TARBALLS"];
  if (!folder) {
    const packed = spawnSync("cargo", ["xtask", "pack", "--profile", "dev"], { cwd: CHECKOUT, stdio: "inherit" });
    assert.equal(packed.status, 0, "cargo xtask pack failed");
    folder = join(CHECKOUT, "target", "npm-dev");
  }
  const files = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
  assert.equal(files.length, 4, `${folder} has the tarballs ${files.join(", ")}`);
  return files.map((name) => join(folder, name));
}

export class Project {
  /** @param root The root of everything: the project, its home directory and its search path. */
  constructor(root = mkdtempSync(join(tmpdir(), "agb-packaging-"))) {
    /** Ends at the end of the file what was started for all of its tests; stands for a test's context. */
    const ends = [];
    this.file = { after: (end) => ends.push(end) };
    after(() => {
      ends.forEach((end) => end());
      rmSync(root, { recursive: true, force: true });
    });
    this.folder = join(root, "project");
    this.home = join(root, "home");
    this.bin = join(root, "bin");
    this.cache = join(root, "npm-cache");
    for (const folder of [this.folder, this.home, this.bin]) {
      mkdirSync(folder, { recursive: true });
    }
    for (const program of PROGRAMS) {
      symlinkSync(findProgram(program), join(this.bin, program));
    }
    symlinkSync(process.execPath, join(this.bin, "node"));
    writeFileSync(join(this.folder, "package.json"), '{ "name": "empty", "version": "1.0.0", "private": true }\n');
  }

  /** Installs `files` with an empty cache and no registry; `more` are other options of npm. */
  install(files, more = []) {
    const options = ["--offline", "--no-audit", "--no-fund", "--cache", this.cache, ...more];
    const npm = spawnSync("npm", ["install", ...options, ...files], { cwd: this.folder, encoding: "utf8" });
    assert.equal(npm.status, 0, `npm install failed:\n${npm.stdout}${npm.stderr}`);
  }

  path(name) {
    return join(this.folder, name);
  }

  write(name, text) {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), text);
    return this.path(name);
  }

  /** The installed packages. */
  packages() {
    return readdirSync(this.path("node_modules")).filter((name) => name.startsWith("agbcloud-"));
  }

  manifestOf(name) {
    return JSON.parse(readFileSync(this.path(`node_modules/${name}/package.json`), "utf8"));
  }

  /** The files of an installed package. */
  filesOf(name) {
    const root = this.path(`node_modules/${name}`);
    const entries = readdirSync(root, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)));
  }

  /** Runs Node in the project to its end. */
  async node(t, args, env, program = process.execPath, options = {}) {
    const running = this.start(t, args, env, program, options);
    const ending = await running.ended;
    return { ...ending, lines: running.lines, errors: running.errors() };
  }

  /** Starts Node in the project; what the project sees of our environment is nothing. */
  start(t, args, env, program = process.execPath, { cwd = this.folder, timeoutMs = TIMEOUT_MS } = {}) {
    const child = spawn(program, args, {
      cwd,
      env: { PATH: this.bin, HOME: this.home, TMPDIR: tmpdir(), ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true, // leads a process group, so that what it started can be ended with it
    });
    const killer = setTimeout(() => killGroup(child), timeoutMs);
    killer.unref();
    t.after(() => killGroup(child));

    const lines = [];
    const waiting = new Set();
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      const at = performance.now();
      const pieces = (rest + text).split("\n");
      rest = pieces.pop();
      lines.push(...pieces.map((piece) => ({ text: piece, at })));
      waiting.forEach((look) => look());
    });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (errors += text));
    const ended = new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => {
        clearTimeout(killer);
        resolve({ code, signal });
      });
    });
    /** The first line of standard output like this. */
    const line = (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = lines.find(({ text }) => pattern.test(text));
          if (found) {
            waiting.delete(look);
            resolve(found.text);
          }
        };
        waiting.add(look);
        look();
        ended.then(() => reject(new Error(`it ended without a line ${pattern}:\n${errors}`)), reject);
      });
    return { child, lines, line, ended, errors: () => errors };
  }

  /** No process that was started from this project's packages is left, now or soon. */
  async assertNothingRuns() {
    let left = [];
    for (const deadline = Date.now() + 3_000; Date.now() < deadline; await sleep(50)) {
      left = commandLines().filter((line) => line.includes(this.path("node_modules")));
      if (left.length === 0) {
        return;
      }
    }
    assert.deepEqual(left, []);
  }
}

/** Ends a child and all that it started. */
function killGroup(child) {
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    if (error.code !== "ESRCH") {
      throw error; // else it has ended already
    }
  }
}

/** The command lines of all processes, where there is `/proc`. */
function commandLines() {
  if (!existsSync("/proc/self")) {
    return [];
  }
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((id) => {
      try {
        return readFileSync(`/proc/${id}/cmdline`, "utf8").replaceAll("\0", " ");
      } catch {
        return ""; // ended while we looked
      }
    });
}

/** Where `program` is; the system's own goes before one that a version manager puts on the path. */
export function findProgram(program) {
  const folders = ["/usr/bin", "/bin", ...(process.env["PATH"] ?? "").split(delimiter)];
  const found = folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
  assert.ok(found, `${program} is not installed`);
  return found;
}

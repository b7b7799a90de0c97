/**
 * Each fault of an installed addon has a message of its own, with the file, what is wrong in the loader's words or in
 * plainer ones, and what to do. The faults are made from the real addon.
 *
 * @module
 */

import assert from "node:assert/strict";
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { Project, tarballs } from "./project.mjs";

const project = new Project();
/** The platform's package, and its library. */
let folder;
let library;
let whole;

before(() => {
  project.install(tarballs());
  const name = project.packages().find((name) => name.startsWith("agbcloud-sdk-"));
  folder = project.path(`node_modules/${name}`);
  library = join(folder, readdirSync(folder).find((file) => file.endsWith(".node")));
  whole = readFileSync(library);
});

/** What `new AGB()` throws with this library in the place of the installed one; `null`: without the package. */
async function faultWith(t, bytes, args = []) {
  const program = project.write(
    "fault.cjs",
    `const { AGB, NativeAddonError } = require("agbcloud-sdk");
    try { new AGB("key"); console.log("{}"); } catch (error) {
      const { code, message, cause } = error;
      console.log(JSON.stringify({ code, message, cause: String(cause?.message), typed: error instanceof NativeAddonError }));
    }`,
  );
  const aside = `${folder}.aside`;
  renameSync(folder, aside);
  try {
    if (bytes !== null) {
      writeFileSync(project.path("fault.node"), bytes);
      const manifest = JSON.parse(readFileSync(join(aside, "package.json"), "utf8"));
      const name = manifest.name;
      project.write(`node_modules/${name}/package.json`, JSON.stringify(manifest));
      writeFileSync(project.path(`node_modules/${name}/${manifest.main}`), bytes);
    }
    const { lines, code, signal, errors } = await project.node(t, [...args, program], {});
    assert.deepEqual([code, signal], [0, null], errors);
    return JSON.parse(lines.at(-1).text);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    renameSync(aside, folder);
  }
}

function patched(from, to) {
  const bytes = Buffer.from(whole);
  const at = bytes.indexOf(from);
  assert.ok(at >= 0, `the library has ${JSON.stringify(from)}`);
  bytes.write(to, at, "latin1");
  return bytes;
}

function broken(fault, ...words) {
  assert.equal(fault.code, "NATIVE_ADDON_BROKEN", fault.message);
  assert.ok(fault.typed);
  for (const word of [library, "linux-", process.version, ...words]) {
    assert.ok(fault.message.includes(word), `${fault.message} lacks ${word}`);
  }
  assert.notEqual(fault.cause, "undefined");
}

describe("an addon", () => {
  it("that is right loads", async (t) => {
    assert.deepEqual(await faultWith(t, whole), {});
  });

  it("that is missing is told with the package and npm's option", async (t) => {
    const fault = await faultWith(t, null);
    assert.equal(fault.code, "NATIVE_ADDON_MISSING");
    assert.match(fault.message, /agbcloud-sdk-linux-\w+-\w+.*--include=optional|--include=optional.*agbcloud-sdk-linux-/);
    assert.notEqual(fault.cause, "undefined");
  });

  it("that is empty, or something else, is damaged", async (t) => {
    broken(await faultWith(t, Buffer.alloc(0)), "empty", "Reinstall");
    broken(await faultWith(t, Buffer.from("<html>not found</html>".repeat(100))), "damaged", "Reinstall");
  });

  it("that is truncated is damaged, and does not end the process", async (t) => {
    for (const part of [0.01, 0.3, 0.7, 0.999]) {
      const size = Math.floor(whole.length * part);
      broken(await faultWith(t, whole.subarray(0, size)), `${size} of ${whole.length} bytes`, "Reinstall");
    }
  });

  it("for another machine is told with both", async (t) => {
    const bytes = Buffer.from(whole);
    bytes.writeUInt16LE(process.arch === "arm64" ? 62 : 183, 18);
    broken(await faultWith(t, bytes), process.arch === "arm64" ? "for x64" : "for arm64", "Reinstall");
  });

  it("for musl is told with both C libraries", async (t) => {
    broken(await faultWith(t, patched("libc.so.6\0", "libc.so\0\0")), "for musl (Alpine), and this Node is for glibc", "Reinstall");
  });

  it("that needs a library that is not there is told with the loader's words", async (t) => {
    broken(await faultWith(t, patched("libc.so.6\0", "libd.so.6\0")), "libd.so.6: cannot open shared object file", "Reinstall");
  });

  it("for another platform alone is told with its file", async (t) => {
    const other = process.report.getReport().header.glibcVersionRuntime ? "musl" : "gnu";
    const name = `agbcloud-sdk-linux-${process.arch}-${other}`;
    const main = project.write(`node_modules/${name}/addon.node`, "");
    project.write(`node_modules/${name}/package.json`, JSON.stringify({ name, version: "1.0.0", main: "addon.node" }));
    t.after(() => rmSync(project.path(`node_modules/${name}`), { recursive: true }));
    const fault = await faultWith(t, null);
    assert.equal(fault.code, "NATIVE_ADDON_MISSING");
    assert.ok(fault.message.includes(`another platform, ${main}. Reinstall`), fault.message);
  });

  it("that needs a newer glibc is told with both versions", async (t) => {
    const newest = [...new Set(whole.toString("latin1").match(/GLIBC_2\.\d\d/g))].sort().at(-1);
    const fault = await faultWith(t, patched(`${newest}\0`, "GLIBC_9.9"));
    broken(fault, "needs glibc 9.9", `has glibc ${process.report.getReport().header.glibcVersionRuntime}`, "AGB_NATIVE");
  });

  it("that Node forbids is told with Node's option", { skip: Number(process.versions.node.split(".")[0]) < 20 }, async (t) => {
    const option = process.allowedNodeEnvironmentFlags.has("--permission") ? "--permission" : "--experimental-permission";
    broken(await faultWith(t, whole, [option, "--allow-fs-read=*"]), "permission model", "--allow-addons");
  });
});

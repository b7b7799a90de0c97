import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, linkSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { pack, unpack } from "../src/node/local-folders.js";
import { END, header, padding, type TarEntry } from "../src/node/tar.js";

let root: string;
before(() => {
  root = mkdtempSync(join(tmpdir(), "agb-tar-"));
});
after(() => rmSync(root, { recursive: true }));

async function bytesOf(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) {
    all.push(piece);
  }
  return Buffer.concat(all);
}

/** In pieces that end anywhere. */
async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    yield bytes.subarray(at, at + size);
  }
}

const LONG = "name-".repeat(40);
const CONTENT = Buffer.from(Array.from({ length: 100_000 }, (_, at) => at % 251));

function make(folder: string): void {
  mkdirSync(join(folder, LONG, "empty"), { recursive: true });
  chmodSync(join(folder, LONG, "empty"), 0o710);
  writeFileSync(join(folder, LONG, "ä"), CONTENT);
  writeFileSync(join(folder, "run"), "#!", { mode: 0o755 });
  writeFileSync(join(folder, "nothing"), "");
  linkSync(join(folder, "run"), join(folder, "same"));
  symlinkSync(`${LONG}/ä`, join(folder, "link"));
  utimesSync(join(folder, "run"), 1_000_000_000, 1_000_000_000);
}

function check(folder: string): void {
  assert.deepEqual(readdirSync(folder).sort(), ["link", LONG, "nothing", "run", "same"].sort());
  assert.ok(readFileSync(join(folder, "link")).equals(CONTENT));
  assert.equal(readlinkSync(join(folder, "link")), `${LONG}/ä`);
  assert.deepEqual(readdirSync(join(folder, LONG, "empty")), []);
  assert.equal(readFileSync(join(folder, "nothing"), "utf8") + readFileSync(join(folder, "same"), "utf8"), "#!");
  assert.equal(lstatSync(join(folder, LONG, "empty")).mode & 0o777, 0o710);
  const { mode, mtimeMs } = lstatSync(join(folder, "run"));
  assert.deepEqual([mode & 0o777, mtimeMs], [0o755, 1_000_000_000_000]);
}

const entry = (path: string, kind: TarEntry["kind"] = "file", target = "", text = "x"): Buffer => {
  const size = kind === "file" ? text.length : 0;
  const bytes = header({ path, kind, size, mode: 0o644, modified: 0, target });
  return Buffer.concat([bytes, Buffer.from(kind === "file" ? text : ""), padding(size)]);
};

describe("a folder of this machine", () => {
  it("is packed and unpacked as it was, whatever the pieces", async () => {
    make(join(root, "from"));
    const bytes = await bytesOf(pack(join(root, "from"), assert.fail));
    for (const size of [1 << 20, 512, 777]) {
      await unpack(join(root, `to-${size}`, "deep"), pieces(bytes, size));
      check(join(root, `to-${size}`, "deep"));
    }
  });

  it("is understood by tar, and understands it", async () => {
    make(join(root, "own"));
    writeFileSync(join(root, "own.tar"), await bytesOf(pack(join(root, "own"), assert.fail)));
    mkdirSync(join(root, "extracted"));
    execFileSync("tar", ["-xf", join(root, "own.tar"), "-C", join(root, "extracted")]);
    check(join(root, "extracted"));
    for (const format of ["gnu", "posix"]) {
      const bytes = execFileSync("tar", [`--format=${format}`, "-cf", "-", "-C", join(root, "own"), "."], { maxBuffer: 1 << 24 });
      await unpack(join(root, format), pieces(bytes, 1000));
      check(join(root, format));
    }
  });

  it("keeps what it has beside what comes, and is not touched by an archive that does not fit or is cut", async () => {
    const folder = join(root, "mine");
    mkdirSync(join(folder, "a"), { recursive: true });
    writeFileSync(join(folder, "mine"), "mine");
    await unpack(folder, pieces(Buffer.concat([entry("a/new"), entry("other"), END]), 1 << 20));
    assert.deepEqual(readdirSync(folder).sort(), ["a", "mine", "other"]);
    const fits = Buffer.concat([entry("first"), entry("second", "file", "", "y".repeat(5000)), END]);
    for (const [bytes, words] of [
      [Buffer.concat([entry("first"), entry("a"), END]), /in the way/],
      [Buffer.concat([entry("first"), entry("mine/x"), END]), /in the way/],
      [fits.subarray(0, 3000), /too early/],
      [fits.subarray(0, 1500), /too early/],
      [Buffer.concat([entry("first"), Buffer.alloc(512, 1), END]), /damaged/],
    ] as const) {
      await assert.rejects(unpack(folder, pieces(bytes, 700)), words);
      assert.deepEqual(readdirSync(folder).sort(), ["a", "mine", "other"]);
      assert.deepEqual(readdirSync(root).filter((name) => name.endsWith(".part")), []);
    }
  });

  it("takes nothing from an archive that leads elsewhere", async () => {
    symlinkSync(root, join(root, "away"));
    mkdirSync(join(root, "target"));
    symlinkSync(root, join(root, "target", "out"));
    for (const hostile of [
      [entry("../x")], [entry("/x")], [entry("a/../../x")], [entry("l", "link", "..")], [entry("l", "link", "/etc")],
      [entry("d/l", "link", "../../x")], [entry("l", "link", "a/../..")], [entry("h", "hardLink", "../x")],
      [entry("d", "folder"), entry("l", "link", "d"), entry("l/x")], [entry("out/x")],
    ]) {
      await assert.rejects(unpack(join(root, "target"), pieces(Buffer.concat([entry("first"), ...hostile, END]), 1 << 20)));
      assert.deepEqual(readdirSync(join(root, "target")), ["out"]);
    }
    assert.ok(!readdirSync(root).includes("x"));
  });

  it("leaves out what no archive has, and says so; a missing one is an error", async () => {
    mkdirSync(join(root, "odd"));
    execFileSync("mkfifo", [join(root, "odd", "pipe")]);
    writeFileSync(join(root, "odd", "a"), "a");
    const left: string[] = [];
    await bytesOf(pack(join(root, "odd"), (path) => left.push(path)));
    assert.deepEqual(left, [join(root, "odd", "pipe")]);
    await assert.rejects(bytesOf(pack(join(root, "none"), assert.fail)), { code: "ENOENT" });
  });
});

/**
 * The programs that are built for older systems need no newer glibc than the packages promise, and work.
 *
 * `cargo xtask test --packages` builds them and says where in `AGB_PORTABLE`.
 *
 * @module
 */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { CHECKOUT, Project, tarballs } from "../packaging/project.mjs";

const { platforms } = JSON.parse(readFileSync(join(CHECKOUT, "npm/platforms.json"), "utf8"));
const platform = platforms.find(({ glibc, cpu }) => glibc && cpu === process.arch);
const folder = process.env["AGB_PORTABLE"] ?? join(CHECKOUT, "target", platform.target, "debug");
const [addon, server] = [platform.sdk, platform.local].map(({ artifact }) => join(folder, artifact));

const project = new Project();
before(() => project.install(tarballs()));

describe("the portable programs", () => {
  it("need no newer glibc than is promised", () => {
    const [, floor] = platform.glibc.split(".").map(Number);
    for (const file of [addon, server]) {
      const symbols = execFileSync("readelf", ["--dyn-syms", "--wide", file], { encoding: "utf8", maxBuffer: 1 << 28 });
      const needed = symbols.split("\n").filter((line) => / UND /.test(line));
      assert.ok(needed.length > 50, file);
      const newer = needed.filter((line) => Number(/@GLIBC_2\.(\d+)/.exec(line)?.[1] ?? 0) > floor);
      assert.deepEqual(newer, [], file);
    }
  });

  it("run a program", async (t) => {
    const native = project.path("portable.node");
    copyFileSync(addon, native);
    const program = project.write(
      "program.mjs",
      `import { AGB } from "agbcloud-sdk";
      const agb = new AGB();
      const { session, errorMessage } = await agb.create({ imageId: "agb-code-space-1" });
      if (!session) throw new Error(errorMessage);
      const { logs } = await session.code.run("print(6 * 7)", "python");
      console.log(logs.stdout.join(""));
      await agb.delete(session);`,
    );
    const { lines, code, errors } = await project.node(t, [program], { AGB_ENDPOINT: "local", AGB_NATIVE: native, AGB_SERVER: server });
    assert.deepEqual([lines[0]?.text, code], ["42", 0], errors);
  });
});

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, it } from "node:test";

const PACKAGE = resolve(__dirname, "..");

/** Runs an ES module beside this package, where `agbcloud-sdk` is the package itself, as a user would have it. */
function runModule(source: string): string {
  return execFileSync(process.execPath, ["--input-type=module", "-e", source], { cwd: PACKAGE, encoding: "utf8" });
}

describe("the built package", () => {
  it("exports the same names and the very same classes to import and to require", () => {
    const output = runModule(`
      import { createRequire } from "node:module";
      import * as esm from "agbcloud-sdk";
      const cjs = createRequire(process.cwd() + "/x.js")("agbcloud-sdk");
      const names = Object.keys(cjs).sort();
      console.log(JSON.stringify({ esm: Object.keys(esm).sort(), cjs: names, same: names.every((name) => esm[name] === cjs[name]) }));
    `);
    const { esm, cjs, same } = JSON.parse(output) as { esm: string[]; cjs: string[]; same: boolean };
    assert.deepEqual(esm, cjs);
    assert(same, "import and require give different classes");
    assert(cjs.includes("AGB") && cjs.includes("CreateSessionParams") && cjs.includes("AuthenticationError"));
  });

  it("exports the same types to both", () => {
    const names = (file: string): string[] =>
      [...readFileSync(join(PACKAGE, "src", file), "utf8").matchAll(/export (?:type )?\{(.*?)\} from/gs)]
        .flatMap(([, list = ""]) => list.split(","))
        .map((name) => name.replace("type ", "").trim())
        .filter((name) => name !== "")
        .sort();
    assert.deepEqual(names("node.mts"), names("index.ts"));
  });

  it("loads no addon when it is imported", () => {
    const source = 'import { AGB } from "agbcloud-sdk"; console.log(typeof AGB);';
    const env = { ...process.env, AGB_NATIVE: "/nowhere.node" };
    const output = execFileSync(process.execPath, ["--input-type=module", "-e", source], { cwd: PACKAGE, env, encoding: "utf8" });
    assert.equal(output.trim(), "function");
  });

  it("has every file that package.json names", () => {
    const manifest = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")) as Record<string, unknown>;
    const paths = JSON.stringify(manifest).match(/\.\/dist\/[\w.]+/g) ?? [];
    assert(paths.length >= 6);
    for (const path of paths) {
      assert(existsSync(join(PACKAGE, path)), `${path} is missing`);
    }
  });

  it("needs no other package and no Node types", () => {
    const manifest = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")) as Record<string, unknown>;
    assert.equal(manifest["dependencies"], undefined);
    const declarations = readFileSync(join(PACKAGE, "dist", "index.d.ts"), "utf8") + readFileSync(join(PACKAGE, "dist", "node.d.ts"), "utf8");
    assert(!/node:|NodeJS|reference types/.test(declarations));
  });
});

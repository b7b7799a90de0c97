import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
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
      const found = Object.keys(esm).filter((name) => name !== "__esModule"); // Node's own view of a CommonJS file
      console.log(JSON.stringify({ esm: found.sort(), cjs: names, same: names.every((name) => esm[name] === cjs[name]) }));
    `);
    const { esm, cjs, same } = JSON.parse(output) as { esm: string[]; cjs: string[]; same: boolean };
    assert.deepEqual(esm, cjs);
    assert(same, "import and require give different classes");
    assert(cjs.includes("AGB") && cjs.includes("CreateSessionParams") && cjs.includes("AuthenticationError"));
  });

  it("names Node only behind the seam of platform.ts", () => {
    const files = readdirSync(join(PACKAGE, "src")).filter((name) => /^(?!node\.).*\.ts$/.test(name));
    assert(files.length > 10);
    for (const file of files) {
      const code = readFileSync(join(PACKAGE, "src", file), "utf8").replace(/\/\*\*.*?\*\//gs, "");
      assert(!/"node:|\bprocess\b\.|\brequire\(|__dirname|setImmediate|\bBuffer\b/.test(code), `${file} uses what only Node has`);
    }
  });

  it("loads no addon when it is imported", () => {
    const source = 'import { AGB } from "agbcloud-sdk"; console.log(typeof AGB);';
    const env = { ...process.env, AGB_NATIVE: "/nowhere.node" };
    const output = execFileSync(process.execPath, ["--input-type=module", "-e", source], { cwd: PACKAGE, env, encoding: "utf8" });
    assert.equal(output.trim(), "function");
  });

  it("has every file that package.json names", () => {
    const manifest = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")) as Record<string, unknown>;
    const paths = JSON.stringify(manifest).match(/\.\/dist\/[\w./-]+/g) ?? [];
    assert(paths.length >= 6);
    for (const path of paths) {
      assert(existsSync(join(PACKAGE, path)), `${path} is missing`);
    }
  });

  const settings: Array<[file: string, options: string]> = [
    ["program.mts", "--module node16 --moduleResolution node16"],
    ["program.cts", "--module node16 --moduleResolution node16"],
    ["program.mts", "--module esnext --moduleResolution bundler"],
    ["program.ts", "--module commonjs --moduleResolution node10"],
  ];
  for (const [file, options] of settings) {
    it(`has types for ${file} with ${options}, without Node's and with the library of 2020`, () => {
      const project = mkdtempSync(join(tmpdir(), "agb-sdk-types-"));
      try {
        mkdirSync(join(project, "node_modules"));
        symlinkSync(PACKAGE, join(project, "node_modules", "agbcloud-sdk"), "junction");
        writeFileSync(
          join(project, file),
          `import { AGB, type BinaryFileContentResult, CreateSessionParams, type SessionResult } from "agbcloud-sdk";
          export const size = (result: BinaryFileContentResult): number => result.content.byteLength;
          export const created: Promise<SessionResult> = new AGB("key").create(new CreateSessionParams({ imageId: "i" }));
          // @ts-expect-error the types are not just any
          new AGB(42);`,
        );
        const tsc = createRequire(__filename).resolve("typescript/bin/tsc");
        const strict = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--target", "es2020", "--lib", "es2020"];
        execFileSync(process.execPath, [tsc, ...strict, ...options.split(" "), file], { cwd: project, encoding: "utf8" });
      } catch (error) {
        const { stdout } = error as { stdout?: string };
        assert.fail(stdout ?? String(error));
      } finally {
        rmSync(project, { recursive: true });
      }
    });
  }

  it("has two more entries, with types for every way of finding them", () => {
    const project = mkdtempSync(join(tmpdir(), "agb-sdk-entries-"));
    try {
      mkdirSync(join(project, "node_modules"));
      symlinkSync(PACKAGE, join(project, "node_modules", "agbcloud-sdk"), "junction");
      writeFileSync(
        join(project, "program.ts"),
        `import { ContextSync, Lifecycle, newSyncPolicy, type SyncPolicy } from "agbcloud-sdk/context-sync";
        import { MouseButton } from "agbcloud-sdk/modules/computer/computer";
        const policy: SyncPolicy = newSyncPolicy({ recyclePolicy: { lifecycle: Lifecycle.LIFECYCLE_7DAYS } });
        export const all = [ContextSync.new("c", "/p").withPolicy(policy), MouseButton.LEFT];`,
      );
      const tsc = createRequire(__filename).resolve("typescript/bin/tsc");
      for (const options of ["--module node16 --moduleResolution node16", "--module esnext --moduleResolution bundler", "--module commonjs --moduleResolution node10"]) {
        execFileSync(process.execPath, [tsc, "--noEmit", "--strict", "--target", "es2020", ...options.split(" "), "program.ts"], { cwd: project });
      }
    } catch (error) {
      assert.fail(String((error as { stdout?: unknown }).stdout ?? error));
    } finally {
      rmSync(project, { recursive: true });
    }
    const output = runModule(`
      import { ContextSync } from "agbcloud-sdk/context-sync";
      import { MouseButton } from "agbcloud-sdk/modules/computer/computer";
      import * as all from "agbcloud-sdk";
      console.log(ContextSync === all.ContextSync, MouseButton === all.MouseButton);
    `);
    assert.equal(output.trim(), "true true");
  });

  it("needs no other package and no Node types", () => {
    const manifest = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")) as Record<string, unknown>;
    assert.equal(manifest["dependencies"], undefined);
    const declarations = readFileSync(join(PACKAGE, "dist", "index.d.ts"), "utf8") + readFileSync(join(PACKAGE, "dist", "node.d.ts"), "utf8");
    assert(!/node:|NodeJS|reference types/.test(declarations));
  });
});

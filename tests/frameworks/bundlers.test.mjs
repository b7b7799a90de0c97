/**
 * Programs for Node that a bundler has put into one file: they work beside `node_modules`, and elsewhere they say which
 * line of configuration is missing, or work with the addon named.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { CJS, ESM, Stage, tool } from "./stage.mjs";

const stage = new Stage("bundlers");
before(() => stage.open());

const MANIFEST = '{ "name": "program", "private": true, "type": "module" }\n';
const ESBUILD = tool("esbuild/bin/esbuild");
const BUN = tool("bun/bin/bun.exe");

/** What bundles `folder/in.mjs`, and the file that comes of it. */
const BUNDLERS = {
  "esbuild to CommonJS": {
    build: (t, folder) => stage.tool(t, folder, ["in.mjs", "--bundle", "--platform=node", "--outfile=out/out.cjs"], { program: ESBUILD }),
    out: "out/out.cjs",
  },
  "esbuild to an ES module, minified": {
    build: (t, folder) =>
      stage.tool(t, folder, ["in.mjs", "--bundle", "--minify", "--platform=node", "--format=esm", "--outfile=out/out.mjs"], { program: ESBUILD }),
    out: "out/out.mjs",
  },
  "esbuild of a CommonJS program": {
    build: (t, folder) => stage.tool(t, folder, ["in.cjs", "--bundle", "--platform=node", "--outfile=out/out.cjs"], { program: ESBUILD }),
    out: "out/out.cjs",
  },
  webpack: {
    files: {
      "webpack.config.mjs": `export default { mode: "production", target: "node", entry: "./in.mjs",
        output: { path: process.cwd() + "/out", filename: "out.cjs" } };\n`,
    },
    build: (t, folder) => stage.tool(t, folder, [tool("webpack-cli/bin/cli.js")]),
    out: "out/out.cjs",
  },
  "rollup with the condition node": {
    files: {
      "rollup.config.mjs": `import resolve from "@rollup/plugin-node-resolve";
        import commonjs from "@rollup/plugin-commonjs";
        export default { input: "in.mjs", output: { file: "out/out.mjs", format: "es" }, external: [/^node:/],
          plugins: [resolve({ exportConditions: ["node"] }), commonjs()] };\n`,
    },
    build: (t, folder) => stage.tool(t, folder, [tool("rollup/dist/bin/rollup"), "--config"]),
    out: "out/out.mjs",
  },
  "Vite's build for servers, with everything in it": {
    files: {
      "vite.config.mjs": `export default { build: { ssr: "in.mjs", outDir: "out", rollupOptions: { output: { entryFileNames: "out.mjs" } } },
        ssr: { noExternal: true } };\n`,
    },
    build: (t, folder) => stage.tool(t, folder, [tool("vite/bin/vite.js"), "build"]),
    out: "out/out.mjs",
  },
};

for (const [name, { files = {}, build, out }] of Object.entries(BUNDLERS)) {
  describe(name, () => {
    const folder = name.replaceAll(/\W+/g, "-");
    before(() => {
      for (const [file, text] of Object.entries({ "package.json": MANIFEST, "in.mjs": ESM, "in.cjs": CJS, ...files })) {
        stage.write(join(folder, file), text);
      }
    });

    it("builds without a warning, and what it builds works beside node_modules", async (t) => {
      const output = await build(t, folder);
      assert.doesNotMatch(output, /warn|critical dependency/i);
      await stage.works(t, [stage.path(join(folder, out))]);
    });

    it("elsewhere says which line is missing, or works with AGB_NATIVE", async (t) => {
      const place = stage.elsewhere(t, join(folder, "out"));
      const file = join(place, out.replace("out/", ""));
      await stage.saysWhatToDo(t, [file], { cwd: place });
      await stage.works(t, [file], { cwd: place, env: { AGB_NATIVE: stage.addon } });
    });
  });
}

describe("with the package left out of the bundle, as the message says", () => {
  it("esbuild's bundle works", async (t) => {
    stage.write("external/in.mjs", ESM);
    const options = ["in.mjs", "--bundle", "--platform=node", "--format=esm", "--external:agbcloud-sdk", "--outfile=out.mjs"];
    await stage.tool(t, "external", options, { program: ESBUILD });
    await stage.works(t, [stage.path("external/out.mjs")]);
  });

  it("Vite's build for servers works, and does so by itself", async (t) => {
    stage.write("vite-ssr/package.json", MANIFEST);
    stage.write("vite-ssr/in.mjs", ESM);
    await stage.tool(t, "vite-ssr", [tool("vite/bin/vite.js"), "build", "--ssr", "in.mjs", "--outDir", "out"]);
    await stage.works(t, [stage.path("vite-ssr/out/in.js")]);
  });
});

describe("rollup without the condition node", () => {
  it("takes the build for pages, which says so", async (t) => {
    stage.write("rollup-page/package.json", MANIFEST);
    stage.write("rollup-page/in.mjs", ESM.replace("new AGB()", "new AGB(process.env.AGB_API_KEY)"));
    stage.write(
      "rollup-page/rollup.config.mjs",
      `import resolve from "@rollup/plugin-node-resolve";
      export default { input: "in.mjs", output: { dir: "out", format: "es" }, plugins: [resolve()] };\n`,
    );
    await stage.tool(t, "rollup-page", [tool("rollup/dist/bin/rollup"), "--config"]);
    const { code, errors } = await stage.run(t, [stage.path("rollup-page/out/in.js")]);
    assert.equal(code, 1);
    assert.match(errors, /The WebAssembly part of agbcloud-sdk cannot be loaded.*exportConditions: \["node"\]/);
  });
});

describe("bun's bundler", () => {
  for (const target of ["node", "bun"]) {
    it(`builds for ${target} what works beside node_modules`, async (t) => {
      const folder = `bun-${target}`;
      stage.write(`${folder}/in.mjs`, ESM);
      await stage.tool(t, folder, ["build", "in.mjs", `--target=${target}`, "--outdir=out"], { program: BUN });
      await stage.works(t, [stage.path(`${folder}/out/in.js`)], target === "bun" ? { program: BUN } : {});
    });
  }

  it("makes one file that works everywhere", async (t) => {
    stage.write("bun-compile/in.mjs", ESM);
    await stage.tool(t, "bun-compile", ["build", "in.mjs", "--compile", "--outfile=out/program"], { program: BUN });
    const place = stage.elsewhere(t, "bun-compile/out");
    await stage.works(t, [], { program: join(place, "program"), cwd: place });
  });
});

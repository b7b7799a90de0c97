/**
 * What is published works where nothing else is: the packed tarballs, installed without a registry into an empty
 * project outside the checkout, run the quickstart from ESM and from CommonJS with no Rust on the search path.
 *
 * `cargo xtask test` packs first and says where in `AGB_TARBALLS`; run by itself, this file packs.
 *
 * @module
 */

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, posix } from "node:path";
import { before, describe, it } from "node:test";
import { CHECKOUT, Project, tarballs } from "./project.mjs";

const QUICKSTART = readFileSync(join(CHECKOUT, "examples", "quickstart.ts"), "utf8");
const IMPORT = 'import { AGB, CreateSessionParams } from "agbcloud-sdk";\n';
/** What the quickstart's program prints, a second apart but for the last two. */
const PRINTED = [...[1, 2, 3, 4, 5].map((step) => `Progress: ${step}/5`), "Done!"].map((text) => `[STDOUT] ${text}`);

/** The TypeScript compiler of the checkout; the project has none. */
const typescript = createRequire(join(CHECKOUT, "npm", "package.json"))("typescript");

const project = new Project();

before(() => {
  project.install(tarballs());
});

describe("the packages", () => {
  it("hold what they must and nothing of the workshop", () => {
    for (const name of project.packages()) {
      const files = project.filesOf(name);
      // Of the sources only what the maps of the compiled files name: debuggers and editors show it.
      const mapped = new Set(files.filter((file) => file.endsWith(".map")).flatMap((file) => sourcesOf(name, file)));
      assert.deepEqual([...mapped].filter((source) => !files.includes(source)), [], `${name} lacks what its maps name`);
      const own = files.filter((file) => !mapped.has(file));
      const foreign = own.filter((file) => /(^|\/)(src|tests?|node_modules)\/|tsbuildinfo|tsconfig|\.test\.|\.rs$/.test(file));
      assert.deepEqual(foreign, [], name);
      for (const licence of ["LICENSE-APACHE", "LICENSE-MIT"]) {
        assert.ok(files.includes(licence), `${name} lacks ${licence}`);
      }
    }
  });

  it("name the package of each platform that they are packed with as an optional dependency of their own version", () => {
    const { platforms } = JSON.parse(readFileSync(join(CHECKOUT, "npm", "platforms.json"), "utf8"));
    const packed = platforms.filter(({ platform }) => tarballs().some((file) => file.includes(`-${platform}-`)));
    assert.deepEqual(packed.map(({ cpu }) => cpu), [process.arch]);
    for (const [kind, name] of [["sdk", "agbcloud-sdk"], ["local", "agbcloud-local"]]) {
      const manifest = project.manifestOf(name);
      const wanted = Object.fromEntries(packed.map((platform) => [platform[kind].name, manifest.version]));
      assert.deepEqual(manifest.optionalDependencies, wanted);
    }
  });

  it("export only files that are there", () => {
    for (const name of ["agbcloud-sdk", "agbcloud-local"]) {
      const manifest = project.manifestOf(name);
      const files = project.filesOf(name);
      const targets = [manifest.main, manifest.types, ...Object.values(manifest.bin ?? {}), ...leaves(manifest.exports)];
      for (const target of targets) {
        assert.ok(files.includes(target.replace(/^\.\//, "")), `${name} names ${target}`);
      }
    }
  });
});

describe("the quickstart in an empty project", { concurrency: 2 }, () => {
  it("runs from ESM", async (t) => {
    const file = project.write("quickstart.mjs", javascript(QUICKSTART));
    checkQuickstart(await project.node(t, [file], { AGB_ENDPOINT: "local" }));
  });

  it("runs from CommonJS", async (t) => {
    const body = javascript(QUICKSTART);
    assert.ok(body.startsWith(IMPORT), "the quickstart begins with its import");
    const file = project.write(
      "quickstart.cjs",
      'const { AGB, CreateSessionParams } = require("agbcloud-sdk");\n' +
        `async function main() {\n${body.slice(IMPORT.length)}}\nmain();\n`,
    );
    checkQuickstart(await project.node(t, [file], { AGB_ENDPOINT: "local" }));
  });
});

/** The oldest Node that we promise and the newest with long support, from their npm packages; ours is in between. */
const OTHER_NODES = ["node-18", "node-24"];

describe("the quickstart with other versions of Node", { concurrency: 2 }, () => {
  for (const name of OTHER_NODES) {
    it(`runs with ${name}`, async (t) => {
      const program = join(CHECKOUT, "tests", "node_modules", name, "bin", "node");
      const version = `console.log(process.version);\n`;
      const file = project.write(`${name}.mjs`, version + javascript(QUICKSTART));
      const { lines, ...rest } = await project.node(t, [file], { AGB_ENDPOINT: "local" }, program);
      assert.match(lines[0]?.text ?? rest.errors, new RegExp(`^v${name.replace("node-", "")}\\.`));
      checkQuickstart({ lines: lines.slice(1), ...rest });
    });
  }
});

describe("afterwards", () => {
  it("nothing runs on", () => project.assertNothingRuns());
});

describe("import and require", () => {
  it("give the same classes", async (t) => {
    const file = project.write(
      "same.mjs",
      `import { createRequire } from "node:module";
       import * as imported from "agbcloud-sdk";
       const required = createRequire(import.meta.url)("agbcloud-sdk");
       const names = Object.keys(required).filter((name) => name !== "default");
       const different = names.filter((name) => imported[name] !== required[name]);
       console.log(JSON.stringify({ count: names.length, different }));`,
    );
    const { lines, code, errors } = await project.node(t, [file], {});
    assert.equal(code, 0, errors);
    const { count, different } = JSON.parse(lines[0].text);
    assert.ok(count > 5, `${count} exports`);
    assert.deepEqual(different, []);
  });

  it("of agbcloud-local start and stop a server", async (t) => {
    const body = `
      const server = await startLocalServer();
      if (!/^http:\\/\\/127\\.0\\.0\\.1:\\d+$/.test(server.endpoint)) throw new Error(server.endpoint);
      const agb = new AGB({ apiKey: server.apiKey, config: { endpoint: server.endpoint } });
      const list = await agb.list();
      await server.stop();
      console.log(list.success ? "listed" : list.errorMessage);`;
    const sources = {
      "local.mjs": `import { AGB } from "agbcloud-sdk";\nimport { startLocalServer } from "agbcloud-local";\n${body}`,
      "local.cjs":
        'const { AGB } = require("agbcloud-sdk");\nconst { startLocalServer } = require("agbcloud-local");\n' +
        `(async () => {${body}})();`,
    };
    for (const [name, source] of Object.entries(sources)) {
      const { lines, code, errors } = await project.node(t, [project.write(name, source)], {});
      assert.deepEqual([lines.map((line) => line.text), code], [["listed"], 0], `${name}: ${errors}`);
    }
    await project.assertNothingRuns();
  });
});

describe("the command agbcloud-local", () => {
  it("serves until it is told to stop, and leaves nothing", async (t) => {
    const command = project.start(t, [project.path("node_modules/.bin/agbcloud-local"), "serve", "--listen", "127.0.0.1:0"], {
      AGB_API_KEY: "a-key-for-this-test",
    });
    const line = await command.line(/^agb-server listening on http:/);
    const endpoint = line.replace(/.* on /, "").trim();
    const answer = await fetch(endpoint, { redirect: "manual" });
    await answer.arrayBuffer();
    assert.ok(answer.status < 500, `${answer.status}`);
    command.child.kill("SIGTERM");
    const { signal } = await command.ended;
    assert.notEqual(signal, "SIGKILL");
    await project.assertNothingRuns();
  });
});

describe("the types", () => {
  const usage = `
    import { AGB, CreateSessionParams } from "agbcloud-sdk";
    import { startLocalServer } from "agbcloud-local";
    export async function run(): Promise<string> {
      const server = await startLocalServer();
      const agb = new AGB({ apiKey: server.apiKey, config: { endpoint: server.endpoint } });
      const { session, errorMessage } = await agb.create(new CreateSessionParams({ imageId: "agb-code-space-1" }));
      if (!session) throw new Error(errorMessage);
      const result = await session.code.run("print(1)", "python", 60, { onStdout: (chunk) => console.log(chunk.toUpperCase()) });
      // @ts-expect-error: code is a string
      await session.code.run(1, "python");
      const seconds: number | undefined = result.executionTime;
      const success: boolean = result.success;
      return success ? String(seconds) : (result.errorMessage ?? "");
    }
  `;

  for (const [resolution, module, name] of [
    ["Node16", "Node16", "usage.mts"],
    ["Node16", "Node16", "usage.cts"],
    ["Bundler", "ESNext", "usage.ts"],
  ]) {
    it(`are right for ${name} with module resolution ${resolution}`, () => {
      const file = project.write(name, usage);
      const options = {
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        target: "ES2022",
        module,
        moduleResolution: resolution,
        types: ["node"],
        typeRoots: [join(CHECKOUT, "npm", "node_modules", "@types")],
      };
      assert.equal(compile([file], options), "");
    });
  }

  it("accept the quickstart as it is documented", () => {
    const folder = join(project.folder, "documented");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }\n');
    const file = join(folder, "quickstart.ts");
    writeFileSync(file, QUICKSTART);
    const options = {
      strict: true,
      noEmit: true,
      target: "ES2022",
      module: "NodeNext",
      types: ["node"],
      typeRoots: [join(CHECKOUT, "npm", "node_modules", "@types")],
    };
    assert.equal(compile([file], options), "");
  });
});

/** The quickstart's output is complete, in order, and came while the program ran. */
function checkQuickstart({ lines, code, errors }) {
  assert.equal(code, 0, errors);
  const texts = lines.map((line) => line.text.trim()).filter((text) => text !== "");
  assert.deepEqual(texts.slice(0, -1), PRINTED);
  assert.match(texts.at(-1), /^Execution completed in [5-9]\.\d\ds$/); // a busy machine has its pauses
  const arrivals = PRINTED.map((text) => lines.find((line) => line.text.trim() === text).at);
  for (let step = 1; step < arrivals.length; step += 1) {
    const gap = arrivals[step] - arrivals[step - 1];
    assert.ok(gap > 800, `${PRINTED[step]} came ${gap} ms after the line before`);
  }
}

/** TypeScript without its types, else as it was. */
function javascript(source) {
  const { ESNext, ES2022 } = { ...typescript.ModuleKind, ...typescript.ScriptTarget };
  const compilerOptions = { module: ESNext, target: ES2022, newLine: typescript.NewLineKind.LineFeed };
  return typescript.transpileModule(source, { compilerOptions }).outputText;
}

/** What the compiler has against `files`; nothing is an empty string. */
function compile(files, options) {
  const { options: compilerOptions, errors } = typescript.convertCompilerOptionsFromJson(options, project.folder);
  assert.deepEqual(errors, []);
  const program = typescript.createProgram(files, compilerOptions);
  return typescript.formatDiagnostics(typescript.getPreEmitDiagnostics(program), {
    getCanonicalFileName: (name) => name,
    getCurrentDirectory: () => project.folder,
    getNewLine: () => "\n",
  });
}

/** The files that a map of an installed package names. */
function sourcesOf(name, map) {
  const { sources } = JSON.parse(readFileSync(project.path(`node_modules/${name}/${map}`), "utf8"));
  return sources.map((source) => posix.join(posix.dirname(map), source));
}

/** All strings in a tree of objects. */
function leaves(tree) {
  return typeof tree === "string" ? [tree] : Object.values(tree ?? {}).flatMap(leaves);
}

/**
 * As strangers get the packages: published to a registry (verdaccio), installed from there by each package manager in an
 * empty folder without Rust, and run by each Node that is supported.
 *
 * @module
 */

import assert from "node:assert/strict";
import { readFileSync, realpathSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { before, describe, it } from "node:test";
import { findProgram, Project, tarballs } from "../packaging/project.mjs";
import { BUILD_MS, CJS, ESM, NODE_22, PRINTED, tool } from "./stage.mjs";

const DENO = tool("@deno/linux-x64-glibc/deno");
const BUN = tool("bun/bin/bun.exe");
/** From the installation to the last line of output, milliseconds. */
const QUICKSTART_MS = 60_000;

const registry = new Project();
let address;

before(async () => {
  const listener = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => listener.once("listening", resolve));
  const { port } = listener.address();
  await new Promise((resolve) => listener.close(resolve));
  address = `http://127.0.0.1:${port}/`;
  // No other registry behind it: the packages must be enough.
  const configuration = registry.write(
    "verdaccio.yaml",
    `storage: ${registry.path("storage")}\nmax_body_size: 500mb\npackages: { "**": { access: $all, publish: $anonymous } }\nlog: { type: stdout, level: warn }\n`,
  );
  const args = [tool("verdaccio/bin/verdaccio"), "--config", configuration, "--listen", `127.0.0.1:${port}`];
  const server = registry.start(registry.file, args, {}, NODE_22, { timeoutMs: 3 * BUILD_MS });
  while (!(await fetch(`${address}-/ping`).then(({ ok }) => ok, () => false))) {
    assert.equal(server.child.exitCode, null, `the registry ended:\n${server.errors()}${server.lines.map(({ text }) => text).join("\n")}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  registry.write(".npmrc", npmrc());
  for (const file of tarballs()) {
    await succeeds(registry.file, registry, [npm(), "publish", file]);
  }
});

const npm = () => realpathSync(findProgram("npm"));
const npmrc = () => `registry=${address}\n${address.replace("http:", "")}:_authToken=anybody\nfund=false\naudit=false\nupdate-notifier=false\n`;

/** An empty folder of somebody who knows of the registry. */
function folder(project = new Project()) {
  project.write(".npmrc", npmrc());
  project.write("program.mjs", ESM);
  project.write("program.cjs", CJS);
  return project;
}

async function succeeds(t, project, args, program = process.execPath, env = {}) {
  const { code, lines, errors } = await project.node(t, args, { CI: "1", ...env }, program, { timeoutMs: BUILD_MS });
  assert.equal(code, 0, `${args.join(" ")} failed:\n${lines.map(({ text }) => text).join("\n")}\n${errors}`);
}

async function prints(t, project, args, program = process.execPath) {
  const { code, lines, errors } = await project.node(t, args, { AGB_ENDPOINT: "local" }, program);
  assert.deepEqual([lines.map(({ text }) => text), code], [PRINTED, 0], errors);
}

const PACKAGES = ["agbcloud-sdk", "agbcloud-local"];
const manifest = (project) => {
  const version = JSON.parse(readFileSync(new URL("../../npm/sdk/package.json", import.meta.url), "utf8")).version;
  const dependencies = Object.fromEntries(PACKAGES.map((name) => [name, version]));
  project.write("package.json", JSON.stringify({ name: "empty", version: "1.0.0", private: true, dependencies }));
};

const MANAGERS = {
  npm: (t, project) => succeeds(t, project, [npm(), "install", ...PACKAGES]),
  pnpm: (t, project) => succeeds(t, project, [tool("pnpm/bin/pnpm.cjs"), "add", ...PACKAGES]),
  "yarn 1": (t, project) => succeeds(t, project, [tool("yarn/bin/yarn.js"), "add", "--no-progress", ...PACKAGES]),
  "yarn 4 with node_modules": async (t, project) => {
    project.write(".yarnrc.yml", yarnrc("node-modules"));
    manifest(project);
    await succeeds(t, project, [tool("@yarnpkg/cli-dist/bin/yarn.js"), "install", "--no-immutable"]);
  },
  bun: (t, project) => succeeds(t, project, ["add", ...PACKAGES], BUN),
};
const yarnrc = (linker) =>
  `nodeLinker: ${linker}\nnpmRegistryServer: "${address}"\nunsafeHttpWhitelist: ["127.0.0.1"]\nenableTelemetry: false\nenableGlobalCache: false\n` +
  "npmMinimalAgeGate: 0\n"; // what was published a moment ago is waited with elsewhere

describe("installed from a registry", () => {
  for (const [name, install] of Object.entries(MANAGERS)) {
    it(`by ${name}, the quick start runs within a minute`, async (t) => {
      const project = folder();
      const began = performance.now();
      await install(t, project);
      await prints(t, project, ["program.mjs"]);
      await prints(t, project, ["program.cjs"]);
      assert.ok(performance.now() - began < QUICKSTART_MS);
    });
  }

  it("by yarn 4 without node_modules (Plug'n'Play), the quick start runs", async (t) => {
    const project = folder();
    project.write(".yarnrc.yml", yarnrc("pnp"));
    manifest(project);
    await succeeds(t, project, [tool("@yarnpkg/cli-dist/bin/yarn.js"), "install", "--no-immutable"]);
    await prints(t, project, ["--require", "./.pnp.cjs", "program.cjs"]);
  });

  it("by deno, the quick start runs in Deno", async (t) => {
    const project = folder();
    manifest(project);
    await succeeds(t, project, ["install", "--minimum-dependency-age=0"], DENO, { NPM_CONFIG_REGISTRY: address });
    await prints(t, project, ["run", "--allow-all", "program.mjs"], DENO);
  });

  it("by bun, the quick start runs in Bun", async (t) => {
    const project = folder();
    await succeeds(t, project, ["add", ...PACKAGES], BUN);
    await prints(t, project, ["program.mjs"], BUN);
  });

  it("by a lock file that was made for another platform", async (t) => {
    const project = folder();
    await succeeds(t, project, [npm(), "install", "--os=darwin", "--cpu=arm64", ...PACKAGES]);
    rmSync(project.path("node_modules"), { recursive: true });
    await succeeds(t, project, [npm(), "ci"]);
    await prints(t, project, ["program.mjs"]);
  });

  describe("by npm", () => {
    const project = new Project();
    before(async () => {
      folder(project);
      await succeeds(project.file, project, [npm(), "install", ...PACKAGES]);
    });
    for (const version of [18, 20, 22, 24]) {
      it(`the quick start runs on Node ${version}`, async (t) => {
        await prints(t, project, ["program.mjs"], tool(`node-${version}/bin/node`));
        await prints(t, project, ["program.cjs"], tool(`node-${version}/bin/node`));
      });
    }
    it("nothing of the programs runs on", () => project.assertNothingRuns());
  });
});

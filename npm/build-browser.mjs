// Bundles the browser's entries: TypeScript, what wasm-bindgen made of crates/wasm, and nothing else, minified.
// `cargo xtask wasm` calls it when sdk/wasm/ is there; it prints nothing.
import { build } from "esbuild";
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const sdk = join(here, "sdk");
const out = join(sdk, "web");

/** `#wasm` is what the page's WebAssembly exports, `#account` the larger build's. */
const builds = { "#wasm": "agb", "#account": "agb_account" };
const glue = {
  name: "glue",
  setup: ({ onResolve }) =>
    onResolve({ filter: /^#(wasm|account)$/ }, ({ path }) => ({ path: join(sdk, "wasm", builds[path], `${builds[path]}.js`) })),
};
/** What a page loads later is in the place of what is loaded already elsewhere. */
const later = {
  name: "later",
  setup: ({ onResolve }) =>
    onResolve({ filter: /^\.\/load-files\.js$/ }, () => ({ path: join(sdk, "src/browser/load-files.ts") })),
};

rmSync(out, { recursive: true, force: true });
mkdirSync(out);
for (const name of Object.values(builds)) {
  copyFileSync(join(sdk, "wasm", name, `${name}_bg.wasm`), join(out, `${name}_bg.wasm`));
}
const common = {
  outdir: out,
  bundle: true,
  format: "esm",
  target: ["chrome100", "firefox100", "safari16.4"],
  minify: true,
  sourcemap: false,
  legalComments: "none",
  tsconfig: join(sdk, "tsconfig.browser.json"),
  pure: ["console.warn"], // of wasm-bindgen's loader: about old ways to call it, and files that load the slower way
  logLevel: "warning",
  logOverride: { "duplicate-object-key": "silent" }, // as wasm-bindgen writes it: the same value each time
};
await build({
  ...common,
  entryPoints: { index: join(sdk, "src/browser.ts") },
  splitting: true,
  chunkNames: "[name]-[hash]",
  plugins: [glue, later],
});
/** The worker loads the page's own bundle. */
const page = {
  name: "page",
  setup: ({ onResolve }) => onResolve({ filter: /\/browser\.js$/ }, () => ({ path: "./index.js", external: true })),
};
await build({
  ...common,
  entryPoints: { worker: join(sdk, "src/browser/worker/entry.ts"), "worker-thread": join(sdk, "src/browser/worker/thread.ts") },
  plugins: [page],
});
// The package around it is CommonJS; Node and some bundlers go by this.
writeFileSync(join(out, "package.json"), '{ "type": "module" }\n');

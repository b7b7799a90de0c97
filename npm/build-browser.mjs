// Bundles the browser's entry: TypeScript, what wasm-bindgen made of crates/wasm, and nothing else, minified.
// `cargo xtask wasm` calls it when sdk/wasm/ is there; it prints nothing.
import { build } from "esbuild";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { shorten } from "./short-names.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const sdk = join(here, "sdk");
const out = join(sdk, "web");

/** `#wasm` is what the page's WebAssembly exports, `#account` the larger build's. */
const builds = { "#wasm": "agb", "#account": "agb_account" };
const glue = {
  name: "glue",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^#(wasm|account)$/ }, ({ path }) => ({ path: join(sdk, "wasm", builds[path], `${builds[path]}.js`), namespace: "glue" }));
    onLoad({ filter: /./, namespace: "glue" }, ({ path }) => {
      const wasm = path.replace(/\.js$/, "_bg.wasm");
      return { contents: shorten({ glue: path, wasm, out: join(out, basename(wasm)) }), resolveDir: dirname(path) };
    });
  },
};

rmSync(out, { recursive: true, force: true });
mkdirSync(out);
await build({
  entryPoints: { index: join(sdk, "src/browser.ts") },
  outdir: out,
  bundle: true,
  splitting: true,
  format: "esm",
  target: ["chrome100", "firefox100", "safari16.4"],
  minify: true,
  sourcemap: false,
  legalComments: "none",
  chunkNames: "[name]-[hash]",
  tsconfig: join(sdk, "tsconfig.browser.json"),
  plugins: [glue],
  logLevel: "warning",
  logOverride: { "duplicate-object-key": "silent" }, // as wasm-bindgen writes it: the same value each time
});
// The package around it is CommonJS; Node and some bundlers go by this.
writeFileSync(join(out, "package.json"), '{ "type": "module" }\n');

// Bundles the browser's entry: TypeScript, what wasm-bindgen made of crates/wasm, and nothing else, minified.
// `cargo xtask wasm` calls it when sdk/wasm/ is there; it prints nothing.
import { build } from "esbuild";
import { copyFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const sdk = join(here, "sdk");
const out = join(sdk, "web");

/** `#wasm` is what the page's WebAssembly exports, `#account` the larger build's. */
const glue = {
  name: "glue",
  setup({ onResolve }) {
    onResolve({ filter: /^#(wasm|account)$/ }, ({ path }) => ({ path: join(sdk, "wasm", path === "#wasm" ? "agb" : "agb_account", `${path === "#wasm" ? "agb" : "agb_account"}.js`) }));
  },
};

rmSync(out, { recursive: true, force: true });
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
for (const name of ["agb", "agb_account"]) {
  copyFileSync(join(sdk, "wasm", name, `${name}_bg.wasm`), join(out, `${name}_bg.wasm`));
}

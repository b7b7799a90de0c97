// Bundles the entries that are no part of the CommonJS package: for bundlers that build for Node, and for run times
// that can only refuse. `npm run build` calls it; it prints nothing.
import { build } from "esbuild";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const sdk = join(dirname(fileURLToPath(import.meta.url)), "sdk");

const common = {
  outdir: join(sdk, "dist"),
  outExtension: { ".js": ".mjs" },
  bundle: true,
  format: "esm",
  target: "es2022",
  keepNames: true, // of errors, which programs read
  sourcemap: "linked",
  sourcesContent: false, // the sources are in the package
  tsconfig: join(sdk, "tsconfig.json"),
  logLevel: "warning",
};

await build({ ...common, entryPoints: [join(sdk, "src/module.ts")], platform: "node" });
await build({ ...common, entryPoints: [join(sdk, "src/edge.ts")], platform: "neutral" });

// What importing one of the WebAssembly files gives is the bundler's to say: its address, its bytes, the module.
// `initialize({ wasm })` takes all of them.
writeFileSync(join(sdk, "dist/wasm-file.d.ts"), "declare const file: string | object;\nexport default file;\n");

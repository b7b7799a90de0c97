// Short names between the WebAssembly and its glue: wasm-bindgen's carry a hash each, which no compressor makes smaller.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const WASM_OPT = fileURLToPath(new URL("node_modules/binaryen/bin/wasm-opt", import.meta.url));

/**
 * Writes the module to `out` with its imports and exports renamed, and gives its glue to go with it.
 *
 * @throws Error when the glue does not look as wasm-bindgen has written it so far.
 */
export function shorten({ wasm, glue, out }) {
  const options = ["--minify-imports-and-exports-and-modules", "--strip-target-features"];
  const names = JSON.parse(execFileSync(process.execPath, [WASM_OPT, wasm, ...options, "-o", out], { encoding: "utf8" }));
  let text = readFileSync(glue, "utf8");
  // `import0` has the functions that convert, the others are host.js as it is.
  const direct = [];
  for (const [module, name, short] of names.imports) {
    if (module.startsWith("./snippets/")) {
      const [, namespace] = found(text, new RegExp(`^import \\* as (\\w+) from "${module}"`, "m"));
      direct.push(`${short}: ${namespace}.${name}`);
    } else {
      const [key] = found(text, new RegExp(`^ +${name}: function`, "m"));
      text = text.replace(key, `${short}: function`);
    }
  }
  const [modules] = found(text, /return \{\s+__proto__: null,\s+"\.\/[^}]*\};/);
  text = text.replace(modules, `return { a: { ...import0, ${direct.join(", ")} } };`);
  for (const [name, short] of names.exports) {
    text = text.replaceAll(new RegExp(`\\bwasm\\.${name.replaceAll("$", "\\$")}\\b`, "g"), `wasm.${short}`);
  }
  return `${text}\nexport { __wbg_get_imports as imports, __wbg_finalize_init as finalize };\n`;
}

function found(text, pattern) {
  const match = text.match(pattern);
  if (match === null) {
    throw new Error(`the glue has nothing like ${pattern}: wasm-bindgen writes it differently now`);
  }
  return match;
}

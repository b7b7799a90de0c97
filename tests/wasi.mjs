// Runs a program for wasm32-wasip1 in Node, as cargo's runner: `node wasi.mjs PROGRAM.wasm ARGUMENTS…`.

import { readFile } from "node:fs/promises";
import { argv, env, exit } from "node:process";
import { WASI } from "node:wasi";

const [, , program, ...args] = argv;
const wasi = new WASI({ version: "preview1", args: [program, ...args], env, returnOnExit: true });
const { instance } = await WebAssembly.instantiate(await readFile(program), wasi.getImportObject());
let code;
try {
  code = wasi.start(instance);
} catch (error) {
  // A failed test aborts: there is nothing to unwind to. What it said is in the output above.
  console.error(String(error));
  code = 101;
}
exit(code);

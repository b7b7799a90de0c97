// What runs inside a JavaScript kernel: takes cells from fd 3, runs them in the global scope, answers on fd 4.
//
// Every file of this harness is a function of `require`, `part` (another file's exports), `load` (an `import()`, which
// only the code of the command line has) and `module`. It is compiled when it is first asked for.
"use strict";

const path = require("path");
const { createRequire } = require("module");
const { pathToFileURL } = require("url");

const { receive, send } = part("control");
const { readControl } = part("watcher"); // first: the other thread takes a while to start
part("timers");
part("children");
part("output");
const { start, warm } = part("cells");

/** `import()` as cells have it. */
const dynamicImport = (specifier, options) => part("imports").importModule(specifier, options);

const here = path.join(process.cwd(), "cell.js");
const cells = { exports: {}, id: ".", filename: here, loaded: false, children: [], paths: [] };
const hidden = (value) => ({ value, configurable: true, writable: true });
Object.defineProperties(globalThis, {
  // Cells are the program, as in `if (require.main === module) main()`.
  require: hidden(Object.assign(createRequire(here), { main: cells })),
  module: hidden(cells),
  exports: hidden({}),
  __filename: hidden(here),
  __dirname: hidden(process.cwd()),
  __import: hidden(Object.defineProperty(dynamicImport, "checked", { get: () => part("imports").importModule.checked })),
  __importMeta: hidden({
    url: pathToFileURL(here).href,
    filename: here,
    dirname: process.cwd(),
    resolve: (specifier) => pathToFileURL(createRequire(here).resolve(specifier)).href,
  }),
  // node's own also feeds the inspector, which keeps the last thousand messages and what they show alive.
  console: hidden(new console.Console({ stdout: process.stdout, stderr: process.stderr })),
});
process.argv = [process.argv[0], here];
// node puts back its own when the code of the command line has ended, which is while the first cell runs.
process.nextTick(() => (globalThis.module = cells));

// The frames of this harness, and those of node that led to it, are no part of any stack; a program's own function for
// this goes before ours, as it goes before node's.
const isOurs = (frame) => /^agb:|^node:inspector$|^\[eval\]$/.test(frame.getFileName() ?? "");
Object.defineProperty(Error, "prepareStackTrace", hidden((error, frames) => {
  const first = frames.findIndex((frame) => frame.getFileName() === "node:inspector");
  const own = (first < 0 ? frames : frames.slice(0, first)).filter((frame) => !isOurs(frame));
  const { name, message, code } = error;
  const isCoded = typeof code === "string" && code.startsWith("ERR_"); // node's own errors
  const head = isCoded ? `${name} [${code}]: ${message}` : Error.prototype.toString.call(error);
  // Without any frame `inspect` would put the error into brackets.
  return [head, ...(own.length ? own : ["<anonymous>"])].join("\n    at ");
}));

send({ type: "ready" });
let first = receive(); // here, while the other thread still starts
for (; first.type === "warm"; first = receive()) {
  warm();
  send({ type: "ready" });
}
readControl();
start(first);

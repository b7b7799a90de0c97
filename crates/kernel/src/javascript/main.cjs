// What runs inside a JavaScript kernel: takes cells from fd 3, runs them in the global scope, answers on fd 4.
"use strict";

const { createRequire, cwd, path, pathToFileURL, process } = part("captured");
const { receive, send } = part("control");
const { readControl } = part("watcher"); // first: the other thread takes a while to start
part("timers");
part("modules");
const output = part("output");
part("descriptors");
part("stacks");
const { start, warm } = part("cells");
const { facade, global } = host;

const here = path.join(cwd(), "cell.js");
const hereUrl = pathToFileURL(here).href;
const require = createRequire(here);
const cells = { __proto__: global.Object.prototype, exports: new global.Object(), id: ".", filename: here, loaded: false, parent: null };
Object.assign(cells, { children: new global.Array(), paths: new global.Array() });
const meta = {
  __proto__: null,
  dirname: cwd(),
  filename: here,
  resolve: facade("resolve", (specifier) => pathToFileURL(require.resolve(specifier)).href),
  url: hereUrl,
};
const hidden = (value) => ({ value, configurable: true, writable: true });
Object.defineProperties(global, {
  // Cells are the program, as in `if (require.main === module) main()`.
  require: hidden(require),
  module: hidden(cells),
  exports: hidden(cells.exports),
  __filename: hidden(here),
  __dirname: hidden(cwd()),
  arguments: hidden(global.Function("return arguments")(cells.exports, require, cells, here, cwd())),
  // What `import.meta` becomes in a cell: nothing that is declared there can hide it.
  __importMeta: { value: meta },
});
require.main = cells;
process.argv = global.Array.of(process.argv[0], here);
process.execArgv = new global.Array();
// node puts back its own when the code of the command line has ended, which is while the first cell runs.
process.nextTick(() => (global.module = cells));

send({ type: "ready" });
output.warm(); // while the first cell is on its way
let first = receive(); // here, while the other thread still starts
for (; first.type === "warm"; first = receive()) {
  warm();
  send({ type: "ready" });
}
readControl();
start(first);

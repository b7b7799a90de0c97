// What a program knows of itself: its file, its module, its arguments.
"use strict";

const { createRequire, cwd, module: Module, path, pathToFileURL, process } = part("captured");
const { facade, global } = host;

const module_ = { __proto__: global.Object.prototype, exports: new global.Object(), id: ".", filename: "", loaded: false, parent: null };
Object.assign(module_, { children: new global.Array(), paths: global.Array.from(Module._nodeModulePaths(cwd())) });
const meta = { __proto__: null };
const execPath = process.argv[0];
const hidden = (value) => ({ value, configurable: true, writable: true });

/** Gives the program the name of a file in the working directory. */
function name(file, given) {
  const here = path.join(cwd(), file);
  const require = createRequire(here);
  require.main = module_;
  module_.filename = here;
  Object.assign(meta, {
    dirname: cwd(),
    filename: here,
    resolve: facade("resolve", (specifier) => pathToFileURL(require.resolve(specifier)).href),
    url: pathToFileURL(here).href,
  });
  Object.defineProperties(global, {
    // Cells are the program, as in `if (require.main === module) main()`.
    require: hidden(require),
    module: hidden(module_),
    exports: hidden(module_.exports),
    __filename: hidden(here),
    __dirname: hidden(cwd()),
    arguments: hidden(global.Function("return arguments")(module_.exports, require, module_, here, cwd())),
  });
  process.argv = global.Array.of(execPath, here, ...given);
  return here;
}

/** What errors call the program, if it is a file's. */
function begin({ program, arguments: count, ...message }) {
  if (program === undefined || program === "-") return undefined;
  const given = Array.from({ length: count }, (_, at) => message[`argument${at}`]);
  const here = name(program, given);
  // V8 takes no other text for a name.
  return /^[^\s"'`]+$/.test(here) ? here : undefined;
}

name("cell.js", []);
// What `import.meta` becomes in a cell: nothing that is declared there can hide it.
Object.defineProperty(global, "__importMeta", { value: meta });
process.execArgv = new global.Array();

module.exports = { begin, module: module_ };

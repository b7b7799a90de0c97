// The first code in the harness's own realm: hands out the other files.
//
// Every file is a function of `host` (what the command line's code gives), `part` (another file's exports) and
// `module`. It is compiled when it is first asked for. Its builtins are this realm's: no program can replace them.
// Values of programs and of node are of the other realm: their methods are not called, `captured` has functions for
// that, and only own properties are read of them.
(function (host, text) {
  "use strict";
  const sources = text.split("\0");
  const loaded = new Map();
  const part = (name) => {
    if (!loaded.has(name)) {
      const source = sources[sources.indexOf(name) + 1];
      const module = { exports: {} };
      host.compile(`(function (host, part, module) {${source}\n})`, `agb:${name}`)(host, part, module);
      loaded.set(name, module.exports);
    }
    return loaded.get(name);
  };
  part("main");
});

(() => {
  const fs = require("fs");
  const { runInThisContext } = require("vm");
  const take = (size) => {
    const data = Buffer.alloc(size);
    for (let at = 0; at < size; ) {
      const read = fs.readSync(3, data, at, size - at);
      if (read === 0) process.reallyExit(0);
      at += read;
    }
    return data;
  };
  const load = (name) => import(name);
  const sources = take(take(4).readUInt32BE()).toString().split("\0");
  const loaded = new Map();
  // In functions, because what is declared at this level could not be declared by a cell.
  const part = (name) => {
    if (!loaded.has(name)) {
      const source = sources[sources.indexOf(name) + 1];
      const module = { exports: {} };
      runInThisContext(`(function (require, part, load, module) {${source}\n})`, { filename: `agb:${name}` })(require, part, load, module);
      loaded.set(name, module.exports);
    }
    return loaded.get(name);
  };
  part("main");
})();

(() => {
  const fs = require("fs");
  const vm = require("vm");
  const take = (size) => {
    const data = Buffer.alloc(size);
    for (let at = 0; at < size; ) {
      const read = fs.readSync(3, data, at, size - at);
      if (read === 0) process.reallyExit(0);
      at += read;
    }
    return data;
  };
  const compiled = take(take(4).readUInt32BE());
  const sources = take(take(4).readUInt32BE()).toString();
  // The harness has builtins of its own: what a program does to `JSON` or to `Array.prototype` does not reach them.
  const realm = vm.createContext(vm.constants?.DONT_CONTEXTIFY ?? { __proto__: null });
  const { Script } = vm;
  const { apply, defineProperty, ownKeys, getOwnPropertyDescriptor } = Reflect;
  const { runInContext } = Script.prototype;
  // What V8 has compiled of each part: a line that says where it is, and the bytes. V8 refuses what is of another version.
  const cached = { __proto__: null };
  const start = compiled.indexOf("\n") + 1;
  if (start > 0) {
    const places = JSON.parse(compiled.toString("latin1", 0, start));
    for (const name of ownKeys(places)) cached[name] = compiled.subarray(start + places[name][0], start + places[name][1]);
  }
  const host = {
    __proto__: null,
    global: globalThis,
    require,
    load: (name, options) => import(name, options),
    // A function for programs, which is one of their own `Function`. `like` gives it the properties that it replaces.
    facade: (name, implementation, like = {}) => {
      const facade = { [name](...args) { return apply(implementation, this, args); } }[name];
      for (const key of ownKeys(like)) {
        if (key !== "prototype") defineProperty(facade, key, getOwnPropertyDescriptor(like, key));
      }
      return facade;
    },
    // Throws what V8 says of the text of a script.
    check: (source) => void new Script(source),
    compile: (source, filename) =>
      apply(runInContext, new Script(source, { __proto__: null, filename, cachedData: cached[filename] }), [realm]),
  };
  const end = sources.indexOf("\0");
  host.compile(sources.slice(0, end), "agb:realm")(host, sources.slice(end + 1));
})();

// What is done to modules of node when a program first loads them.
//
// The functions of `child_process` that wait: node dies when they are terminated on their way back. An interrupt ends the
// child itself, with a signal. The program is terminated as soon as such a function has returned.
"use strict";

const { fs, module: Module, syncExports } = part("captured");
const { whole } = part("watcher");
const { facade, require } = host;

const PATCHES = {
  child_process(loaded) {
    for (const name of ["execFileSync", "execSync", "spawnSync"]) {
      const wait = loaded[name];
      loaded[name] = facade(name, (...args) => whole(() => wait(...args)), wait);
    }
  },
  "fs/promises": (loaded) => part("descriptors").watchPromises(loaded),
  readline(loaded) {
    part("lines").watch(loaded);
    if (pending.delete("readline/promises")) part("lines").watch(loaded.promises);
  },
  "readline/promises": (loaded) => part("lines").watch(loaded),
};

const original = Module._load;
const pending = new Set(Object.keys(PATCHES));

/** The module of node that this is another name of. */
const plainName = (request) => (typeof request === "string" && request.startsWith("node:") ? request.slice(5) : request);

// These modules take a while to load, and most programs do not need them.
Module._load = facade("_load", function (request, ...rest) {
  const loaded = Reflect.apply(original, this, [request, ...rest]);
  const name = plainName(request);
  if (pending.delete(name)) PATCHES[name](loaded);
  return loaded;
}, original);

const { get } = Object.getOwnPropertyDescriptor(fs, "promises");
const promises = () => {
  const loaded = Reflect.apply(get, fs, []);
  if (pending.delete("fs/promises")) PATCHES["fs/promises"](loaded);
  return loaded;
};
Object.defineProperty(fs, "promises", { get: facade("get promises", promises), configurable: true, enumerable: true });

/** Loads the module here if it is such a one: node's own `import` would pass by what is above. */
function prepare(request) {
  const name = plainName(request);
  if (pending.has(name)) require(name);
  // Its `stdin` is another one in each run.
  if (name === "process") syncExports();
}

module.exports = { prepare };

// The functions of `child_process` that wait: node dies when they are terminated on their way back.
//
// An interrupt ends the child itself, with a signal. The program is terminated as soon as such a function has returned.
"use strict";

const Module = require("module");

const { whole } = part("watcher");

const original = Module._load;
const isThis = (request) => request === "child_process" || request === "node:child_process";

// The module takes a while to load, and most programs do not need it.
Module._load = function (request, ...rest) {
  const loaded = Reflect.apply(original, this, [request, ...rest]);
  if (isThis(request)) {
    Module._load = original;
    for (const name of ["execFileSync", "execSync", "spawnSync"]) {
      const wait = loaded[name];
      const guarded = (...args) => whole(() => wait(...args));
      loaded[name] = Object.defineProperty(guarded, "name", { value: name });
    }
  }
  return loaded;
};

module.exports = { isThis };

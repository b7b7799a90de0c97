// The timers of the running cell: what an interrupt must end.
"use strict";

const events = require("events");
const util = require("util");

const { whole } = part("watcher");

const timers = new Set();

/** Ends the promises of timers. */
const newInterruption = () => {
  const controller = new AbortController();
  events.setMaxListeners(0, controller.signal);
  return controller;
};
let interruption = newInterruption();
const interruptions = new WeakSet();

/**
 * Replaces the functions that make timers by ones that note them, here and in the module `timers`. A timer that was made
 * and not noted would keep every later cell from its end, so both happen or nothing.
 */
function trackTimers() {
  const module = require("timers");
  const { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate } = module;
  const note = (timer) => {
    timers.add(timer);
    return timer;
  };
  const once = (make) =>
    function (callback, ...rest) {
      if (typeof callback !== "function") return make(callback, ...rest); // throws what it throws
      const run = function (...args) {
        // A terminated callback stays in the set: clearing it is what puts node's count of live timers right.
        const result = callback.apply(this, args);
        timers.delete(timer);
        return result;
      };
      const timer = whole(() => note(make(run, ...rest)));
      return timer;
    };
  const clear = (original) => (timer) =>
    whole(() => {
      if (typeof timer === "object") timers.delete(timer);
      original(timer);
    });
  const tracked = {
    setTimeout: once(setTimeout),
    setImmediate: once(setImmediate),
    setInterval: (callback, ...rest) => whole(() => note(setInterval(callback, ...rest))),
    clearTimeout: clear(clearTimeout),
    clearInterval: clear(clearInterval),
    clearImmediate: clear(clearImmediate),
  };
  const originals = { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate };
  const promises = require("timers/promises");
  for (const name of ["setTimeout", "setImmediate", "setInterval"]) {
    const original = promises[name];
    const at = name === "setImmediate" ? 1 : 2; // the place of the options
    promises[name] = (...args) => {
      args.length = at + 1;
      if (!args[at]?.signal) args[at] = { ...args[at], signal: interruption.signal };
      return whole(() => original(...args));
    };
    if (name !== "setInterval") Object.defineProperty(tracked[name], util.promisify.custom, { value: promises[name] });
  }
  for (const [name, value] of Object.entries(tracked)) {
    Object.defineProperty(value, "name", { value: name });
    module[name] = value;
    Object.defineProperty(globalThis, name, { value, configurable: true, enumerable: true, writable: true });
  }
  return originals;
}

const own = trackTimers();

/** Ends what would keep an interrupted cell from being over. Servers and sockets live on, but count no more. */
function letGo() {
  for (const timer of timers) {
    own.clearTimeout(timer);
    own.clearImmediate(timer);
  }
  timers.clear();
  interruption.abort();
  interruptions.add(interruption.signal.reason);
  interruption = newInterruption();
  for (const handle of process._getActiveHandles()) handle.unref?.();
}

module.exports = { letGo, clear: () => timers.clear(), isInterruption: (reason) => interruptions.has(reason) };

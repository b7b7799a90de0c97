// The timers of the running cell: what an interrupt must end.
"use strict";

const captured = part("captured");
const { AbortController, getActiveHandles, ownValue, promisify, reasonOf, setMaxListeners, signalOf } = captured;
const { whole } = part("watcher");
const { facade, global, require } = host;

const timers = new Set();

/** Ends the promises of timers. */
const newInterruption = () => {
  const controller = new AbortController();
  const signal = signalOf(controller);
  setMaxListeners(0, signal);
  return { signal, abort: () => captured.abort(controller) };
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
      let timer;
      const run = function (...args) {
        // A terminated callback stays in the set: clearing it is what puts node's count of live timers right.
        const result = Reflect.apply(callback, this, args);
        timers.delete(timer);
        return result;
      };
      return whole(() => (timer = note(make(run, ...rest))));
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
  const promises = require("timers/promises");
  const newPromises = {};
  for (const name of ["setTimeout", "setImmediate", "setInterval"]) {
    const original = promises[name];
    const at = name === "setImmediate" ? 1 : 2; // the place of the options
    const make = (...args) => {
      args.length = at + 1;
      if (!args[at]?.signal) args[at] = { ...args[at], signal: interruption.signal };
      return whole(() => original(...args));
    };
    promises[name] = newPromises[name] = facade(name, make, original);
  }
  for (const [name, replacement] of Object.entries(tracked)) {
    const value = facade(name, replacement);
    const promise = name !== "setInterval" && newPromises[name];
    if (promise) Object.defineProperty(value, promisify, { value: promise });
    module[name] = value;
    Object.defineProperty(global, name, { value, configurable: true, enumerable: true, writable: true });
  }
  return { setImmediate, clearTimeout, clearImmediate };
}

const own = trackTimers();

/** What earlier runs have begun meanwhile goes on, and keeps no later one from its end. */
function begin() {
  for (const timer of timers) timer.unref?.();
  timers.clear();
  unrefHandles();
}

function unrefHandles() {
  const handles = getActiveHandles();
  for (let at = 0; at < handles.length; at++) handles[at].unref?.();
}

/** Ends the timers of the running cell. */
function cancel() {
  for (const timer of timers) {
    own.clearTimeout(timer);
    own.clearImmediate(timer);
  }
  timers.clear();
}

/** Ends what would keep a cell from being over. Servers and sockets live on, but count no more. */
function letGo() {
  cancel();
  interruption.abort();
  interruptions.add(reasonOf(interruption.signal));
  interruption = newInterruption();
  unrefHandles();
}

/** Whether this is the error of a promise that was let go. */
function isInterruption(error) {
  try {
    return interruptions.has(ownValue(error, "cause"));
  } catch {
    return false; // not an object, or one that does not like to be looked at
  }
}

module.exports = { begin, cancel, clear: () => timers.clear(), isInterruption, letGo, setImmediate: own.setImmediate };

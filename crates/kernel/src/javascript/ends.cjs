// The ends of a program: errors that nobody caught, `process.exit`, and the loop that has nothing left to do.
//
// node tells of all of them by `process.emit`. It is taken there and not by listeners, because a program may remove
// those, and counts them to know whether it is the only one.
"use strict";

const { emitter, getActiveResources, process } = part("captured");
const { setImmediate } = part("timers");
const { endBackground } = part("watcher");
const { facade } = host;

let handlers;
/** What a program has put in the place of `process.emit`. */
let replacement;

const emit = (...args) => (replacement ? Reflect.apply(replacement, process, args) : emitter.emit(process, ...args));

/** Listeners of the program may throw: node would end then. */
function offer(...args) {
  try {
    return emit(...args);
  } catch (error) {
    handlers.report(error);
    return true;
  }
}

const interpreted = {
  beforeExit(...args) {
    if (emitter.listenerCount(process, "beforeExit") > 0 || replacement) {
      const before = getActiveResources().length;
      const answer = offer(...args);
      // They have begun something new: the loop goes on, also if node does not count it.
      if (getActiveResources().length > before) return setImmediate(() => {}), answer;
    }
    handlers.nothingIsLeft();
    return true;
  },
  uncaughtException(type, error, origin) {
    if (!offer(type, error, origin)) handlers.report(error);
    return true;
  },
  unhandledRejection(type, reason, promise) {
    if (!offer(type, reason, promise)) handlers.report(reason);
    return true;
  },
};

const ourEmit = facade("emit", function (type, ...rest) {
  if (this !== process) return emitter.emit(this, type, ...rest);
  return Object.hasOwn(interpreted, type) ? interpreted[type](type, ...rest) : emit(type, ...rest);
}, process.emit);

Object.defineProperty(process, "emit", {
  get: () => ourEmit,
  set: (value) => void (replacement = value === ourEmit || typeof value !== "function" ? undefined : value),
});

/** The number that a program ends with, as node takes it; 1 for what it would not take. */
function exitCode(code) {
  const number = Number(code ?? 0);
  return Number.isInteger(number) ? number : 1;
}

/** What is reset for each run. */
const begin = () => void (process.exitCode = undefined);

/** Calls the program's listeners for its end, once; gives the number that it ends with. */
function runExitListeners(code) {
  if (code !== undefined) process.exitCode = code;
  const listeners = emitter.rawListeners(process, "exit");
  if (listeners.length) offer("exit", exitCode(process.exitCode));
  for (let at = 0; at < listeners.length; at++) emitter.removeListener(process, "exit", listeners[at]);
  const last = exitCode(process.exitCode);
  process.exitCode = undefined;
  return last;
}

// `process.exit` ends the run, not the kernel. No user code runs after it, not even a `finally`.
process.exit = facade("exit", function (...args) {
  if (args.length && args[0] !== undefined) process.exitCode = args[0]; // throws what it throws
  if (!handlers.isRunning()) return endBackground();
  handlers.exit(exitCode(process.exitCode));
}, process.exit);

/**
 * The interrupt of a run is a signal as well, for its children; without a handler node would end by it. A handle of our
 * own, because a listener can be removed.
 */
function takeInterrupts() {
  const { noDeprecation } = process;
  process.noDeprecation = true; // which the next line would tell the program of
  const { Signal } = process.binding("signal_wrap");
  if (noDeprecation === undefined) delete process.noDeprecation;
  else process.noDeprecation = noDeprecation;
  const signal = new Signal();
  signal.unref();
  signal.onsignal = () => {};
  signal.start(2); // SIGINT
  return signal;
}
const signal = takeInterrupts();

module.exports = { begin, signal, runExitListeners, watch: (given) => void (handlers = given) };

// The ends of a program: errors that nobody caught, `process.exit`, and the loop that has nothing left to do.
//
// node tells of all of them by `process.emit`. It is taken there and not by listeners, because a program may remove
// those, and counts them to know whether it is the only one.
"use strict";

const { emitter, getActiveResources, process } = part("captured");
const { endBackground, listens } = part("watcher");
const { facade } = host;

const hasCapture = process.hasUncaughtExceptionCaptureCallback.bind(process);

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

/** Offers an error that the program's own code has thrown to its handlers, as node does. Answers whether one took it. */
function offerUncaught(error) {
  offer("uncaughtExceptionMonitor", error, "uncaughtException");
  return offer("uncaughtException", error, "uncaughtException");
}

/** Whether somebody else wants to know of an end. */
const hasListeners = () =>
  replacement !== undefined ||
  emitter.listenerCount(process, "beforeExit") > 0 ||
  emitter.listenerCount(process, "exit") > 0;

/**
 * Tells the program that nothing is left to do. Answers what says later, when what listeners have promised is done, whether
 * something new was begun.
 */
function offerBeforeExit() {
  const before = countResources();
  offer("beforeExit", exitCode(process.exitCode));
  return () => [...countResources()].some(([kind, count]) => count > (before.get(kind) ?? 0));
}

/** How much of each kind the loop waits for. */
function countResources() {
  const counts = new Map();
  const kinds = getActiveResources();
  for (let at = 0; at < kinds.length; at++) counts.set(kinds[at], (counts.get(kinds[at]) ?? 0) + 1);
  return counts;
}

/** Listeners for SIGINT that are not the program's. */
let ownListeners = 0;
/** Whether one of the program's was called in this run, and how often the signal came. */
let wasTaken = false;
let signals = 0;

const hasInterruptListeners = () => emitter.listenerCount(process, "SIGINT") > ownListeners;
/** Whether the program itself does something at an interrupt, as a script may: it is not stopped before that. */
const takesInterrupts = () => wasTaken || hasInterruptListeners();

function signalled() {
  signals++;
  if (signals > 1 && !hasInterruptListeners()) handlers.raised();
}

const interpreted = {
  newListener(type, name, ...rest) {
    if (name === "SIGINT") listens(true);
    return emit(type, name, ...rest);
  },
  removeListener(type, name, ...rest) {
    const result = emit(type, name, ...rest);
    if (name === "SIGINT") listens(takesInterrupts());
    return result;
  },
  SIGINT(...args) {
    wasTaken ||= hasInterruptListeners();
    return emit(...args);
  },
  beforeExit() {
    handlers.nothingIsLeft();
    return true;
  },
  uncaughtException(type, error, origin) {
    if (!offer(type, error, origin)) handlers.report(error);
    return true;
  },
  unhandledRejection(type, reason, promise) {
    if (offer(type, reason, promise)) return true;
    // node asks the listeners for exceptions next.
    if (emitter.listenerCount(process, "uncaughtException") > 0 || hasCapture()) return false;
    handlers.report(reason);
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
function begin() {
  process.exitCode = undefined;
  removeExitListeners();
  removeInterruptListeners();
  isExiting = false;
  interrupts.keep();
  wasTaken = false;
  signals = 0;
  listens(false);
}

/** Those of earlier runs. */
function removeInterruptListeners() {
  const listeners = emitter.rawListeners(process, "SIGINT");
  for (let at = 0; at < listeners.length; at++) {
    if (listeners[at] !== signalled) emitter.removeListener(process, "SIGINT", listeners[at]);
  }
}

/** Each run is a program, whose end they have seen. */
function removeExitListeners() {
  const listeners = emitter.rawListeners(process, "exit");
  for (let at = 0; at < listeners.length; at++) emitter.removeListener(process, "exit", listeners[at]);
}

/** Whether the listeners for the end are called: one that calls `process.exit` has only that number to say. */
let isExiting = false;

/** Calls the program's listeners for its end, once; gives the number that it ends with. */
function runExitListeners(code) {
  if (code !== undefined) process.exitCode = code;
  const isNested = isExiting;
  isExiting = true;
  if (!isNested && emitter.listenerCount(process, "exit") > 0) offer("exit", exitCode(process.exitCode));
  removeExitListeners();
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
 * own, because a listener can be removed; node 24 gives it to nobody, so there a listener that comes back.
 */
function takeInterrupts() {
  const { noDeprecation } = process;
  process.noDeprecation = true; // which the next line would tell the program of
  try {
    const { Signal } = process.binding("signal_wrap");
    const handle = new Signal();
    handle.unref();
    handle.onsignal = signalled;
    handle.start(2); // SIGINT
    return { handle, keep() {} };
  } catch {
    // node itself starts and stops to listen for signals by listeners for listeners.
    emitter.on(process, "removeListener", (name) => name === "SIGINT" && keep());
    const kept = ["newListener", "removeListener"].map((name) => [name, emitter.rawListeners(process, name)]);
    kept.push(["SIGINT", [signalled]]);
    ownListeners = 1;
    const keep = () => {
      for (const [name, listeners] of kept) {
        for (let at = 0; at < listeners.length; at++) {
          const present = Object.values(emitter.rawListeners(process, name));
          if (!present.includes(listeners[at])) emitter.on(process, name, listeners[at]);
        }
      }
    };
    keep();
    return { keep };
  } finally {
    if (noDeprecation === undefined) delete process.noDeprecation;
    else process.noDeprecation = noDeprecation;
  }
}
const interrupts = takeInterrupts();

module.exports = {
  begin, hasListeners, interrupts, offerBeforeExit, offerUncaught, runExitListeners, takesInterrupts,
  watch: (given) => void (handlers = given),
};

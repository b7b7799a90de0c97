// What runs inside a JavaScript kernel: takes cells from fd 3, runs them in the global scope, answers on fd 4.
//
// Called with node's `require` and a `load` that is `import()`, which only the code of the command line has.
//
// A cell is evaluated by V8's own console evaluation (`replMode`): it allows `await` and redeclared `const`, `let` and
// `class`, and knows the value of the last expression. The session with the inspector is on this thread and opens no
// port.
//
// Two threads. This one runs user code. The watcher reads the control channel, because this thread cannot while a cell
// computes; it interrupts by terminating what runs here. The first cell is read here, while the watcher still starts.
//
// A cell is over when node would end: the watcher does not count, so that `beforeExit` comes when no timer, socket or
// child process is left.
"use strict";

const events = require("events");
const fs = require("fs");
const inspector = require("inspector");
const path = require("path");
const util = require("util");
const { SHARE_ENV, Worker } = require("worker_threads");
const { createRequire } = require("module");
const { Readable, Writable } = require("stream");
const { pathToFileURL } = require("url");
const vm = require("vm");

const CONTROL_IN = 3;
const CONTROL_OUT = 4;
const TEXT_LIMIT = 256 * 1024; // of an error's message or stack: nobody reads more, and frames stay small

// ------------------------------------------------------------------------------------------------------- control

/** Whole characters: a lone surrogate is no JSON. */
const whole = (text) => text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");

function send(message) {
  const text = Buffer.from(JSON.stringify(message, (_, value) => (typeof value === "string" ? whole(value) : value)));
  const frame = Buffer.allocUnsafe(4 + text.length);
  frame.writeUInt32BE(text.length);
  text.copy(frame, 4);
  for (let at = 0; at < frame.length; ) at += fs.writeSync(CONTROL_OUT, frame, at);
  return text.length;
}

function take(size) {
  const data = Buffer.alloc(size);
  for (let at = 0; at < size; ) {
    const read = fs.readSync(CONTROL_IN, data, at, size - at);
    if (read === 0) process.reallyExit(0); // nobody is there any more
    at += read;
  }
  return data;
}

const receive = () => JSON.parse(take(take(4).readUInt32BE()).toString());

// ------------------------------------------------------------------------------------------------------- watcher

// What both threads see. A termination that comes when the user's code does not run would hit the harness, or the next
// cell: so it happens only while PHASE is USER, and this thread leaves USER only when none is on its way.
const shared = new Int32Array(new SharedArrayBuffer(32));
const READ = 0; // 1 once the watcher is to read the control channel
const PHASE = 1;
const STARTED = 2; // the number of the last cell that was started,
const TERMINATED = 3; // of the last one that was terminated,
const DONE = 4; // and of the last one that is over
const NEVER = 5;
const [USER, HARNESS, TERMINATING] = [0, 1, 2]; // the values of PHASE

function watch() {
  const { parentPort, workerData } = require("worker_threads");
  const inspector = require("inspector");
  const net = require("net");
  const { shared, READ, PHASE, STARTED, TERMINATED, DONE, USER, TERMINATING, CONTROL_IN } = workerData;
  const session = new inspector.Session();
  let connected = false;

  /** Terminates what a cell runs, as soon as it runs; then says so to the other thread. */
  const terminate = (count, delay) => {
    if (Atomics.load(shared, DONE) >= count || Atomics.load(shared, TERMINATED) >= count) return;
    const isFree = Atomics.compareExchange(shared, PHASE, USER, TERMINATING) === USER;
    if (isFree && Atomics.load(shared, STARTED) === count && Atomics.load(shared, DONE) < count) {
      if (!connected) session.connectToMainThread();
      connected = true;
      session.post("Runtime.terminateExecution", () => {
        Atomics.store(shared, TERMINATED, count);
        Atomics.store(shared, PHASE, USER);
        Atomics.notify(shared, PHASE);
        parentPort.postMessage({ type: "terminated", count });
      });
      return;
    }
    if (isFree) {
      Atomics.store(shared, PHASE, USER);
      Atomics.notify(shared, PHASE);
    }
    setTimeout(terminate, delay, count, Math.min(delay * 2, 50));
  };

  parentPort.on("message", (count) => terminate(count, 1)); // process.exit
  Atomics.wait(shared, READ, 0);
  let received = Buffer.alloc(0);
  const input = new net.Socket({ fd: CONTROL_IN, readable: true, writable: false });
  input.on("data", (piece) => {
    received = received.length === 0 ? piece : Buffer.concat([received, piece]);
    while (received.length >= 4 && received.length >= 4 + received.readUInt32BE()) {
      const end = 4 + received.readUInt32BE();
      const message = JSON.parse(received.subarray(4, end).toString());
      received = received.subarray(end);
      parentPort.postMessage(message);
      // The other thread gets the time to take the message: when it waits, nothing has to be terminated.
      if (message.type === "interrupt") setTimeout(terminate, 2, message.count, 1);
    }
  });
  const gone = () => process.kill(process.pid, "SIGKILL"); // nobody is there any more
  input.on("end", gone).on("error", gone);
}

const watcher = new Worker(`(${watch})()`, {
  eval: true,
  env: SHARE_ENV,
  // Its own memory; what it gets are the texts of cells.
  resourceLimits: { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 2 },
  trackUnmanagedFds: false,
  workerData: { shared, READ, PHASE, STARTED, TERMINATED, DONE, USER, TERMINATING, CONTROL_IN },
});
watcher.on("error", (error) => {
  fs.writeSync(2, `The interpreter's watcher failed: ${error.stack}\n`);
  process.reallyExit(70);
});

let depth = 0;

/** Runs harness code that must not be torn. */
function guarded(work) {
  while (depth === 0) {
    const phase = Atomics.compareExchange(shared, PHASE, USER, HARNESS);
    if (phase === USER) break;
    // A termination is on its way. An evaluation is what takes it without harm.
    session.post("Runtime.evaluate", { expression: 'globalThis[Symbol.for("agb.kernel")].wait()' }, () => {});
  }
  depth++;
  try {
    return work();
  } finally {
    if (--depth === 0) Atomics.store(shared, PHASE, USER);
  }
}

// ------------------------------------------------------------------------------------------------------- imports

const REGEX_BEFORE = new Set(
  ("return typeof case do else in instanceof new void delete throw await yield of " +
    "( , = : [ ! & | ? { } + - * % ~ ^ < > ;").split(" "),
);
const WORD = /[\p{ID_Start}$_\u200c\u200d\\][\p{ID_Continue}$\u200c\u200d\\]*/uy;
const REGEX = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*/y;
const SPACE = /(?:\s|\/\/[^\n]*|\/\*[^]*?\*\/)+/y;
const STRING = /"(?:\\[^]|[^"\\\n])*"|'(?:\\[^]|[^'\\\n])*'/y;
const NUMBER = /\.?\d(?:[eE][+-]|[\w.])*/y;

/**
 * Cuts a program into tokens, well enough to tell code from strings, comments, templates and regular expressions.
 * Yields [text, start].
 */
function* tokens(code) {
  let at = 0;
  let last = ";"; // the token before
  const match = (pattern) => {
    pattern.lastIndex = at;
    return pattern.exec(code)?.[0];
  };
  const open = []; // what each open bracket was: "{", "(", "${" or the word before a "("
  /** Skips template text from `at` to `${` or the end. */
  const template = () => {
    for (; at < code.length; at++) {
      if (code[at] === "\\") at++;
      else if (code[at] === "`") return at++, (last = "`");
      else if (code.startsWith("${", at)) return (at += 2), open.push("${"), (last = "{");
    }
  };
  while (at < code.length) {
    const start = at;
    const space = match(SPACE);
    if (space) {
      at += space.length;
      continue;
    }
    const c = code[at];
    if (c === "`") {
      at++;
      template();
      yield ["`", start];
      continue;
    }
    if (c === "}" && open.at(-1) === "${") {
      open.pop();
      at++;
      template();
      continue;
    }
    const token =
      match(STRING) ?? match(WORD) ?? match(NUMBER) ?? (c === "/" && REGEX_BEFORE.has(last) ? match(REGEX) : null) ?? c;
    at += token.length;
    if (token === "(" || token === "{" || token === "[") open.push(token === "(" ? last : token);
    let kind = token;
    if (token === ")" || token === "}" || token === "]") {
      const opener = open.pop();
      // After `if (…)` a slash begins a regular expression, after `f(…)` it divides.
      if (token === ")" && ["if", "while", "for", "with"].includes(opener)) kind = ";";
    }
    yield [token, start];
    last = kind;
  }
}

/**
 * Rewrites imports, which evaluated code cannot do: `import(…)` becomes `__import(…)`, and an import statement a
 * declaration that awaits it. Lines stay where they are.
 */
function rewriteImports(code) {
  if (!code.includes("import")) return code;
  const all = [...tokens(code)];
  let out = "";
  let done = 0;
  const replace = (start, end, text) => {
    const lines = code.slice(start, end).split("\n").length - 1;
    out += code.slice(done, start) + text + "\n".repeat(lines);
    done = end;
  };
  let depth = 0;
  for (let i = 0; i < all.length; i++) {
    const [token, start] = all[i];
    if (token === "(" || token === "{" || token === "[") depth++;
    if (token === ")" || token === "}" || token === "]") depth--;
    if (token !== "import" || all[i - 1]?.[0] === ".") continue;
    const next = all[i + 1]?.[0];
    if (next === "(") {
      replace(start, start + token.length, "__import");
    } else if (next === "." && all[i + 2]?.[0] === "meta") {
      replace(start, all[i + 2][1] + 4, "__importMeta");
    } else if (depth === 0 && next !== ":" && next !== "=") {
      const statement = importStatement(all, i);
      if (statement) {
        replace(start, statement.end, statement.text);
        i = statement.last;
      }
    }
  }
  return out + code.slice(done);
}

const isString = (token) => token !== undefined && (token[0] === '"' || token[0] === "'");

/** Parses the import statement at token `i`; null if it is none. */
function importStatement(all, i) {
  const token = (n) => all[n]?.[0];
  let at = i + 1;
  const names = []; // [imported, local]
  let namespace = null;
  if (!isString(token(at))) {
    if (/^[\p{ID_Start}$_]/u.test(token(at) ?? "")) {
      names.push(["default", token(at++)]);
      if (token(at) === ",") at++;
    }
    if (token(at) === "*" && token(at + 1) === "as") {
      namespace = token(at + 2);
      at += 3;
    } else if (token(at) === "{") {
      at++;
      while (token(at) !== "}") {
        if (token(at) === undefined) return null;
        const imported = isString(token(at)) ? token(at).slice(1, -1) : token(at);
        at++;
        if (token(at) === "as") {
          names.push([imported, token(at + 1)]);
          at += 2;
        } else {
          names.push([imported, imported]);
        }
        if (token(at) === ",") at++;
      }
      at++;
    }
    if (token(at++) !== "from") return null;
  }
  const source = token(at);
  if (!isString(source)) return null;
  let last = at;
  let options = "";
  if ((token(at + 1) === "with" || token(at + 1) === "assert") && token(at + 2) === "{") {
    let text = "";
    for (last = at + 2; token(last) !== "}"; last++) {
      if (token(last) === undefined) return null;
      text += token(last);
    }
    const attributes = text + "}";
    // Either word, because node's versions differ in which of the two they know.
    options = `, { with: ${attributes}, assert: ${attributes} }`;
  }
  const end = all[last][1] + all[last][0].length;
  const wanted = JSON.stringify(names.map(([imported]) => imported));
  const loaded = `await __import.checked(${source}, ${wanted}${options})`;
  const pattern = names.map(([imported, local]) => `${JSON.stringify(imported)}: ${local}`).join(", ");
  let text;
  if (namespace && names.length) text = `const ${namespace} = ${loaded}, { ${pattern} } = ${namespace};`;
  else if (namespace) text = `const ${namespace} = ${loaded};`;
  else if (names.length) text = `const { ${pattern} } = ${loaded};`;
  else text = `${loaded};`;
  return { text, end, last };
}

/** `import()` for cells: relative to the working directory. */
const resolve = (specifier) =>
  /^\.{0,2}\//.test(specifier) ? pathToFileURL(path.resolve(specifier)).href : specifier;
const importModule = (specifier, options) => load(resolve(String(specifier)), options);
importModule.checked = async (specifier, names, options) => {
  const module = await importModule(specifier, options);
  for (const name of names) {
    if (!(name in module)) {
      throw new SyntaxError(`The requested module '${specifier}' does not provide an export named '${name}'`);
    }
  }
  return module;
};

// ------------------------------------------------------------------------------------------------------ lifetime

/** Timers of the running cell: what an interrupt must end. */
const timers = new Set();

/** Ends the promises of timers. */
const newInterruption = () => {
  const controller = new AbortController();
  events.setMaxListeners(0, controller.signal);
  return controller;
};
let interruption = newInterruption();
const interruptions = new WeakSet();

/** Replaces the functions that make timers by ones that note them, here and in the module `timers`. */
function trackTimers() {
  const module = require("timers");
  const { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate } = module;
  const once = (make) =>
    function (callback, ...rest) {
      if (typeof callback !== "function") return make(callback, ...rest); // throws what it throws
      const timer = make(function (...args) {
        // A terminated callback stays in the set: clearing it is what puts node's count of live timers right.
        const result = callback.apply(this, args);
        timers.delete(timer);
        return result;
      }, ...rest);
      timers.add(timer);
      return timer;
    };
  const clear = (original) => (timer) => {
    if (typeof timer === "object") timers.delete(timer);
    original(timer);
  };
  const tracked = {
    setTimeout: once(setTimeout),
    setImmediate: once(setImmediate),
    setInterval(callback, ...rest) {
      const timer = setInterval(callback, ...rest);
      timers.add(timer);
      return timer;
    },
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
      return original(...args);
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

// --------------------------------------------------------------------------------------------------------- cells

const session = new inspector.Session();
session.connect();

/** The cell that runs. */
let cell = null;

function start(message) {
  guarded(() => {
    watcher.unref();
    cell = { ...message, failed: false, settled: false, exit: undefined, started: performance.now() };
    stdin.begin(cell);
    Atomics.store(shared, STARTED, cell.count);
  });
  const current = cell;
  const expression = `${asExpression(rewriteImports(cell.code))}\n//# sourceURL=cell-${cell.count}.js`;
  const options = { expression, replMode: true, awaitPromise: true, objectGroup: "cell" };
  session.post("Runtime.evaluate", options, (error, answer) => settle(current, error, answer));
}

/** `{ a: 1 }` is an object to whoever types it, as in node's own console, although it reads as a block. */
function asExpression(code) {
  if (!/^\s*\{/.test(code) || /;\s*$/.test(code)) return code;
  try {
    new vm.Script(`(${code}\n)`);
    return `(${code}\n)`;
  } catch {
    return code;
  }
}

/** The cell's own code has ended; its timers and sockets may go on. */
function settle(current, error, answer) {
  if (current !== cell || cell.settled) return; // the promise of a cell that was interrupted
  cell.settled = true;
  if (error) return; // terminated: whoever did it says why
  const { result, exceptionDetails } = answer;
  if (!exceptionDetails) {
    if (result.type !== "undefined") show(valueOf(result));
    return;
  }
  const thrown = valueOf(exceptionDetails.exception);
  const { lineNumber, columnNumber, stackTrace } = exceptionDetails;
  // A syntax error has no frame, but a place.
  report(thrown, thrown instanceof SyntaxError && !stackTrace ? [lineNumber, columnNumber] : undefined);
}

const backdoor = {
  wait: () => Atomics.wait(shared, PHASE, TERMINATING),
  receive: undefined,
};
Object.defineProperty(globalThis, Symbol.for("agb.kernel"), { value: backdoor });

/** From the inspector's description of a value to the value. */
function valueOf({ type, subtype, value, unserializableValue, objectId }) {
  if (type === "bigint") return BigInt(unserializableValue.slice(0, -1));
  if (unserializableValue !== undefined) return Number(unserializableValue); // NaN, -0, the infinities
  if (objectId === undefined) return subtype === "null" ? null : value;
  let found;
  backdoor.receive = (object) => {
    found = object;
  };
  const functionDeclaration = 'function () { "use strict"; globalThis[Symbol.for("agb.kernel")].receive(this); }';
  session.post("Runtime.callFunctionOn", { functionDeclaration, objectId, silent: true }, () => {});
  return found;
}

function show(value) {
  const text = util.inspect(value, { maxStringLength: 100_000 });
  const data = { "text/plain": text };
  const message = { type: "result", nonce: cell.nonce, main: true, data };
  // Six bytes are the most that one UTF-16 unit takes in JSON: only what may be too large is measured.
  if (text.length * 6 + 1000 > cell.maxFrame && Buffer.byteLength(JSON.stringify(message)) > cell.maxFrame) {
    message.data = { "text/plain": `${typeof value} of ${text.length} characters: too large to show` };
  }
  guarded(() => send(message));
}

const cut = (text) => (text.length <= TEXT_LIMIT ? text : text.slice(0, TEXT_LIMIT) + "…");

/** Tells of an error that nobody caught, and with that the cell has failed. */
function report(error, place) {
  if (typeof error === "object" && error !== null && interruptions.has(error.cause)) return; // we did that
  const described = describe(error, place);
  guarded(() => {
    if (!cell) return fs.writeSync(2, described.traceback);
    cell.failed = true;
    send({ type: "error", nonce: cell.nonce, ...described });
  });
}

/** Frames that are not the user's: node's and ours. */
const FOREIGN = /^\s+at .*(?:\(|\s)(?:node:|agb:|\[eval\]|<anonymous>\)?$|file:\/\/\/.*\/\[eval)/;

function describe(error, place) {
  try {
    if (!util.types.isNativeError(error) && !(error instanceof Error)) {
      const text = cut(util.inspect(error));
      return { name: "Uncaught", value: text, traceback: `Uncaught ${text}\n` };
    }
    const name = String(error.name ?? "Error");
    const value = cut(String(error.message));
    // `inspect` adds causes and own properties.
    let trace = util.inspect(error).split("\n").filter((line) => !FOREIGN.test(line)).join("\n");
    if (place) {
      const [line, column] = place;
      const source = cell.code.split("\n")[line] ?? "";
      trace = `cell-${cell.count}.js:${line + 1}\n${source}\n${" ".repeat(column)}^\n\n${trace}`;
    }
    return { name, value, traceback: cut(trace) + "\n" };
  } catch {
    return { name: "Error", value: "an error that cannot be printed", traceback: "" };
  }
}

function finish() {
  guarded(() => {
    const seconds = (performance.now() - cell.started) / 1000;
    const { nonce, failed, count } = cell;
    cell = null;
    timers.clear();
    session.post("Runtime.releaseObjectGroup", { objectGroup: "cell" });
    Atomics.store(shared, DONE, count);
    watcher.ref();
    send({ type: "done", nonce, failed, seconds });
  });
}

/** The cell was told to stop, and nothing of it runs. */
function stop() {
  guarded(() => {
    letGo();
    const { exit, nonce } = cell;
    cell.failed = exit !== 0;
    const error = (name, value) => send({ type: "error", nonce, name, value, traceback: `${name}: ${value}\n` });
    if (exit === undefined) error("Interrupted", "the run was interrupted");
    else if (exit !== 0) error("ProcessExit", `process.exit(${exit})`);
    finish();
  });
}

// node's end is the cell's end.
process.on("beforeExit", () => {
  if (!cell) return watcher.ref();
  // Guarded: a termination that has just emptied the loop is complete then.
  guarded(() => {
    if (cell.exit !== undefined || Atomics.load(shared, TERMINATED) === cell.count) return stop();
    if (!cell.settled) {
      cell.settled = true;
      report(new Error("the run waits for a promise that nothing is left to settle"));
    }
    finish();
  });
});

process.on("uncaughtException", (error) => report(error));
process.on("unhandledRejection", (error) => report(error));
process.on("SIGINT", () => {}); // the watcher does it; without a listener node would end

watcher.on("message", (message) => {
  if (message.type === "run") return start(message);
  if (cell === null) return;
  if (message.type === "terminated") return void (message.count === cell.count && stop());
  if (message.nonce !== cell.nonce) return;
  if (message.type === "interrupt") stop();
  if (message.type === "stdin") stdin.answer(message);
});

// `process.exit` ends the cell, not the kernel. No user code runs after it, not even a `finally`.
process.exit = function exit(code = process.exitCode ?? 0) {
  if (!cell) process.reallyExit(Number(code));
  process.exitCode = undefined;
  cell.exit = Number(code);
  watcher.postMessage(cell.count);
  for (;;) Atomics.wait(shared, NEVER, 0); // until this thread is terminated
};

// --------------------------------------------------------------------------------------------------------- input

/** `process.stdin`: asks over the control channel when the cell may, else is at its end. */
const stdin = {
  stream: undefined,
  cell: null,
  asked: false,

  begin(current) {
    this.cell = current;
    this.asked = false;
    this.stream = undefined; // a stream that has ended does not start again, so each cell gets its own
  },

  get() {
    if (this.stream) return this.stream;
    const stream = new Readable({ read: () => this.read(stream) });
    stream.fd = 0;
    stream.on("pause", () => this.count()).on("resume", () => this.count());
    return (this.stream = stream);
  },

  read(stream) {
    if (cell !== this.cell || !cell?.stdin) return stream.push(null);
    if (this.asked) return;
    this.asked = true;
    guarded(() => send({ type: "input", nonce: cell.nonce, prompt: "" }));
    this.count();
  },

  /** Who waits for input is not done; who has paused does not wait. */
  count() {
    if (cell === null || cell !== this.cell) return;
    if (this.asked && !this.stream.isPaused()) watcher.ref();
    else watcher.unref();
  },

  answer({ data, eof }) {
    this.asked = false;
    if (data) this.stream.push(data.endsWith("\n") ? data : data + "\n");
    if (eof) this.stream.push(null);
    this.count();
  },
};
Object.defineProperty(process, "stdin", { configurable: true, enumerable: true, get: () => stdin.get() });

// -------------------------------------------------------------------------------------------------------- output

/**
 * `process.stdout` and `process.stderr`. node's own queue in memory what a full pipe does not take; these block, so
 * that a program can be no further ahead of its reader than the pipe.
 */
function outputStream(fd) {
  const stream = new Writable({
    write(chunk, _encoding, done) {
      for (let at = 0; at < chunk.length; ) {
        try {
          at += fs.writeSync(fd, chunk, at);
        } catch (error) {
          // A child process (node is one that does it) has made the pipe it shares with us non-blocking.
          if (error.code !== "EAGAIN") return done(error);
          Atomics.wait(shared, NEVER, 0, 1);
        }
      }
      done();
    },
    destroy(error, done) {
      done(error); // the descriptor stays open: it is not only this stream's
    },
  });
  return Object.assign(stream, { fd, _type: "pipe", _isStdio: true, destroySoon: stream.destroy });
}

for (const [name, fd] of [["stdout", 1], ["stderr", 2]]) {
  const value = outputStream(fd);
  Object.defineProperty(process, name, { value, configurable: true, enumerable: true, writable: true });
}

// --------------------------------------------------------------------------------------------------------- scope

const here = path.join(process.cwd(), "cell.js");
const hidden = (value) => ({ value, configurable: true, writable: true });
Object.defineProperties(globalThis, {
  require: hidden(createRequire(here)),
  module: hidden({ exports: {}, id: ".", filename: here, loaded: false, children: [], paths: [] }),
  exports: hidden({}),
  __filename: hidden(here),
  __dirname: hidden(process.cwd()),
  __import: hidden(importModule),
  __importMeta: hidden({
    url: pathToFileURL(here).href,
    filename: here,
    dirname: process.cwd(),
    resolve: (specifier) => pathToFileURL(createRequire(here).resolve(specifier)).href,
  }),
  // node's own also feeds the inspector, which keeps the last thousand messages and what they show alive.
  console: hidden(new console.Console({ stdout: process.stdout, stderr: process.stderr })),
});
process.argv = [process.argv[0], here];
require.main = globalThis.module;

send({ type: "ready" });
const first = receive();
Atomics.store(shared, READ, 1);
Atomics.notify(shared, READ);
start(first);

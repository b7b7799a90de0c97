// Runs cells, and says what came of them.
//
// A cell is evaluated by V8's own console evaluation (`replMode`): it allows `await` and redeclared `const`, `let` and
// `class`, and knows the value of the last expression. The session with the inspector is on this thread and opens no
// port.
//
// A cell is over when node would end: the watcher does not count, so that `beforeExit` comes when no timer, socket or
// child process is left.
"use strict";

const fs = require("fs");
const util = require("util");
const vm = require("vm");

const { send } = part("control");
const { stdin } = part("input");
const timers = part("timers");
const { done, end, guarded, isTerminated, session, started, waitWhileTerminating, watcher } = part("watcher");

/** The cell that runs. */
let cell = null;

function start(message) {
  guarded(() => {
    watcher.unref();
    cell = { ...message, failed: false, settled: false, exit: undefined, started: performance.now() };
    stdin.begin(cell);
    started(cell.count);
  });
  const current = cell;
  const expression = `${asExpression(withImports(cell.code))}\n//# sourceURL=cell-${cell.count}.js`;
  const options = { expression, replMode: true, awaitPromise: true, objectGroup: "cell" };
  session.post("Runtime.evaluate", options, (error, answer) => settle(current, error, answer));
}

/** Does what makes a first cell slow: V8's console evaluation compiles itself. The program sees nothing of it. */
function warm() {
  session.post("Runtime.evaluate", { expression: "undefined", replMode: true, awaitPromise: true }, () => {});
}

/** Import statements are rare, and what rewrites them is long. */
const withImports = (code) => (code.includes("import") ? part("imports").rewriteImports(code) : code);

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
  wait: waitWhileTerminating,
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
  let text = util.inspect(value, { maxStringLength: 100_000 });
  // An error among the values has the frames that led to the cell.
  if (text.includes("(agb:")) text = part("errors").withoutForeign(text);
  const data = { "text/plain": text };
  const message = { type: "result", nonce: cell.nonce, main: true, data };
  // Six bytes are the most that one UTF-16 unit takes in JSON: only what may be too large is measured.
  if (text.length * 6 + 1000 > cell.maxFrame && Buffer.byteLength(JSON.stringify(message)) > cell.maxFrame) {
    message.data = { "text/plain": `${typeof value} of ${text.length} characters: too large to show` };
  }
  guarded(() => send(message));
}

/** Tells of an error that nobody caught, and with that the cell has failed. */
function report(error, place) {
  if (typeof error === "object" && error !== null && timers.isInterruption(error.cause)) return; // we did that
  const described = part("errors").describe(error, cell, place);
  guarded(() => {
    if (!cell) return fs.writeSync(2, described.traceback);
    cell.failed = true;
    send({ type: "error", nonce: cell.nonce, ...described });
  });
}

function finish() {
  guarded(() => {
    const seconds = (performance.now() - cell.started) / 1000;
    const { nonce, failed, count } = cell;
    cell = null;
    stdin.end();
    timers.clear();
    session.post("Runtime.releaseObjectGroup", { objectGroup: "cell" });
    done(count);
    watcher.ref();
    send({ type: "done", nonce, failed, seconds });
  });
}

/** The cell was told to stop, and nothing of it runs. */
function stop() {
  guarded(() => {
    timers.letGo();
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
    if (cell.exit !== undefined || isTerminated(cell.count)) return stop();
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
  end(cell.count);
};

module.exports = { start, warm };

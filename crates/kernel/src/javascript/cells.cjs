// Runs cells, and says what came of them.
//
// A cell is evaluated by V8's own console evaluation (`replMode`): it allows `await` and redeclared `const`, `let` and
// `class`, and knows the value of the last expression. The session with the inspector is on this thread and opens no
// port.
//
// A cell is over when node would end: the watcher does not count, so that `beforeExit` comes when no timer, socket or
// child process is left.
"use strict";

const captured = part("captured");
const { send } = part("control");
const input = part("input");
const output = part("output");
const ends = part("ends");
const timers = part("timers");
const { call, done, end, guarded, isTerminated, numberOf, post, started, watcher } = part("watcher");

/** The cell that runs. */
let cell = null;

function start(message) {
  const current = { ...message, failed: false, settled: false, exit: undefined, held: undefined };
  guarded(() => {
    watcher.unref();
    cell = current;
    output.begin();
    input.begin(current);
    ends.begin();
    current.started = captured.seconds();
    started(current.count);
  });
  evaluate(current, current.code);
}

/** Evaluates the text of a cell, which is rewritten first if it is a module's. */
function evaluate(current, code) {
  // Rare, and what rewrites them is long.
  if (!/import|export/.test(code)) return attempt(current, () => evaluateScript(current, code));
  attempt(current, () => {
    const imports = part("imports");
    const rewritten = imports.rewriteModule(code);
    const next = (error) => attempt(current, () => {
      if (current !== cell || current.settled) return; // interrupted meanwhile
      if (error !== undefined) throw error;
      evaluateScript(current, rewritten.code);
    });
    if (rewritten.statements.length === 0) return next();
    imports.loadStatements(rewritten.statements, next);
  });
}

/** Does a part of running a cell; what it throws is the cell's error. */
function attempt(current, work) {
  try {
    work();
  } catch (error) {
    current.settled = true;
    report(error);
  }
}

function evaluateScript(current, code) {
  const expression = `${asExpression(code)}\n//# sourceURL=cell-${current.count}.js`;
  const options = { expression, replMode: true, awaitPromise: true, objectGroup: "cell" };
  post("Runtime.evaluate", options, (error, answer) => settle(current, code, error, answer));
}

/** Does what makes a first cell slow: V8's console evaluation compiles itself. The program sees nothing of it. */
function warm() {
  post("Runtime.evaluate", { expression: "undefined", replMode: true, awaitPromise: true }, () => {});
}

/** `{ a: 1 }` is an object to whoever types it, as in node's own console, although it reads as a block. */
function asExpression(code) {
  if (!/^\s*\{/.test(code) || /;\s*$/.test(code)) return code;
  try {
    host.check(`(${code}\n)`);
    return `(${code}\n)`;
  } catch {
    return code;
  }
}

/** The cell's own code has ended; its timers and sockets may go on. */
function settle(current, code, error, answer) {
  if (current !== cell || cell.settled) return; // the promise of a cell that was interrupted
  try {
    const details = answer && captured.ownValue(answer, "exceptionDetails");
    const again = details && isDeclared(details) && part("declarations").resolve(code, details.exception.description);
    if (again) return evaluateScript(current, again);
    cell.settled = true;
    if (error) {
      // Terminated: whoever did it says why.
      if (!/terminated/.test(captured.ownValue(error, "message"))) report(error);
    } else if (details) {
      reportThrown(details);
    } else {
      showResult(answer.result);
    }
  } catch (failure) {
    cell.settled = true;
    report(failure); // of this harness: never a success
  }
}

/** Whether V8 refuses the cell for a name that is declared already: nothing of it has run. */
const isDeclared = ({ exception }) => /^SyntaxError: Identifier '.*' has already been declared/.test(exception.description);

function reportThrown({ exception, lineNumber, columnNumber, stackTrace }) {
  const thrown = valueOf(exception);
  // A syntax error has no frame, but a place.
  const isSyntax = !stackTrace && String(exception.description).startsWith("SyntaxError");
  report(thrown, isSyntax ? [lineNumber, columnNumber] : undefined);
}

let received;
const receiver = numberOf((value) => void (received = value));

/** From the inspector's description of a value to the value. */
function valueOf(remote) {
  const type = captured.ownValue(remote, "type");
  const unserializable = captured.ownValue(remote, "unserializableValue");
  const objectId = captured.ownValue(remote, "objectId");
  if (type === "bigint") return BigInt(unserializable.slice(0, -1));
  if (unserializable !== undefined) return Number(unserializable); // NaN, -0, the infinities
  if (objectId === undefined) return captured.ownValue(remote, "subtype") === "null" ? null : captured.ownValue(remote, "value");
  call(receiver, [{ objectId }]);
  const value = received;
  received = undefined;
  return value;
}

/** Shows the value of the last expression: at once, or, where it waits for promises, when the run ends. */
function showResult(remote) {
  if (captured.ownValue(remote, "subtype") === "promise") {
    cell.held = { promise: captured.ownValue(remote, "objectId"), value: valueOf(remote) };
  } else if (captured.ownValue(remote, "type") !== "undefined") {
    const value = valueOf(remote);
    const text = inspected(value);
    if (text.includes("<pending>")) cell.held = { value, text };
    else show(value, text);
  }
}

/** Shows what was held back, now that nothing of it changes any more. */
function showHeld() {
  const { held } = cell;
  cell.held = undefined;
  if (!held) return;
  if (held.promise === undefined) return show(held.value, inspected(held.value));
  let properties = [];
  post("Runtime.getProperties", { objectId: held.promise, ownProperties: true }, (_, answer) => {
    properties = captured.ownValue(answer, "internalProperties");
  });
  const internal = {};
  for (let at = 0; at < properties.length; at++) internal[properties[at].name] = properties[at].value;
  const state = internal["[[PromiseState]]"]?.value;
  if (state === "rejected" && cell.failed) return; // which was told
  if (state !== "fulfilled") return show(held.value, inspected(held.value));
  const result = internal["[[PromiseResult]]"];
  if (captured.ownValue(result, "type") === "undefined") return;
  const value = valueOf(result);
  show(value, inspected(value));
}

/** A value as text. */
function inspected(value) {
  const options = { __proto__: null, maxStringLength: 100_000 };
  let text;
  try {
    text = captured.inspect(value, options);
  } catch {
    return part("errors").inspected(value, options);
  }
  // An error among the values has the frames that led to the cell.
  return text.includes("(agb:") ? part("errors").withoutForeign(text) : text;
}

function show(value, text) {
  const data = { "text/plain": text };
  const message = { type: "result", nonce: cell.nonce, main: true, data };
  // Six bytes are the most that one UTF-16 unit takes in JSON: only what may be too large is measured.
  if (text.length * 6 + 1000 > cell.maxFrame && captured.encode(JSON.stringify(message)).length > cell.maxFrame) {
    message.data = { "text/plain": `${typeof value} of ${text.length} characters: too large to show` };
  }
  guarded(() => send(message));
}

/**
 * Tells of an error that nobody caught, and with that the cell has failed. The first is the run's error; node would have
 * ended with it, so later ones are text.
 */
function report(error, place) {
  if (timers.isInterruption(error)) return; // we did that
  const described = part("errors").describe(error, cell, place);
  guarded(() => {
    if (!cell || cell.failed) return output.write(2, captured.encode(described.traceback));
    cell.failed = true;
    send({ type: "error", nonce: cell.nonce, ...described });
  });
}

function finish() {
  guarded(() => {
    const seconds = captured.seconds() - cell.started;
    const { nonce, failed, count } = cell;
    cell = null;
    input.end();
    timers.clear();
    post("Runtime.releaseObjectGroup", { objectGroup: "cell" }, () => {});
    done(count);
    watcher.ref();
    send({ type: "done", nonce, failed, seconds });
  });
}

/** Ends the cell as failed for a reason that is no error of its code. */
function fail(name, value) {
  cell.failed = true;
  send({ type: "error", nonce: cell.nonce, name, value, traceback: `${name}: ${value}\n` });
}

/** The cell was told to stop, and nothing of it runs. */
function stop() {
  guarded(() => {
    timers.letGo();
    input.forget(); // whoever reads it stays behind
    const { exit, held } = cell;
    const hasFailed = cell.failed;
    if (held?.text !== undefined) show(held.value, held.text);
    cell.failed = exit !== 0;
    if (exit === undefined) fail("Interrupted", "the run was interrupted");
    else if (exit !== 0 && !hasFailed) fail("ProcessExit", `process.exit(${exit})`);
    finish();
  });
}

// node's end is the cell's end.
ends.watch({
  report,
  nothingIsLeft() {
    if (!cell) return watcher.ref();
    // Guarded: a termination that has just emptied the loop is complete then.
    if (guarded(() => cell.exit !== undefined || isTerminated(cell.count))) return stop();
    if (!cell.settled) {
      cell.settled = true;
      report(new captured.Error("the run waits for a promise that nothing is left to settle"));
    }
    showHeld();
    const code = ends.runExitListeners(cell.failed ? 1 : undefined);
    guarded(() => {
      if (cell.exit !== undefined || isTerminated(cell.count)) return stop();
      if (code !== 0 && !cell.failed) fail("ProcessExit", `process.exitCode = ${code}`);
      finish();
    });
  },
  exit(code) {
    const isFirst = cell.exit === undefined;
    cell.exit = code;
    if (isFirst) cell.exit = ends.runExitListeners(code);
    end(cell.count);
  },
  isRunning: () => cell !== null,
});

watcher.on("message", (message) => {
  if (message.type === "run") return start(message);
  if (cell === null) return;
  if (message.type === "terminated") return void (message.count === cell.count && stop());
  if (message.type === "stdin") return input.answered();
  if (message.nonce === cell.nonce && message.type === "interrupt") stop();
});

module.exports = { start, warm };

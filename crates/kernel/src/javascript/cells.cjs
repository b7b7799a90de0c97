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
const { describeObject, done, end, guarded, isTerminated, objectOf, post, started, watcher } = part("watcher");

/** The cell that runs. */
let cell = null;

function start(message) {
  const file = part("program").begin(message) ?? `cell-${message.count}.js`;
  const current = { ...message, file, failed: false, settled: false, exit: undefined, held: undefined };
  guarded(() => {
    watcher.unref();
    cell = current;
    started(current.count);
    current.started = captured.seconds();
    output.begin();
    timers.begin();
    input.begin(current);
    ends.begin();
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

/** Once a name was declared again in another way. */
let declarations;

function evaluateScript(current, text) {
  const code = declarations ? declarations.rename(text) : text;
  const expression = `${asExpression(code)}\n//# sourceURL=${current.file}`;
  const options = { expression, replMode: true, awaitPromise: true, objectGroup: "cell" };
  post("Runtime.evaluate", options, (error, answer) => attempt(current, () => settle(current, code, error, answer)));
}

/** The cell's own code has ended; its timers and sockets may go on. */
function settle(current, code, error, answer) {
  if (current !== cell || current.settled) return; // the promise of a cell that was interrupted
  const details = answer && captured.ownValue(answer, "exceptionDetails");
  if (details && isDeclared(details)) {
    declarations ??= part("declarations");
    const again = declarations.resolve(code, details.exception.description, (current.tried ??= new Set()));
    if (again) return evaluateScript(current, again);
  }
  if (details && !current.isFunction && isForFunctions(details)) {
    const wrapped = asFunction(code);
    current.isFunction = true;
    if (wrapped) return evaluateScript(current, wrapped);
  }
  current.settled = true;
  if (error) {
    // Terminated: whoever did it says why.
    if (!/terminated/.test(captured.ownValue(error, "message"))) throw error;
  } else if (details) {
    const { exception, lineNumber, columnNumber, stackTrace } = details;
    // A syntax error has no frame, but a place.
    const isSyntax = !stackTrace && String(exception.description).startsWith("SyntaxError");
    const thrown = valueOf(exception);
    if (isSyntax || !ends.offerUncaught(thrown)) report(thrown, isSyntax ? [lineNumber, columnNumber] : undefined);
  } else {
    showResult(valueOf(answer.result));
  }
}

/** Whether V8 refuses the cell for a name that is declared already: nothing of it has run. */
const isDeclared = ({ exception, stackTrace }) =>
  !stackTrace && /^SyntaxError: Identifier '.*' has already been declared/.test(exception.description);

/** Whether V8 refuses the cell for what only a function may have: nothing of it has run. */
const isForFunctions = ({ exception, stackTrace }) =>
  !stackTrace && /^SyntaxError: (?:Illegal return statement|new\.target )/.test(exception.description);

/** The cell as node takes a CommonJS module, which may `return`; undefined if it is none. Its variables end with it. */
function asFunction(code) {
  for (const kind of ["", "async "]) {
    try {
      host.check(`(${kind}function () {${code}\n})`);
      return `${kind ? "" : "void "}(${kind}function () {${code}\n}).call(this)`;
    } catch {
      // Something else is wrong, which V8 has to say.
    }
  }
}

/**
 * Does what makes a first cell slow: V8's console evaluation, node's inspection and what is here compile themselves. The
 * program sees nothing of it.
 */
function warm() {
  post("Runtime.evaluate", { expression: "undefined", replMode: true, awaitPromise: true }, () => {});
  inspected(new host.global.Array("text", 1));
  describeObject(host.global);
  output.begin();
  timers.begin();
  ends.begin();
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

/** From the inspector's description of a value to the value. */
function valueOf(remote) {
  const objectId = captured.ownValue(remote, "objectId");
  return objectId === undefined ? plainValue(remote) : objectOf(objectId);
}

/** The state of a promise, which only the inspector knows without becoming one of those who wait for it. */
function stateOf(promise) {
  const { objectId } = describeObject(promise);
  let properties = [];
  post("Runtime.getProperties", { objectId, ownProperties: true }, (_, answer) => {
    properties = captured.ownValue(answer, "internalProperties");
  });
  const internal = {};
  for (let at = 0; at < properties.length; at++) internal[properties[at].name] = properties[at].value;
  return { state: internal["[[PromiseState]]"].value, result: valueOf(internal["[[PromiseResult]]"]) };
}

/** The value of what is no object. */
function plainValue(remote) {
  const unserializable = captured.ownValue(remote, "unserializableValue");
  if (unserializable === undefined) return captured.ownValue(remote, "subtype") === "null" ? null : captured.ownValue(remote, "value");
  return unserializable.endsWith("n") ? BigInt(unserializable.slice(0, -1)) : Number(unserializable); // NaN, -0, the infinities
}

/** Shows the value of the last expression: at once, or, where it waits for promises, when the run ends. */
function showResult(value) {
  // The last statement of a whole program is most often a call whose result nobody wants to see, such as of `on`.
  if (cell.ends) return;
  if (captured.isPromise(value)) {
    cell.held = { value, isPromise: true };
  } else if (value !== undefined) {
    const text = inspected(value);
    if (text.includes("<pending>")) cell.held = { value, text };
    else show(value, text);
  }
}

/** Shows what was held back, now that nothing of it changes any more. */
function showHeld() {
  const { value, isPromise } = cell.held;
  cell.held = undefined;
  if (!isPromise) return show(value, inspected(value));
  const { state, result } = stateOf(value);
  if (state === "rejected" && cell.failed) return; // which was told
  if (state !== "fulfilled") show(value, inspected(value));
  else if (result !== undefined) show(result, inspected(result));
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
 * Tells of an error that nobody caught: the cell has failed, and ends as node would. What else fails until then is text.
 */
function report(error, place) {
  if (timers.isInterruption(error)) return; // we did that
  const described = part("errors").describe(error, cell, place);
  guarded(() => {
    if (!cell || cell.failed) return output.write(2, captured.encode(described.traceback));
    cell.failed = true;
    cell.settled = true;
    send({ type: "error", nonce: cell.nonce, ...described });
    timers.cancel();
    timers.setImmediate(endFailed, cell);
  });
}

/** Ends a cell that has failed, whatever it still waits for. */
function endFailed(current) {
  if (current !== cell) return;
  ends.runExitListeners(1);
  guarded(() => {
    if (cell.exit !== undefined || isTerminated(cell.count)) return stop();
    abandon();
    finish();
  });
}

/** Leaves behind what the cell still waits for. */
function abandon() {
  input.forget();
  if (cell.held?.text !== undefined) show(cell.held.value, cell.held.text);
  try {
    timers.letGo();
  } catch {
    // The rest is what keeps the kernel going.
  }
}

function finish() {
  guarded(() => {
    const seconds = captured.seconds() - cell.started;
    const { nonce, failed, count } = cell;
    cell = null;
    input.end();
    timers.clear();
    declarations?.synchronize();
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
    abandon();
    const { exit, failed } = cell;
    if (exit === undefined) fail("Interrupted", "the run was interrupted");
    else if (exit !== 0 && !failed) fail("ProcessExit", `process.exit(${exit})`);
    finish();
  });
}

/** Nothing of the cell is left to run, so node would end: what is to happen then may be code of the program. */
function endCell(current, goesOn) {
  if (current !== cell) return;
  if (!goesOn && ends.hasListeners()) return void timers.setImmediate(endCell, current, ends.offerBeforeExit());
  if (goesOn?.()) return;
  attempt(current, () => {
    if (!cell.settled) {
      cell.settled = true;
      report(new captured.Error("the run waits for a promise that nothing is left to settle"));
    }
    if (cell.held) showHeld();
  });
  if (current !== cell) return;
  const code = ends.runExitListeners(cell.failed ? 1 : undefined);
  guarded(() => {
    if (cell.exit !== undefined || isTerminated(cell.count)) return stop();
    if (code !== 0 && !cell.failed) fail("ProcessExit", `process.exitCode = ${code}`);
    finish();
  });
}

// node's end is the cell's end.
ends.watch({
  report,
  nothingIsLeft() {
    const current = cell;
    if (!current) return watcher.ref();
    // Guarded: a termination that has just emptied the loop is complete then.
    guarded(() => {
      if (current.exit !== undefined || isTerminated(current.count)) stop();
      else if (current.settled && !current.held && !ends.hasListeners()) endCell(current);
      // node would end if it were interrupted in here.
      else timers.setImmediate(endCell, current);
    });
  },
  exit(code) {
    const isFirst = cell.exit === undefined;
    cell.exit = code;
    if (isFirst) cell.exit = ends.runExitListeners(code);
    timers.cancel(); // those of the listeners as well
    end(cell.count);
  },
  isRunning: () => cell !== null,
  /** A program that was interrupted and cleaned up has sent the interrupt to itself: node would end by it. */
  raised: () => void (cell?.isLeft && stop()),
});

watcher.on("message", (message) => {
  if (message.type === "run") return start(message);
  if (cell === null) return;
  if (message.type === "terminated") return void (message.count === cell.count && stop());
  if (message.type === "stdin") return input.answered();
  if (message.nonce !== cell.nonce || message.type !== "interrupt") return;
  if (message.again || !ends.takesInterrupts()) stop();
  else cell.isLeft = true; // to the program
});

module.exports = { start, warm };

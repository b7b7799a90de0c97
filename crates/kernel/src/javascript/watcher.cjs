// The two threads, and the inspector's session with which user code is evaluated and interrupted.
//
// The main thread runs user code. The watcher reads the control channel, because the main thread cannot while a cell
// computes; it interrupts by terminating what runs there.
"use strict";

const captured = part("captured");
const { CONTROL_IN } = part("control");

// What both threads see. A termination that comes when the user's code does not run would hit the harness, or the next
// cell: so it happens only while PHASE is USER, and this thread leaves USER only when none is on its way.
const shared = new Int32Array(new SharedArrayBuffer(36));
const READ = 0; // 1 once the watcher is to read the control channel
const PHASE = 1;
const STARTED = 2; // the number of the last cell that was started,
const TERMINATED = 3; // of the last one that was terminated,
const DONE = 4; // and of the last one that is over
const WANTED = 5; // the number of the last cell that is to be terminated
const NEVER = 6;
const INPUT = 7; // counts the answers to requests for input
const LISTENS = 8; // 1 while the program itself does something at an interrupt
/** In place of a cell's number: what runs while none does. */
const BACKGROUND = -1;
const [USER, HARNESS, TERMINATING] = [0, 1, 2]; // the values of PHASE

function watch() {
  const { parentPort, workerData } = require("worker_threads");
  const inspector = require("inspector");
  const net = require("net");
  const { shared, READ, PHASE, STARTED, TERMINATED, DONE, WANTED, INPUT, LISTENS, USER, TERMINATING } = workerData;
  const { BACKGROUND, CONTROL_IN } = workerData;
  const session = new inspector.Session();
  let connected = false;

  /** Terminates what a cell runs, as soon as it runs; then says so to the other thread. */
  const terminate = (count, delay) => {
    const isCell = count !== BACKGROUND;
    if (isCell && (Atomics.load(shared, DONE) >= count || Atomics.load(shared, TERMINATED) >= count)) return;
    const isFree = Atomics.compareExchange(shared, PHASE, USER, TERMINATING) === USER;
    const isCurrent = () => Atomics.load(shared, STARTED) === count && Atomics.load(shared, DONE) < count;
    if (isFree && (!isCell || isCurrent())) {
      if (!connected) session.connectToMainThread();
      connected = true;
      session.post("Runtime.terminateExecution", () => {
        if (isCell) Atomics.store(shared, TERMINATED, count);
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

  /** Where answers to requests for input go: on a port of its own, because the other thread may block until it has one. */
  let answers;
  const early = [];
  const answer = (message) => {
    if (!answers) return early.push(message);
    answers.postMessage(message);
    Atomics.add(shared, INPUT, 1);
    Atomics.notify(shared, INPUT);
    parentPort.postMessage({ type: "stdin" });
  };
  parentPort.on("message", (message) => {
    if (typeof message === "object") {
      answers = message;
      return early.splice(0).forEach(answer);
    }
    // The main thread waits for it: for `process.exit`, or because it has taken one that was the program's.
    Atomics.store(shared, TERMINATED, 0);
    terminate(message, 1);
  });
  Atomics.wait(shared, READ, 0);
  let received = Buffer.alloc(0);
  const input = new net.Socket({ fd: CONTROL_IN, readable: true, writable: false });
  input.on("data", (piece) => {
    received = received.length === 0 ? piece : Buffer.concat([received, piece]);
    while (received.length >= 4 && received.length >= 4 + received.readUInt32BE()) {
      const end = 4 + received.readUInt32BE();
      const message = JSON.parse(received.subarray(4, end).toString());
      received = received.subarray(end);
      if (message.type === "stdin") {
        answer(message);
        continue;
      }
      parentPort.postMessage(message);
      if (message.type !== "interrupt") continue;
      // It ends itself then, or by the second one.
      if (!message.again && Atomics.load(shared, LISTENS) === 1) continue;
      Atomics.store(shared, WANTED, message.count);
      // The other thread gets the time to take the message: when it waits, nothing has to be terminated.
      setTimeout(terminate, 2, message.count, 1);
    }
  });
  const gone = () => process.kill(process.pid, "SIGKILL"); // nobody is there any more
  input.on("end", gone).on("error", gone);
}

const session = new captured.inspector.Session();
session.connect();
session.emit = () => {}; // notifications, which nobody asked for
const dispatch = session.post.bind(session);
const objectPrototype = host.global.Object.prototype;

/**
 * Sends a command to the inspector. `params` are of this realm, but node makes a message of them that inherits from the
 * program's `Object.prototype`: a `toJSON` there must not see it, and is back before the command does anything.
 */
function post(method, params, callback) {
  const toJSON = Object.getOwnPropertyDescriptor(objectPrototype, "toJSON");
  if (toJSON) {
    const putBack = () => Object.defineProperty(objectPrototype, "toJSON", toJSON);
    const harmless = toJSON.configurable
      ? { get: () => void putBack(), configurable: true }
      : { value() { putBack(); return this; } };
    // A frozen one stays: the command fails, and with that the cell.
    Reflect.defineProperty(objectPrototype, "toJSON", harmless);
  }
  dispatch(method, params, callback);
}

/** An object's number for the inspector, so that no name has to be looked up in an expression to find it. */
function numberOf(object) {
  const name = Symbol.for("agb.kernel");
  let objectId;
  Object.defineProperty(host.global, name, { value: object, configurable: true });
  const expression = 'globalThis[Symbol.for("agb.kernel")]';
  post("Runtime.evaluate", { expression, objectGroup: "agb" }, (_, answer) => ({ objectId } = answer.result));
  delete host.global[name];
  return objectId;
}

const watcher = new captured.Worker(`(${watch})()`, {
  eval: true,
  env: captured.SHARE_ENV,
  // Its own memory; what it gets are the texts of cells.
  resourceLimits: { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 2 },
  trackUnmanagedFds: false,
  // It prints nothing. Node would read its streams into this thread's by methods that a program can replace.
  stdout: true,
  stderr: true,
  workerData: {
    shared, READ, PHASE, STARTED, TERMINATED, DONE, WANTED, INPUT, LISTENS, USER, TERMINATING, BACKGROUND, CONTROL_IN,
  },
});
// Methods of their own: those of their classes may be replaced.
for (const object of [watcher, ...Object.getOwnPropertySymbols(watcher).map((name) => watcher[name])]) {
  if (typeof object?.postMessage !== "function") continue;
  for (const name of ["emit", "postMessage", "ref", "unref"]) object[name] = object[name];
}
watcher.on("error", (error) => {
  captured.writeSync(2, `The interpreter's watcher failed: ${error.stack}\n`);
  captured.reallyExit(70);
});

let depth = 0;

let carried;
const operations = {
  put: (value) => void (carried = value),
  take: () => carried,
  wait: () => Atomics.wait(shared, PHASE, TERMINATING),
};
/** What the inspector calls for us. */
const carrier = numberOf((name, value) => operations[name](value));

/** Has the inspector call one of the operations; gives the description of what it returns. */
function call(name, remote = {}) {
  const functionDeclaration = "function (name, value) { return this(name, value) }";
  const parameters = [{ value: name }, remote];
  let result;
  const options = { functionDeclaration, objectId: carrier, arguments: parameters, silent: true, objectGroup: "cell" };
  post("Runtime.callFunctionOn", options, (_, answer) => ({ result } = answer ?? {}));
  return result;
}

/** From the inspector's number of an object to the object. */
function objectOf(objectId) {
  call("put", { objectId });
  const value = carried;
  carried = undefined;
  return value;
}

/** From an object to the inspector's description of it. */
function describeObject(value) {
  carried = value;
  const description = call("take");
  carried = undefined;
  return description;
}

/** From here on nothing is torn. Answers whether a termination was on its way, and is over. */
function enter() {
  let taken = false;
  while (depth === 0 && Atomics.compareExchange(shared, PHASE, USER, HARNESS) !== USER) {
    // An evaluation is what takes it without harm.
    call("wait");
    taken = true;
  }
  depth++;
  return taken;
}

function leave() {
  if (--depth === 0) Atomics.store(shared, PHASE, USER);
}

/** Runs harness code that must not be torn. */
function guarded(work) {
  enter();
  try {
    return work();
  } finally {
    leave();
  }
}

/** Runs what must not be torn on behalf of the program, which does not go on after it if it is to be terminated. */
function whole(work) {
  const taken = enter();
  try {
    return work();
  } finally {
    leave();
    const count = Atomics.load(shared, STARTED);
    if (Atomics.load(shared, WANTED) === count && Atomics.load(shared, DONE) !== count) {
      if (taken || isTerminated(count)) end(count);
      for (;;) pause(); // a program that does little else would not be met outside
    }
  }
}

const isTerminated = (count) => Atomics.load(shared, TERMINATED) === count;

/** The port that brings the answers to requests for input, once there is one. */
let answers;

/** From here on answers come. Most programs never ask. */
function openAnswers() {
  if (answers) return;
  const { port1, port2 } = new captured.MessageChannel();
  answers = port1;
  watcher.postMessage(port2, [port2]);
}

/** The next answer to a request for input; null: none has come. */
const takeAnswer = () => captured.receiveMessageOnPort(answers)?.message ?? null;

/** The next answer. Blocks until there is one. */
function awaitAnswer() {
  for (;;) {
    const count = Atomics.load(shared, INPUT);
    const answer = takeAnswer();
    if (answer) return answer;
    Atomics.wait(shared, INPUT, count);
  }
}

/** Ends what runs in the cell of this number: does not return. */
function end(count) {
  watcher.postMessage(count);
  for (;;) pause();
}

/** From here on the watcher reads the control channel. */
function readControl() {
  Atomics.store(shared, READ, 1);
  Atomics.notify(shared, READ);
}

/** Blocks this thread, for some milliseconds or until it is terminated. */
const pause = (milliseconds) => Atomics.wait(shared, NEVER, 0, milliseconds);

module.exports = {
  awaitAnswer,
  describeObject,
  end,
  endBackground: () => end(BACKGROUND),
  guarded,
  listens: (listens) => Atomics.store(shared, LISTENS, listens ? 1 : 0),
  objectOf,
  openAnswers,
  pause,
  post,
  readControl,
  takeAnswer,
  watcher,
  started: (count) => Atomics.store(shared, STARTED, count),
  done: (count) => Atomics.store(shared, DONE, count),
  isTerminated,
  whole,
};

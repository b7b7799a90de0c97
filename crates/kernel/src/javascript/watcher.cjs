// The two threads, and the inspector's session with which user code is evaluated and interrupted.
//
// The main thread runs user code. The watcher reads the control channel, because the main thread cannot while a cell
// computes; it interrupts by terminating what runs there.
"use strict";

const fs = require("fs");
const inspector = require("inspector");
const { SHARE_ENV, Worker } = require("worker_threads");

const { CONTROL_IN } = part("control");

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

const session = new inspector.Session();
session.connect();

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

/** From here on the watcher reads the control channel. */
function readControl() {
  Atomics.store(shared, READ, 1);
  Atomics.notify(shared, READ);
}

/** Blocks this thread, for some milliseconds or until it is terminated. */
const pause = (milliseconds) => Atomics.wait(shared, NEVER, 0, milliseconds);

module.exports = {
  guarded,
  pause,
  readControl,
  session,
  watcher,
  started: (count) => Atomics.store(shared, STARTED, count),
  done: (count) => Atomics.store(shared, DONE, count),
  isTerminated: (count) => Atomics.load(shared, TERMINATED) === count,
  waitWhileTerminating: () => Atomics.wait(shared, PHASE, TERMINATING),
};

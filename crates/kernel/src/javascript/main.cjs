// What runs inside a JavaScript kernel: takes cells from fd 3, runs them in the global scope, answers on fd 4.
"use strict";

const { process } = part("captured");
const { receive, send } = part("control");
const { readControl } = part("watcher"); // first: the other thread takes a while to start
part("timers");
part("modules");
const output = part("output");
part("descriptors");
part("stacks");
const { module: cells } = part("program");
const { start, warm } = part("cells");
const { global } = host;

// node puts back its own when the code of the command line has ended, which is while the first cell runs.
process.nextTick(() => (global.module = cells));

send({ type: "ready" });
output.warm(); // while the first cell is on its way
let first = receive(); // here, while the other thread still starts
for (; first.type === "warm"; first = receive()) {
  warm();
  send({ type: "ready" });
}
readControl();
start(first);

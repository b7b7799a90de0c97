// What a program does with `process.stdin`.
"use strict";

const { Readable } = require("stream");

const { send } = part("control");
const { guarded, watcher } = part("watcher");

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

  end() {
    this.cell = null;
  },

  get() {
    if (this.stream) return this.stream;
    const stream = new Readable({ read: () => this.read(stream) });
    stream.fd = 0;
    stream.on("pause", () => this.count()).on("resume", () => this.count());
    return (this.stream = stream);
  },

  read(stream) {
    if (!this.cell?.stdin) return stream.push(null);
    if (this.asked) return;
    this.asked = true;
    guarded(() => send({ type: "input", nonce: this.cell.nonce, prompt: "" }));
    this.count();
  },

  /** Who waits for input is not done; who has paused does not wait. */
  count() {
    if (this.cell === null) return;
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

module.exports = { stdin };

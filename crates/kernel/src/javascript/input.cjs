// Standard input: `process.stdin`, and the functions of `fs` that read descriptor 0.
//
// There is no pipe behind it. When somebody waits - a reader of the stream, a question, a call that blocks - one request
// goes out, and its answer is what comes in. What nobody waits for is not asked for: the stream does not read ahead.
"use strict";

const { bufferFrom, bytesOf, emitter, encode, isFlowing, push, process, Readable, readable } = part("captured");
const { send } = part("control");
const { setImmediate } = part("timers");
const { awaitAnswer, guarded, openAnswers, takeAnswer, watcher } = part("watcher");

const NEWLINE = 10;

/** The cell that may ask; null between cells. */
let cell = null;
/** A request is on its way. */
let isAsked = false;
/** Nothing comes any more in this cell. */
let isAtEnd = false;
/** What has come and was not read, in lines. */
let lines = [];
/** Who waits apart from the stream, in the order in which they came: whether there is enough, and what takes it. */
let waiting = [];
let isDecided = true;

/** A stream that was `process.stdin` in some run. */
class InputStream {
  constructor() {
    this.isWanted = false; // it wants a line
    /** The interfaces of `readline` on it: they know whether they wait. */
    this.interfaces = new Set();
    this.stream = new Readable({
      __proto__: null,
      highWaterMark: 0,
      read: () => {
        this.isWanted = true;
        consider();
      },
    });
    Object.setPrototypeOf(this.stream, readable);
    this.stream.fd = 0;
    for (const event of ["pause", "resume", "newListener", "removeListener"]) emitter.on(this.stream, event, consider);
    of.set(this.stream, this);
  }

  isAwaited() {
    if (!this.isWanted) return false;
    const { interfaces, stream } = this;
    for (const lineReader of interfaces) {
      if (lineReader.isAwaited()) return true;
    }
    if (this !== current) return false; // of an earlier run: what listens there has not ended its run, so does not wait
    const listeners = (event) => emitter.listenerCount(stream, event);
    if (isFlowing(stream) !== true) return listeners("readable") > 0;
    return listeners("data") > interfaces.size || listeners("end") > interfaces.size;
  }

  /** Gives it a line, or the end. */
  take() {
    this.isWanted = false;
    push(this.stream, lines.length ? bufferFrom(lines.shift().buffer) : null);
  }

  isReady() {
    return isReadable();
  }
}

const of = new WeakMap();
/** `process.stdin`, once the program of this run wants it. */
let current;
/** The streams of this run, and those of earlier ones that have an open interface. */
const streams = new Set();

function begin(message) {
  cell = message;
  isAsked = false;
  isAtEnd = !message.stdin;
  lines = [];
  waiting = [];
  current = undefined; // as in a new program: one that has ended or was paused does not start again
  for (const old of streams) {
    if (old.interfaces.size === 0) streams.delete(old);
  }
}

const end = () => void (cell = null);

/** Leaves the streams to those who have them. */
function forget() {
  current = undefined;
  streams.clear();
}

function get() {
  if (!current) streams.add((current = new InputStream()));
  return current.stream;
}

/** What is known of a stream; undefined if it was never `process.stdin`. */
const known = (stream) => (typeof stream === "object" && stream !== null ? of.get(stream) : undefined);

/** Who waits for input and is first, if anybody is. */
function firstWaiting() {
  if (waiting.length) return waiting[0];
  for (const candidate of streams) {
    if (candidate.isAwaited()) return candidate;
  }
}

/** Looks whether somebody waits, once the program has had its turn: what it prints before it waits comes first. */
function consider() {
  if (!isDecided) return;
  isDecided = false;
  setImmediate(decide);
}

function decide() {
  isDecided = true;
  if (cell === null) return;
  const reader = firstWaiting();
  if (reader?.isReady()) {
    if (reader === waiting[0]) waiting.shift();
    reader.take();
    consider();
  } else if (reader) {
    ask();
  }
  // Who waits for input is not done; who has paused does not wait.
  if (isAsked && firstWaiting()) watcher.ref();
  else watcher.unref();
}

const isReadable = () => lines.length > 0 || isAtEnd || cell === null;

function ask() {
  if (isAsked) return;
  isAsked = true;
  guarded(() => {
    openAnswers();
    send({ type: "input", nonce: cell.nonce, prompt: "" });
  });
}

/** The watcher has an answer. */
function answered() {
  for (let answer = takeAnswer(); answer; answer = takeAnswer()) take(answer);
  consider();
}

function take({ nonce, data, eof }) {
  if (nonce !== cell?.nonce) return;
  isAsked = false;
  if (data) {
    const bytes = encode(data.endsWith("\n") ? data : `${data}\n`);
    for (let from = 0; from < bytes.length; ) {
      const to = bytes.indexOf(NEWLINE, from) + 1 || bytes.length;
      lines.push(bytes.slice(from, to));
      from = to;
    }
  }
  if (eof) isAtEnd = true;
}

/** Blocks until there is something to read, or nothing any more. */
function awaitInput() {
  while (!lines.length && !isAtEnd && cell !== null) {
    ask();
    take(awaitAnswer());
  }
}

/** Fills the bytes with what is there, and says how much that was. */
function fill(bytes) {
  let filled = 0;
  while (filled < bytes.length && lines.length) {
    const [line] = lines;
    const piece = line.subarray(0, bytes.length - filled);
    bytes.set(piece, filled);
    filled += piece.length;
    if (piece.length === line.length) lines.shift();
    else lines[0] = line.subarray(piece.length);
  }
  return filled;
}

/** Everything that is there, as a buffer. */
function all() {
  const size = lines.reduce((sum, line) => sum + line.length, 0);
  const buffer = bufferFrom(new ArrayBuffer(size));
  fill(bytesOf(buffer));
  return buffer;
}

/** Reads as `read(2)` does: blocks if there is nothing. */
function readSync(array) {
  awaitInput();
  return fill(bytesOf(array));
}

/** Reads to the end: blocks. */
function readAllSync() {
  while (!isAtEnd && cell !== null) {
    ask();
    take(awaitAnswer());
  }
  return all();
}

/** Reads as `read(2)` does, and calls back. */
function read(array, callback) {
  waiting.push({ isReady: isReadable, take: () => callback(fill(bytesOf(array))) });
  consider();
}

function readAll(callback) {
  waiting.push({ isReady: () => isAtEnd || cell === null, take: () => callback(all()) });
  consider();
}

Object.defineProperty(process, "stdin", { configurable: true, enumerable: true, get: host.facade("get stdin", get) });

module.exports = { answered, begin, consider, end, forget, get, known, read, readAll, readAllSync, readSync };

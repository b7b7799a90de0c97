// `process.stdout` and `process.stderr`: everything is in the pipe when a write returns, and each run begins with streams
// that work, whatever an earlier one did with them.
"use strict";

const { bufferFrom, bytesOf, encode, encodeInto, process, Writable, writable, writeSync } = part("captured");
const { pause } = part("watcher");
const { global, require } = host;

/** Writes all of it. node's own stream would queue in memory what a full pipe does not take. */
function write(fd, bytes, end = bytes.length) {
  for (let at = 0; at < end; ) {
    try {
      at += writeSync(fd, bytes, at, end - at);
    } catch (error) {
      // A child process (node is one that does it) has made the pipe it shares with us non-blocking.
      if (error.code !== "EAGAIN") throw error;
      pause(1);
    }
  }
}

/** Where most texts become bytes: node writes those sooner than a text, and they need no memory of their own. */
const room = new Uint8Array(16384);

function writeText(fd, text) {
  // A unit of UTF-16 takes three bytes at most.
  if (text.length * 3 > room.length) write(fd, encode(text));
  else write(fd, room, encodeInto(text, room));
}

/** The own properties of an object at one moment. Puts them back without anything that a program can replace. */
class Snapshot {
  constructor(object) {
    this.object = object;
    this.descriptors = new Map(Reflect.ownKeys(object).map((name) => [name, Object.getOwnPropertyDescriptor(object, name)]));
  }

  /** Touches only what has changed: V8 is slow with an object whose properties were deleted. Throws if one is fixed. */
  restore() {
    const { object, descriptors } = this;
    if (!Reflect.isExtensible(object)) throw new TypeError("it takes no property any more");
    for (const name of Reflect.ownKeys(object)) {
      if (!descriptors.has(name)) delete object[name];
    }
    for (const [name, descriptor] of descriptors) {
      const now = Object.getOwnPropertyDescriptor(object, name);
      const differs = (part) => !Object.is(now[part], descriptor[part]);
      if (!now || ATTRIBUTES.some(differs)) Object.defineProperty(object, name, descriptor);
      else if (differs("value")) object[name] = descriptor.value;
    }
  }
}

/** What a descriptor says besides a value. */
const ATTRIBUTES = ["get", "set", "writable", "enumerable", "configurable"];

/** A stream's objects that node changes: its state, and itself. */
const parts = (stream) => [stream._writableState, stream];

/**
 * The properties that node adds to each of them with the first text and the first listener. They are there from the
 * beginning, and so part of the snapshot: V8 is slow with an object whose properties are deleted, as these would be before
 * each run.
 */
const added = (() => {
  const make = () => new Writable({ __proto__: null, write: (chunk, encoding, done) => done() });
  const [used, fresh] = [make(), make()];
  used.once("error", () => {}).write("");
  return parts(used).map((object, at) => Reflect.ownKeys(object).filter((name) => !Object.hasOwn(parts(fresh)[at], name)));
})();

function complete(stream) {
  for (const [at, object] of parts(stream).entries()) {
    for (const name of added[at]) {
      Object.defineProperty(object, name, { value: object[name], configurable: true, enumerable: true, writable: true });
    }
  }
}

/** One of the two streams, which is always the same object: who has kept it, or a console that writes to it, goes on. */
class Output {
  constructor(name, fd) {
    Object.assign(this, { name, fd });
    this.create();
  }

  create() {
    const { fd } = this;
    this.stream = new Writable({
      __proto__: null,
      decodeStrings: false,
      write(chunk, encoding, done) {
        try {
          if (typeof chunk === "string" && UTF8.has(encoding)) writeText(fd, chunk);
          else write(fd, typeof chunk === "string" ? bytesOf(bufferFrom(chunk, encoding)) : bytesOf(chunk));
        } catch (error) {
          return done(error);
        }
        done();
      },
      destroy(error, done) {
        done(error); // the descriptor stays open: it is not only this stream's
      },
    });
    const { stream } = this;
    Object.assign(stream, { fd, _type: "pipe", _isStdio: true, destroySoon: stream.destroy });
    complete(stream);
    // Its listeners, its state, and then itself.
    this.snapshots = [stream._events, ...parts(stream)].map((object) => new Snapshot(object));
    Object.setPrototypeOf(stream, writable);
  }

  begin() {
    try {
      Object.setPrototypeOf(this.stream, writable);
      for (const snapshot of this.snapshots) snapshot.restore();
    } catch {
      this.create(); // a frozen one
    }
    const { name, stream: value } = this;
    return Reflect.defineProperty(process, name, { value, configurable: true, enumerable: true, writable: true });
  }
}

/** A `process` for programs that come after one that has fixed a stream of the real one for good. */
class StandIn {
  constructor() {
    this.streams = {};
    const ofStream = (key) => Object.hasOwn(this.streams, key);
    const on = (key) => (ofStream(key) ? this.streams : process);
    this.process = new Proxy({}, {
      get: (_, key) => Reflect.get(on(key), key),
      set: (_, key, value) => Reflect.set(on(key), key, value),
      has: (_, key) => ofStream(key) || Reflect.has(process, key),
      deleteProperty: (_, key) => Reflect.deleteProperty(on(key), key),
      defineProperty: (_, key, descriptor) => Reflect.defineProperty(on(key), key, descriptor),
      ownKeys: () => Reflect.ownKeys(process),
      getPrototypeOf: () => Reflect.getPrototypeOf(process),
      getOwnPropertyDescriptor(_, key) {
        const descriptor = Reflect.getOwnPropertyDescriptor(on(key), key);
        return descriptor && { ...descriptor, configurable: true };
      },
    });
  }

  begin() {
    this.streams = {};
    for (const { name, stream } of outputs) this.streams[name] = stream;
    Reflect.defineProperty(global, "process", { value: this.process, configurable: true, writable: true });
  }
}

const UTF8 = new Set(["utf8", "utf-8", "UTF-8", "UTF8", undefined]);

const outputs = [new Output("stdout", 1), new Output("stderr", 2)];

/** Node's own, as it is before the first line of a program, which may delete the global. */
const original = global.console;

/** A console like node's, which also feeds the inspector: that keeps the last thousand messages and what they show alive. */
function newConsole() {
  const { Console } = require("console");
  const [stdout, stderr] = outputs.map((output) => output.stream);
  const made = new Console({ __proto__: null, stdout, stderr });
  const add = (name, value) => Object.defineProperty(made, name, { value, configurable: true, writable: true });
  add("Console", Console);
  for (const name of ["profile", "profileEnd", "timeStamp", "context", "createTask"]) {
    if (name in original) add(name, original[name]);
  }
  return made;
}

/**
 * Lets a console show its first text: with that it loads a part of node that asks `process.stderr`, which a program may
 * have taken away by then.
 */
function warm() {
  const { Console } = require("console");
  new Console(new Writable({ __proto__: null, write: (chunk, encoding, done) => done() })).log("");
}

let standIn;
let shown; // the console
let descriptors;

/** Puts the streams and the console back. */
function begin() {
  for (const output of outputs) {
    if (!output.begin()) standIn ??= new StandIn();
  }
  standIn?.begin();
  if (!shown || shown._stdout !== outputs[0].stream || shown._stderr !== outputs[1].stream) {
    shown = newConsole();
    descriptors = Reflect.ownKeys(shown).map((name) => [name, Object.getOwnPropertyDescriptor(shown, name)]);
  }
  for (const [name, descriptor] of descriptors) Reflect.defineProperty(shown, name, descriptor);
  Reflect.defineProperty(global, "console", { value: shown, configurable: true, writable: true });
}
begin();

module.exports = { begin, warm, write };

// What the harness uses of node and of the program's realm, taken before the first line of a program runs.
"use strict";

const { global, require } = host;
const { apply } = Reflect;
const { process, Buffer, TextEncoder, AbortController } = global;

/** A method as a function of its object: later replacements on the prototype do not matter. */
const uncurry = (method) => (self, ...rest) => apply(method, self, rest);
/** A getter as a function of its object. */
const getter = (prototype, name) => uncurry(Object.getOwnPropertyDescriptor(prototype, name).get);

const events = require("events");
const fs = require("fs");
const inspector = require("inspector");
const module_ = require("module");
const path = require("path");
const stream = require("stream");
const url = require("url");
const util = require("util");
const vm = require("vm");
const workers = require("worker_threads");

const Emitter = events.prototype;
const emitter = {
  emit: uncurry(Emitter.emit),
  on: uncurry(Emitter.on),
  rawListeners: uncurry(Emitter.rawListeners),
  removeListener: uncurry(Emitter.removeListener),
  listenerCount: uncurry(Emitter.listenerCount),
};

/** A prototype with all that this one and those behind it have now: later replacements on them do not matter. */
function sealed(prototype) {
  const descriptors = {};
  for (let from = prototype; from !== global.Object.prototype; from = Object.getPrototypeOf(from)) {
    for (const name of Reflect.ownKeys(from)) descriptors[name] ??= Object.getOwnPropertyDescriptor(from, name);
  }
  return Object.create(prototype, descriptors);
}

const encoder = new TextEncoder();
const encode = encoder.encode.bind(encoder);
const encodeInto = encoder.encodeInto.bind(encoder);
const own = Object.getOwnPropertyDescriptor;
const typedArray = Object.getPrototypeOf(Uint8Array.prototype);
const bufferOf = getter(typedArray, "buffer");
const offsetOf = getter(typedArray, "byteOffset");
const lengthOf = getter(typedArray, "byteLength");

/** The bytes of a typed array of any realm, as one of this. */
const bytesOf = (array) => new Uint8Array(bufferOf(array), offsetOf(array), lengthOf(array));

/** An own property's value of a program's object: runs no code, except of a proxy. */
const ownValue = (object, name) => own(object, name)?.value;

const seconds = () => {
  const time = hrtime();
  return time[0] + time[1] / 1e9;
};
const { hrtime } = process;

/** What node marks its own errors with: the code is in their first line. */
function findMark() {
  try {
    Buffer.alloc("");
  } catch (error) {
    for (let object = error; object !== null; object = Object.getPrototypeOf(object)) {
      const mark = Object.getOwnPropertySymbols(object).find((symbol) => symbol.description === "kIsNodeError");
      if (mark) return mark;
    }
  }
}

module.exports = {
  AbortController,
  nodeErrorMark: findMark(),
  abort: uncurry(AbortController.prototype.abort),
  reasonOf: getter(global.AbortSignal.prototype, "reason"),
  signalOf: getter(AbortController.prototype, "signal"),
  Buffer,
  Error: global.Error,
  Readable: stream.Readable,
  readable: sealed(stream.Readable.prototype),
  SyntaxError: global.SyntaxError,
  Worker: workers.Worker,
  Writable: stream.Writable,
  writable: sealed(stream.Writable.prototype),
  bufferFrom: Buffer.from,
  bytesOf,
  createContext: vm.createContext,
  createRequire: module_.createRequire,
  cwd: process.cwd.bind(process),
  emitter,
  errorPrototype: global.Error.prototype,
  encode: (text) => bytesOf(encode(text)),
  encodeInto: (text, bytes) => encodeInto(text, bytes).written,
  fs,
  fstat: fs.fstatSync,
  getActiveResources: process.getActiveResourcesInfo?.bind(process) ?? (() => []),
  getActiveHandles: process._getActiveHandles.bind(process),
  inspect: util.inspect,
  inspector,
  isNativeError: util.types.isNativeError,
  isPromise: util.types.isPromise,
  module: module_,
  nodeVersion: process.versions.node,
  nodePath: process.env.NODE_PATH ?? "",
  ownValue,
  nextTick: process.nextTick,
  path: { ...path },
  pathToFileURL: url.pathToFileURL,
  process,
  promisify: util.promisify.custom,
  push: uncurry(stream.Readable.prototype.push),
  isFlowing: getter(stream.Readable.prototype, "readableFlowing"),
  readSync: fs.readSync,
  reallyExit: process.reallyExit.bind(process),
  receiveMessageOnPort: workers.receiveMessageOnPort,
  MessageChannel: workers.MessageChannel,
  SHARE_ENV: workers.SHARE_ENV,
  seconds,
  setMaxListeners: events.setMaxListeners,
  syncExports: module_.syncBuiltinESMExports,
  then: uncurry(global.Promise.prototype.then),
  writeSync: fs.writeSync,
};

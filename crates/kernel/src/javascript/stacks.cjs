// The stacks of errors: without the frames of this harness, and of node that led to it. A program's own function for this
// goes before ours, as it goes before node's.
"use strict";

const { errorPrototype, nodeErrorMark } = part("captured");
const { facade, global } = host;

const { toString } = errorPrototype;
const isOurs = (frame) => /^agb:|^node:inspector$|^\[eval\]$/.test(frame.getFileName() ?? "");

/** The first line, as node has it. */
function headOf(error) {
  if (!nodeErrorMark || !(nodeErrorMark in error)) return Reflect.apply(toString, error, []);
  const { name, message, code } = error;
  return `${name} [${code}]: ${message}`;
}

function prepare(error, frames) {
  const all = [];
  for (let at = 0; at < frames.length; at++) all.push(frames[at]);
  const first = all.findIndex((frame) => frame.getFileName() === "node:inspector");
  const own = (first < 0 ? all : all.slice(0, first)).filter((frame) => !isOurs(frame));
  let head;
  try {
    head = headOf(error);
  } catch {
    head = "Error"; // its own code failed
  }
  // Without any frame `inspect` would put the error into brackets.
  return [head, ...(own.length ? own : ["<anonymous>"])].join("\n    at ");
}

const value = facade("prepareStackTrace", prepare);
Object.defineProperty(global.Error, "prepareStackTrace", { value, configurable: true, writable: true });

// What is said of errors: the user's lines only.
//
// An error is a program's object: to look at its name, its message or its stack may run code that throws.
"use strict";

const { errorPrototype, inspect, isNativeError } = part("captured");

const TEXT_LIMIT = 256 * 1024; // of an error's message or stack: nobody reads more, and frames stay small

const cut = (text) => (text.length <= TEXT_LIMIT ? text : text.slice(0, TEXT_LIMIT) + "…");

/** Frames that are not the user's: node's and ours. */
const FOREIGN = /^\s+at (?:.*[(\s])?(?:node:|agb:|\[eval\]|<anonymous>\)?$|file:\/\/\/.*\/\[eval)/;

/** The lines of an inspected error, or of what has errors in it, that are the user's. */
function withoutForeign(text) {
  const lines = [];
  for (const line of text.split("\n")) {
    if (!FOREIGN.test(line)) lines.push(line);
    // Properties of the error follow: what opens them stays.
    else if (lines.length && /[({[]$/.test(line)) lines[lines.length - 1] += line.slice(line.lastIndexOf(" "));
  }
  return lines.join("\n");
}

/** What a look at a program's object gives, or, if it throws, something else. */
function attempt(look, otherwise) {
  try {
    return look();
  } catch {
    return otherwise;
  }
}

/** Text of anything that has some; empty if it has none. */
const textOf = (look) => attempt(() => cut(String(look())), "");

const isError = (value) =>
  isNativeError(value) || attempt(() => Reflect.apply(Object.prototype.isPrototypeOf, errorPrototype, [value]), false);

/** A value as text, or why there is none. */
function inspected(value, options) {
  try {
    return inspect(value, options);
  } catch (error) {
    const why = textOf(() => (isError(error) ? error.message : error)) || "its own code failed";
    return `[${value === null ? "null" : typeof value}: cannot be shown: ${why}]`;
  }
}

/** An error as a frame has it; `place` is that of a syntax error in the cell. */
function describe(error, cell, place) {
  if (!isError(error)) {
    const text = cut(inspected(error));
    return { name: "Uncaught", value: text, traceback: `Uncaught ${text}\n` };
  }
  const name = textOf(() => error.name ?? "Error") || "Error";
  const value = textOf(() => error.message);
  const head = value ? `${name}: ${value}` : name;
  // `inspect` adds causes and own properties.
  let trace = attempt(() => withoutForeign(inspect(error)), undefined);
  trace ??= withoutForeign(textOf(() => error.stack)) || head;
  if (place && cell) trace = `${pointer(cell, place)}\n\n${trace}`;
  return { name, value, traceback: `${cut(trace)}\n` };
}

/** Shows a place in the cell's text. */
function pointer(cell, [line, column]) {
  const lines = cell.code.split(/\r\n|[\n\r\u2028\u2029]/);
  // At the end of the text the place is behind what is added to it.
  const at = Math.min(line, lines.length - 1);
  const source = lines[at];
  return `${cell.file}:${at + 1}\n${source}\n${" ".repeat(at === line ? column : source.length)}^`;
}

module.exports = { describe, inspected, isError, withoutForeign };

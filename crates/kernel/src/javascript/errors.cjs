// What is said of errors: the user's lines only.
"use strict";

const util = require("util");

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

/** An error as a frame has it; `place` is that of a syntax error in the cell. */
function describe(error, cell, place) {
  try {
    if (!util.types.isNativeError(error) && !(error instanceof Error)) {
      const text = cut(util.inspect(error));
      return { name: "Uncaught", value: text, traceback: `Uncaught ${text}\n` };
    }
    const name = String(error.name ?? "Error");
    const value = cut(String(error.message));
    // `inspect` adds causes and own properties.
    let trace = withoutForeign(util.inspect(error));
    if (place) {
      const [line, column] = place;
      const source = cell.code.split("\n")[line] ?? "";
      trace = `cell-${cell.count}.js:${line + 1}\n${source}\n${" ".repeat(column)}^\n\n${trace}`;
    }
    return { name, value, traceback: cut(trace) + "\n" };
  } catch {
    return { name: "Error", value: "an error that cannot be printed", traceback: "" };
  }
}

module.exports = { describe, withoutForeign };

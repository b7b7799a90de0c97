// The control channel: fd 3 brings cells, fd 4 takes what is said about them. A frame is a length of four bytes,
// big-endian, and JSON.
"use strict";

const fs = require("fs");

const CONTROL_IN = 3;
const CONTROL_OUT = 4;

/** Whole characters: a lone surrogate is no JSON. */
const whole = (text) => text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");

function send(message) {
  const text = Buffer.from(JSON.stringify(message, (_, value) => (typeof value === "string" ? whole(value) : value)));
  const frame = Buffer.allocUnsafe(4 + text.length);
  frame.writeUInt32BE(text.length);
  text.copy(frame, 4);
  for (let at = 0; at < frame.length; ) at += fs.writeSync(CONTROL_OUT, frame, at);
  return text.length;
}

function take(size) {
  const data = Buffer.alloc(size);
  for (let at = 0; at < size; ) {
    const read = fs.readSync(CONTROL_IN, data, at, size - at);
    if (read === 0) process.reallyExit(0); // nobody is there any more
    at += read;
  }
  return data;
}

const receive = () => JSON.parse(take(take(4).readUInt32BE()).toString());

module.exports = { CONTROL_IN, send, receive };

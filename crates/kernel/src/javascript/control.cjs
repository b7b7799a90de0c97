// The control channel: fd 3 brings cells, fd 4 takes what is said about them. A frame is a length of four bytes,
// big-endian, and JSON.
"use strict";

const { encode, Buffer, readSync, reallyExit, writeSync } = part("captured");

const CONTROL_IN = 3;
const CONTROL_OUT = 4;

const decode = Buffer.prototype.utf8Slice;

/** Whole characters: a lone surrogate is not JSON. */
const whole = (text) => text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");

function send(message) {
  const text = encode(JSON.stringify(message, (_, value) => (typeof value === "string" ? whole(value) : value)));
  const frame = new Uint8Array(4 + text.length);
  new DataView(frame.buffer).setUint32(0, text.length);
  frame.set(text, 4);
  for (let at = 0; at < frame.length; ) at += writeSync(CONTROL_OUT, frame, at);
}

function take(size) {
  const data = new Uint8Array(size);
  for (let at = 0; at < size; ) {
    const read = readSync(CONTROL_IN, data, at, size - at);
    if (read === 0) reallyExit(0); // nobody is there any more
    at += read;
  }
  return data;
}

function receive() {
  const size = new DataView(take(4).buffer).getUint32(0);
  return JSON.parse(Reflect.apply(decode, take(size), []));
}

module.exports = { CONTROL_IN, receive, send };

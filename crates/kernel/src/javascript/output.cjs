// `process.stdout` and `process.stderr`: everything is in the pipe when a write returns.
"use strict";

const fs = require("fs");
const { Writable } = require("stream");

const { pause } = part("watcher");

/**
 * `process.stdout` and `process.stderr`. node's own queue in memory what a full pipe does not take; these block, so
 * that a program can be no further ahead of its reader than the pipe.
 */
function outputStream(fd) {
  const stream = new Writable({
    write(chunk, _encoding, done) {
      for (let at = 0; at < chunk.length; ) {
        try {
          at += fs.writeSync(fd, chunk, at);
        } catch (error) {
          // A child process (node is one that does it) has made the pipe it shares with us non-blocking.
          if (error.code !== "EAGAIN") return done(error);
          pause(1);
        }
      }
      done();
    },
    destroy(error, done) {
      done(error); // the descriptor stays open: it is not only this stream's
    },
  });
  return Object.assign(stream, { fd, _type: "pipe", _isStdio: true, destroySoon: stream.destroy });
}

for (const [name, fd] of [["stdout", 1], ["stderr", 2]]) {
  const value = outputStream(fd);
  Object.defineProperty(process, name, { value, configurable: true, enumerable: true, writable: true });
}

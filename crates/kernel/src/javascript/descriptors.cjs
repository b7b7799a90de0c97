// Descriptors 0 to 4 for programs that use them by number: 0 is standard input, which is read by requests, and none of
// them can be closed, because a file that was opened then would take its place.
"use strict";

const { bytesOf, Buffer, fs, nextTick, then } = part("captured");
const input = part("input");
const { facade, global, require } = host;
const { Promise, RangeError, Object: ProgramObject } = global;
const { createReadStream } = fs;

const LAST = 4; // the control channel's
const NOT_OPEN = 2 ** 30;

const isKept = (fd) => Number.isInteger(fd) && fd >= 0 && fd <= LAST;
/** What closing a descriptor of the harness closes: to the program its streams are closed, and nothing else was open. */
const toClose = (fd) => (fd > 2 && fd <= LAST ? NOT_OPEN : fd);

const NAMES = new Set(["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"]);
const isInput = (file) => file === 0 || NAMES.has(file);

const original = {};
/** Replaces a function of `fs`. */
function replace(name, make) {
  original[name] = fs[name];
  fs[name] = facade(name, make(original[name]), original[name]);
}

/** Calls back later, as node does. */
const later = (callback, ...args) => nextTick(callback, ...args);

/** A buffer as `readFile` gives it. */
function encoded(buffer, options) {
  const encoding = typeof options === "string" ? options : options?.encoding;
  return encoding && encoding !== "buffer" ? toText(buffer, encoding) : buffer;
}
const toText = (buffer, encoding) => Reflect.apply(Buffer.prototype.toString, buffer, [encoding]);

replace("closeSync", (close) => (fd) => (isKept(fd) && fd <= 2 ? undefined : close(toClose(fd))));
replace("close", (close) => (fd, callback) => {
  if (!isKept(fd) || fd > 2) return close(toClose(fd), ...(callback ? [callback] : []));
  if (typeof callback === "function") later(callback, null);
});
replace("openSync", (open) => (file, ...rest) => (NAMES.has(file) ? 0 : open(file, ...rest)));
replace("open", (open) => (file, ...rest) => {
  const callback = rest.at(-1);
  if (!NAMES.has(file) || typeof callback !== "function") return open(file, ...rest);
  later(callback, null, 0);
});
replace("readFileSync", (readFile) => (file, options) =>
  isInput(file) ? encoded(input.readAllSync(), options) : readFile(file, options));
replace("readFile", (readFile) => (file, ...rest) => {
  const callback = rest.at(-1);
  if (!isInput(file) || typeof callback !== "function") return readFile(file, ...rest);
  input.readAll((buffer) => callback(null, encoded(buffer, rest.length > 1 ? rest[0] : undefined)));
});

/** The part of the buffer that a call of `read` means. */
function target(buffer, given) {
  const [offset, length] = typeof given[0] === "object" && given[0] !== null ? [given[0].offset, given[0].length] : given;
  const bytes = bytesOf(buffer);
  const from = Number(offset ?? 0);
  const to = from + Number(length ?? bytes.length - from);
  return from >= 0 && to <= bytes.length && to >= from ? bytes.subarray(from, to) : undefined;
}
const isBuffer = (value) => ArrayBuffer.isView(value);

replace("readSync", (read) => (fd, buffer, ...rest) => {
  const bytes = fd === 0 && isBuffer(buffer) ? target(buffer, rest) : undefined;
  return bytes ? input.readSync(bytes) : read(fd, buffer, ...rest); // which says what is wrong
});
replace("read", (read) => (fd, ...rest) => {
  const callback = rest.at(-1);
  if (fd !== 0 || typeof callback !== "function") return read(fd, ...rest);
  let [buffer, ...range] = rest.slice(0, -1);
  if (!isBuffer(buffer)) {
    range = [buffer ?? {}];
    buffer = buffer?.buffer ?? Buffer.alloc(16384);
  }
  const bytes = target(buffer, range);
  if (!bytes) return read(fd, ...rest);
  input.read(bytes, (count) => callback(null, count, buffer));
});

/** The first of the buffers that has room, as a call of `readv` fills it. */
const firstOf = (buffers) => {
  for (let at = 0; at < buffers.length; at++) {
    if (!isBuffer(buffers[at])) return undefined; // node says what is wrong
    if (bytesOf(buffers[at]).length > 0) return bytesOf(buffers[at]);
  }
};

replace("readvSync", (readv) => (fd, buffers, ...rest) => {
  const bytes = fd === 0 && Array.isArray(buffers) ? firstOf(buffers) : undefined;
  return bytes ? input.readSync(bytes) : readv(fd, buffers, ...rest);
});
replace("readv", (readv) => (fd, buffers, ...rest) => {
  const callback = rest.at(-1);
  const bytes = fd === 0 && Array.isArray(buffers) && typeof callback === "function" ? firstOf(buffers) : undefined;
  if (!bytes) return readv(fd, buffers, ...rest);
  input.read(bytes, (count) => callback(null, count, buffers));
});

/** Replaces what reads a whole file in `fs/promises`, when a program first loads it: it takes a while. */
function watchPromises(promises) {
  const { readFile } = promises;
  const read = (file, options) =>
    isInput(file)
      ? new Promise((done) => input.readAll((buffer) => done(encoded(buffer, options))))
      : readFile(file, options);
  promises.readFile = facade("readFile", read, readFile);
  const { open } = promises;
  const openFile = (file, ...rest) => {
    const opened = open(file, ...rest);
    if (!NAMES.has(file)) return opened;
    return new Promise((done, failed) => then(opened, (handle) => done(inputHandle(handle)), failed));
  };
  promises.open = facade("open", openFile, open);
}

/** Has the methods of an open file that read, read standard input. */
function inputHandle(handle) {
  const methods = {
    read(buffer, ...given) {
      if (!isBuffer(buffer)) [buffer, given] = [buffer?.buffer ?? Buffer.alloc(16384), [buffer ?? {}]];
      const bytes = target(buffer, given);
      return new Promise((done, failed) => {
        if (!bytes) return failed(new RangeError("the range is not within the buffer"));
        input.read(bytes, (bytesRead) => done(Object.assign(new ProgramObject(), { bytesRead, buffer })));
      });
    },
    readFile: (options) => new Promise((done) => input.readAll((buffer) => done(encoded(buffer, options)))),
    createReadStream: (options) => createReadStream(null, { ...options, fd: 0 }),
    readLines: (options) =>
      require("readline").createInterface({ crlfDelay: Infinity, ...options, input: createReadStream(null, { fd: 0 }) }),
  };
  for (const [name, method] of Object.entries(methods)) handle[name] = facade(name, method);
  return handle;
}

module.exports = { watchPromises };

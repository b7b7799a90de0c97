// What the browser does better or more briefly in its own language than through WebAssembly.

/**
 * Reads a frame if it is a chunk of a run's output; `undefined` for everything else, which the core reads itself.
 *
 * It takes exactly what `agb_core::wire::incoming` takes for a chunk; tests/browser holds the two together.
 */
export function readChunk(frame) {
  let envelope, data;
  try {
    envelope = JSON.parse(frame);
    data = envelope.data;
    if (typeof data === "string") {
      data = JSON.parse(data);
    }
  } catch {
    return undefined;
  }
  if (
    data === null ||
    typeof data !== "object" ||
    data.phase !== "event" ||
    typeof data.chunk !== "string" ||
    (typeof data.error === "string" && data.error !== "")
  ) {
    return undefined;
  }
  const stream = data.eventType === "stdout" ? 0 : data.eventType === "stderr" ? 1 : -1;
  const id = isId(envelope.invocationId) ? envelope.invocationId : envelope.requestId;
  return stream < 0 || !isId(id) ? undefined : {
    id,
    kind: data.background === true ? stream + 2 : stream,
    seq: count(data.seq),
    time: count(data.time),
    text: data.chunk,
  };
}

const count = (number) => (Number.isSafeInteger(number) ? number : -1);

const isId = (id) => typeof id === "string" && id !== "";

let channel = null;
const tasks = [];

/** Runs `task` after what the browser has ready now. A `setTimeout` would wait, and in a hidden tab long. */
export function later(task) {
  if (channel === null) {
    channel = new MessageChannel();
    channel.port1.onmessage = () => tasks.shift()();
  }
  tasks.push(task);
  channel.port2.postMessage(null);
}

/** The length of a string in UTF-16 units. */
export const length = (text) => text.length;

/** Takes the first `count` texts out, as one string. */
export const takeTexts = (texts, count) =>
  count === 1 ? texts.shift() : (count === texts.length ? texts.splice(0) : texts.splice(0, count)).join("");

export const cut = (text, start, end) => text.substring(start, end);

export const randomBits = () => crypto.getRandomValues(new BigUint64Array(1))[0];

// The objects of binding.ts. What is absent there is null.

export const batch = (text, marks, stamps, events, ended) => ({
  text,
  marks,
  stamps: stamps.length ? stamps : null,
  events: events.length ? events : null,
  ended,
});

export const record = (names, values) => Object.fromEntries(names.split(" ").map((name, at) => [name, values[at]]));

export const withLogs = (result, texts, marks) => ({ ...result, logs: () => ({ text: texts.join(""), marks }) });

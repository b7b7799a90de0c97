// The two kinds of links to the service, a WebSocket and a run's event stream, as one kind of object.

/** What `hear(kind, data, code)` says; link.rs has the same. */
const [OPENED, FRAME, ALIVE, CLOSED, BROKEN, TOO_LARGE] = [0, 1, 2, 3, 4, 5];
/** An answer to a call of an event stream: its content type, or a refusal's body, and its status. Gives whether the link lives. */
const [FIRST, SEND, EVENTS] = [6, 7, 8];
/** Another WebSocket to the same address is being opened. */
const REST = 9;

/**
 * The WebSockets of this page, as what asks one to the address that is given to rest. In hot reloads sessions come and go
 * with nobody to close them, also those of other copies of this module: so each new one asks the others.
 */
const sockets = (globalThis[Symbol.for("agbcloud-sdk.sockets")] ??= new Set());

/** The longest event of a stream, in UTF-16 units: what a run may have unread. */
const LONGEST_EVENT = 64 << 20;
/** How much of a refusal is read, bytes: the core has the same. */
const LONGEST_REFUSAL = 16 << 10;
/** How long a call that says something may take, milliseconds; it is a short one, and the core has no timer for it. */
const SAY_TIMEOUT = 10_000;

/** A `WebSocket`. `hear` is never called before this has returned. */
export function openSocket(url, protocols, hear) {
  let socket = null;
  try {
    socket = new WebSocket(url, protocols);
  } catch (error) {
    // Not its message: that might hold the token, which is one of the sub-protocols.
    queueMicrotask(() => hear(BROKEN, `the browser refuses to open the WebSocket: ${error.name}`));
    return { send: () => 0, backlog: () => 0, close() { hear = () => {}; } };
  }
  const rest = (address) => address === url && hear(REST);
  sockets.forEach((other) => other(url));
  sockets.add(rest);
  socket.onopen = () => hear(OPENED);
  socket.onmessage = ({ data }) => hear(FRAME, data);
  socket.onclose = ({ code, reason }) => {
    sockets.delete(rest);
    hear(CLOSED, reason, code);
  };
  const backlog = () => socket.bufferedAmount;
  return {
    send(text) {
      socket.send(text); // one that is not open any more takes nothing, and will say so
      return backlog();
    },
    backlog,
    close(code) {
      sockets.delete(rest);
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(code);
    },
  };
}

/**
 * A run's event stream, as `EventsRequest` of the core has it: says `first`, if there is something, reads `url`, and says
 * at `say` what is sent, one thing after the other. A browser does not tell whether a call that failed reached anybody.
 */
export function openEvents(url, token, say, first, hear) {
  const reading = new AbortController();
  const call = async (kind, target, body, signal) => {
    let response;
    try {
      response = await fetch(target, {
        method: body === undefined ? "GET" : "POST",
        headers: { "x-access-token": token, "content-type": "application/json" },
        body,
        signal,
        cache: "no-store",
        credentials: "omit",
        redirect: "manual",
      });
    } catch (error) {
      throw [BROKEN, `the browser says: ${error.message}`];
    }
    const { status, headers } = response;
    const isShort = Number(headers.get("content-length") ?? Infinity) <= LONGEST_REFUSAL;
    const said = status === 200 ? headers.get("content-type") : isShort ? await response.text().catch(() => "") : "";
    return hear(kind, said ?? "", status) ? response : undefined;
  };
  const tell = async (kind, text) => {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), SAY_TIMEOUT);
    return call(kind, say, text, abort.signal).finally(() => clearTimeout(timer));
  };
  const lose = (loss) => hear(...(Array.isArray(loss) ? loss : [BROKEN, `the event stream broke: ${loss.message}`]));
  const read = async () => {
    if (first !== undefined && !(await tell(FIRST, first))) {
      return;
    }
    const response = await call(EVENTS, url, undefined, reading.signal);
    if (response === undefined) {
      return;
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    let data = [];
    for (let part; !(part = await reader.read()).done; ) {
      const lines = part.value.split("\n");
      lines[0] = rest + lines[0];
      rest = lines.pop();
      if (lines.length === 0) {
        hear(ALIVE); // a piece of a large event, on a slow line
      }
      for (const line of lines.map((line) => line.replace(/\r$/, ""))) {
        if (line === "" && data.length > 0) {
          hear(FRAME, data.join("\n"));
          data = [];
        } else if (line.startsWith(":")) {
          hear(ALIVE);
        } else if (line.startsWith("data:")) {
          data.push(line.slice(5).replace(/^ /, ""));
        }
      }
      if (rest.length > LONGEST_EVENT) {
        throw [TOO_LARGE, "an event of the service is larger than a page takes (64 MiB)"];
      }
    }
    throw [BROKEN, "the event stream ended"];
  };
  read().catch(lose);
  let said = Promise.resolve();
  return {
    send(words) {
      said = said.then(() => tell(SEND, words)).catch(lose);
      return 0;
    },
    backlog: () => 0,
    close() {
      hear = () => {}; // what was to be said is said
      reading.abort();
    },
  };
}

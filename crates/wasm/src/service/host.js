// What the larger build has done by the browser in its own language.

/** 32 hexadecimal digits, as the ids on the wire. (`crypto.randomUUID` is missing on pages without https.) */
export const randomId = () => [0, 1].map(() => crypto.getRandomValues(new BigUint64Array(1))[0].toString(16).padStart(16, "0")).join("");

/**
 * The text of an answer. Chromium takes a connection that is cut behind the head for the end of the answer: one that is
 * shorter than it says, and does not end as each of the service's answers does, was cut. (A proxy that packs answers says
 * the length of what it packed.)
 */
async function whole(response, parts) {
  const body = new Blob(parts);
  const text = await body.text();
  const length = Number(response.headers.get("content-length") ?? 0);
  if (body.size < length && !text.trimEnd().endsWith("}")) {
    throw new Error(`the answer was cut: ${body.size} of ${length} bytes came`);
  }
  return text;
}

/**
 * Cookies stay at home, and a redirect is an answer like any other that no call expects: following it would carry the
 * key to wherever it leads.
 */
const call = (method, url, headers, body, signal) =>
  fetch(url, {
    method,
    headers: headers.map((name, at) => [name, headers[at + 1]]).filter((_, at) => at % 2 === 0),
    body,
    signal,
    cache: "no-store",
    credentials: "omit",
    redirect: "manual",
  });

/**
 * One HTTP exchange. Resolves to the answer, or to the reason why there is none: `timedOut`, or the browser's words.
 */
export async function exchange(method, url, headers, body, milliseconds, limit) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), milliseconds);
  try {
    const response = await call(method, url, headers, body, abort.signal);
    const parts = [];
    let size = 0;
    for (let reader = response.body?.getReader(), part; reader && !(part = await reader.read()).done; ) {
      size += part.value.length;
      if (size > limit) {
        abort.abort();
        return { reason: `the answer is longer than ${limit} bytes` };
      }
      parts.push(part.value);
    }
    return {
      status: response.status,
      requestId: response.headers.get("x-request-id") ?? undefined,
      retryAfter: response.headers.get("retry-after") ?? undefined,
      body: await whole(response, parts),
    };
  } catch (error) {
    return { timedOut: abort.signal.aborted, reason: String(error?.message ?? error) };
  } finally {
    clearTimeout(timer);
  }
}

/**
 * One exchange of a part of a file: `body` is sent as it is, and the bytes of an answer 200 or 206 are appended to
 * `parts`, at most `most` of them. Resolves to what came, and in `broken` to why no more did.
 */
export async function exchangeBytes(method, url, headers, body, milliseconds, most, parts) {
  const carried = { received: 0, body: "" };
  const abort = new AbortController();
  let timer;
  const moved = () => {
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(new Error(`nothing moved for ${milliseconds / 1000} s`)), milliseconds);
  };
  moved();
  try {
    const response = await call(method, url, headers, body, abort.signal);
    const header = (name) => response.headers.get(name) ?? undefined;
    Object.assign(carried, {
      status: response.status,
      requestId: header("x-request-id"),
      retryAfter: header("retry-after"),
      etag: header("etag"),
      contentRange: header("content-range"),
    });
    const keeps = most !== undefined && (response.status === 200 || response.status === 206);
    const text = [];
    for (let reader = response.body?.getReader(), part; reader && !(part = await reader.read()).done; ) {
      moved();
      if (!keeps) {
        text.push(part.value);
        continue;
      }
      const fits = part.value.subarray(0, most - carried.received);
      carried.received += fits.length; // no byte that is not kept
      parts.push(fits);
      if (fits.length < part.value.length) {
        throw new Error("more came than was asked for");
      }
    }
    const length = Number(header("content-length") ?? 0);
    if (!keeps) {
      carried.body = await whole(response, text);
    } else if (response.status === 206 && carried.received < length) {
      throw new Error(`the answer was cut: ${carried.received} of ${length} bytes came`);
    }
  } catch (error) {
    carried.broken = String((abort.signal.aborted ? abort.signal.reason : error)?.message ?? error);
    abort.abort();
  } finally {
    clearTimeout(timer);
  }
  return carried;
}

/** `Transferred` of binding.ts. */
export function transferred(meta, parts) {
  if (parts.length === 1) {
    return { meta, bytes: parts[0] };
  }
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return { meta, bytes };
}

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// The objects of binding.ts. What is absent there is null.

export const answer = (requestId, success, code, errorMessage, httpStatus, data) => ({
  requestId,
  success,
  code: code ?? null,
  errorMessage,
  httpStatus: httpStatus ?? null,
  data,
});

/** An `Error` with a `code`, for what a constructor throws. */
export const codedError = (code, message) => Object.assign(new Error(message), { code });

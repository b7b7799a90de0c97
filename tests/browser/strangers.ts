/** What a page's own server must refuse, whichever server it is. */

import assert from "node:assert/strict";
import { request } from "node:http";
import { text } from "node:stream/consumers";

/** Spellings of a file outside of what a page's server means to give out; `NAME` is an absolute path. */
const SPELLINGS = ["NAME", "/.NAME", "/..NAME", "/../../../../../../../..NAME", "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2eNAME", "/sdk/NAME", "/sdk//NAME", "/sdk/file://NAME", "/sdk/..%2f..%2f..%2f..%2f..%2f..NAME", "/@fs/NAME", "/@fsNAME?raw", "/@fsNAME?import&raw"];

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** A request as a program writes it, its path untouched. */
export async function ask(address: string, path: string, { method = "GET", headers = {} }: { method?: string; headers?: Record<string, string> } = {}): Promise<Answer> {
  const { hostname, port } = new URL(address);
  return new Promise((resolve, reject) => {
    request({ hostname, port, path, method, headers }, (response) => {
      text(response).then((body) => resolve({ status: response.statusCode!, body }), reject);
    })
      .on("error", reject)
      .end();
  });
}

/** Fails if the server at `address` gives out `secret`, the content of the file at `path`, under any spelling. */
export async function givesOutNothingElse(address: string, path: string, secret: string): Promise<void> {
  for (const spelling of SPELLINGS) {
    const { body } = await ask(address, spelling.replace("NAME", path));
    assert(!body.includes(secret), `${spelling} gives out a file that is not the page's`);
  }
}

/** Fails if a page of another site can use `address`: to make sessions at `session`, or to read anything under another name. */
export async function answersItsOwnPageOnly(address: string, session: string): Promise<void> {
  const { host, port } = new URL(address);
  const foreign = [
    { host, origin: "https://evil.example" },
    { host, origin: "null" },
    { host, origin: `http://evil.example:${port}` },
    { host: `evil.example:${port}`, origin: `http://evil.example:${port}` }, // a name that was made to lead here
    { host: `localhost.evil.example:${port}` },
  ];
  for (const headers of foreign) {
    const made = await ask(address, session, { method: "POST", headers: { ...headers, "content-type": "text/plain" } });
    assert.equal(made.status, 403, `${JSON.stringify(headers)}: ${made.body}`);
    const read = await ask(address, "/", { headers });
    assert.equal(read.status, 403, JSON.stringify(headers));
  }
  assert.equal((await ask(address, "/", { headers: { host } })).status, 200);
}

/**
 * The page and its back-end: Vite serves the one, two lines with the API key are the other.
 *
 * `npx tsx browser/server.ts [--port 5173]` (or PORT); the SDK finds its key and endpoint as always (AGB_API_KEY, AGB_ENDPOINT).
 */

import { AGB, type Session, type SessionAccess, throwIfFailed } from "agbcloud-sdk";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { parseArgs } from "node:util";
import { createServer as createVite } from "vite";
import { bodyText } from "./body-text.js";
import { listen } from "./listen.js";
import { isOwnPage } from "./own-page.js";

const { values } = parseArgs({ options: { port: { type: "string", default: process.env["PORT"] ?? "5173" } } });
const agb = new AGB();
/** How long a page is let in before it asks again: as long as the service gives by itself. */
const LASTS_S = 900;
/** The sessions that pages were let into, by id. */
const sessions = new Map<string, Session>();

const http = createServer((request, response) => {
  if (!isOwnPage(request)) {
    answer(response, 403, { message: "only for this server's own page" });
  } else if (request.method === "POST" && request.url === "/api/session") {
    giveAccess(request).then(
      (access) => answer(response, 200, { access, lastsS: LASTS_S }),
      (error: unknown) => answer(response, 502, { message: error instanceof Error ? error.message : String(error) }),
    );
  } else {
    vite.middlewares(request, response);
  }
});
const vite = await createVite({
  configFile: new URL("vite.config.ts", import.meta.url).pathname,
  server: { middlewareMode: true, ws: { server: http } },
});

/** A page comes with nothing and gets a session, or with its access, which is then renewed if its session lives. */
async function giveAccess(request: IncomingMessage): Promise<SessionAccess> {
  const { renew } = JSON.parse((await bodyText(request)) || "{}") as { renew?: SessionAccess };
  const known = renew === undefined ? undefined : sessions.get(renew.sessionId);
  if (known !== undefined && renew !== undefined) {
    const renewed = await known.browserAccess({ renew, lastsS: LASTS_S });
    if (renewed.access !== undefined) {
      return renewed.access;
    }
  }
  const { session } = throwIfFailed(await agb.create({ imageId: "agb-code-space-1", labels: { example: "browser" } }));
  sessions.set(session!.sessionId, session!);
  return throwIfFailed(await session!.browserAccess({ lastsS: LASTS_S })).access!;
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(JSON.stringify(body));
}

listen(http, values.port);

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    void Promise.allSettled([...sessions.values()].map((session) => session.delete())).then(() => process.exit());
  });
}

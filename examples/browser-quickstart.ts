import { AGB, throwIfFailed } from "agbcloud-sdk";
import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const agb = new AGB(); // the API key stays on this side
const sdk = new URL("../web/", import.meta.resolve("agbcloud-sdk"));
const files = new Map([["/", new URL("browser-quickstart.html", import.meta.url)]]); // these, and nothing else
for (const name of readdirSync(sdk)) files.set(`/sdk/${name}`, new URL(name, sdk));
const types: Record<string, string> = { html: "text/html", js: "text/javascript", wasm: "application/wasm" };

const server = createServer(async (request, response) => {
  const { host = "", origin } = request.headers;
  const isOwnPage = /^(localhost|127\.0\.0\.1)(:\d+)?$/.test(host) && (origin ?? `http://${host}`) === `http://${host}`;
  const file = files.get(request.url ?? "");
  try {
    if (!isOwnPage) {
      response.writeHead(403).end("only for this server's own page");
    } else if (request.method === "POST" && request.url === "/session") {
      const { session } = throwIfFailed(await agb.create({ imageId: "agb-code-space-1" }));
      const { access } = throwIfFailed(await session!.browserAccess()); // for this session only, for 15 minutes
      response.setHeader("content-type", "application/json").end(JSON.stringify(access));
    } else if (file !== undefined) {
      response.setHeader("content-type", types[file.pathname.split(".").at(-1)!]!).end(await readFile(file));
    } else {
      response.writeHead(404).end("not found");
    }
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});
server.once("error", ({ message }) => (console.error(`${message}: choose another port by PORT`), process.exit(1)));
server.listen(Number(process.env["PORT"] ?? 5173), "127.0.0.1", () => console.log(`http://localhost:${(server.address() as { port: number }).port}`));

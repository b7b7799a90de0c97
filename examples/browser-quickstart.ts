import { AGB, throwIfFailed } from "agbcloud-sdk";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const agb = new AGB(); // the API key stays on this side
const sdk = new URL("../web/", import.meta.resolve("agbcloud-sdk"));
const types: Record<string, string> = { html: "text/html", js: "text/javascript", wasm: "application/wasm" };

const server = createServer(async (request, response) => {
  const path = request.url === "/" ? "/browser-quickstart.html" : request.url!;
  try {
    if (path === "/session") {
      const { session } = throwIfFailed(await agb.create({ imageId: "agb-code-space-1" }));
      const { access } = throwIfFailed(await session!.browserAccess()); // for this session only, for 15 minutes
      response.setHeader("content-type", "application/json").end(JSON.stringify(access));
    } else {
      const file = path.startsWith("/sdk/") ? new URL(path.slice(5), sdk) : new URL(`.${path}`, import.meta.url);
      response.setHeader("content-type", types[path.split(".").at(-1)!] ?? "text/plain").end(await readFile(file));
    }
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});
server.listen(Number(process.env["PORT"] ?? 5173), "127.0.0.1", () => console.log(`http://localhost:${(server.address() as { port: number }).port}`));

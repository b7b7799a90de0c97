// A server with routes, as Express has them, started and called in one cell of JavaScript.
import { AGB, CreateSessionParams } from "agbcloud-sdk";

const program = `
const http = require("http");

const routes = new Map();
const app = {
  get: (path, handler) => routes.set("GET " + path, handler),
  post: (path, handler) => routes.set("POST " + path, handler),
  listen: (port, ready) => server.listen(port, ready),
};
const server = http.createServer(async (req, res) => {
  res.json = (value) => res.setHeader("content-type", "application/json").end(JSON.stringify(value));
  const handler = routes.get(req.method + " " + req.url);
  if (!handler) return res.writeHead(404).end();
  let body = "";
  for await (const chunk of req) body += chunk;
  req.body = body && JSON.parse(body);
  handler(req, res);
});

const users = [{ id: 1, name: "Ada" }];
app.get("/users", (req, res) => res.json(users));
app.post("/users", (req, res) => {
  users.push({ id: users.length + 1, ...req.body });
  res.json(users.at(-1));
});

app.listen(0, async () => {
  const url = "http://localhost:" + server.address().port;
  const post = await fetch(url + "/users", { method: "POST", body: JSON.stringify({ name: "Grace" }) });
  console.log("POST /users", post.status, await post.json());
  console.log("GET /users", await (await fetch(url + "/users")).json());
  console.log("GET /nothing", (await fetch(url + "/nothing")).status);
  server.close();
  server.closeIdleConnections();
});
`;

const agb = new AGB();
const createResult = await agb.create(new CreateSessionParams({ imageId: "agb-code-space-1" }));
if (!createResult.success || !createResult.session) {
  throw new Error(`Session creation failed: ${createResult.errorMessage}`);
}

const session = createResult.session;
try {
  const result = await session.code.run(program, "javascript", 60, true, (chunk) => process.stdout.write(chunk));
  if (!result.success) {
    throw new Error(result.errorMessage);
  }
  const count = await session.code.run("users.length", "javascript");
  console.log(`${count.results[0]?.text} users are still there in the next cell`);
} finally {
  await agb.delete(session);
}

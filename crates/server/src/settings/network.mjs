// Sends what Node's own clients send through the proxy of the environment. Node does that by itself from version 24 on
// (NODE_USE_ENV_PROXY), and before that not at all.
import http from "node:http";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";

const proxy = process.env.HTTPS_PROXY && new URL(process.env.HTTPS_PROXY);
if (proxy && Number(process.versions.node.split(".")[0]) < 24) {
  const isOwn = (host) => host === "localhost" || host === "::1" || /^127\./.test(host);

  /** A connection to a host; TLS if `secure` has the options for it. */
  const open = (host, port, secure, done) => {
    const encrypt = (socket) => {
      const servername = secure.servername || (net.isIP(host) ? "" : host);
      const encrypted = tls.connect({ ...secure, socket, servername, path: undefined });
      encrypted.once("secureConnect", () => { encrypted.off("error", done); done(null, encrypted); }).once("error", done);
    };
    const plain = (socket) => (secure ? encrypt(socket) : done(null, socket));
    if (isOwn(host)) {
      const socket = net.connect({ host, port });
      socket.once("connect", () => { socket.off("error", done); plain(socket); }).once("error", done);
      return;
    }
    const name = net.isIPv6(host) ? `[${host}]` : host;
    http.request({ host: proxy.hostname, port: proxy.port, method: "CONNECT", path: `${name}:${port}`, agent: false })
      .once("connect", (answer, socket) => {
        if (answer.statusCode === 200) return plain(socket);
        socket.destroy();
        done(new Error(answer.statusMessage));
      })
      .once("error", done)
      .end();
  };

  const agent = (Agent, secure) => class extends Agent {
    createConnection(options, done) {
      open(options.host ?? "localhost", options.port, secure && options, done);
    }
  };
  http.globalAgent = new (agent(http.Agent, false))({ keepAlive: true });
  https.globalAgent = new (agent(https.Agent, true))({ keepAlive: true });

  // `fetch` has agents of its own, whose class can be had from the one that it makes when it is first used.
  const plainFetch = globalThis.fetch;
  const key = Symbol.for("undici.globalDispatcher.1");
  let ready = false;
  globalThis.fetch = function fetch(...request) {
    if (!ready) {
      ready = true;
      plainFetch("data:,").catch(() => {});
      const Agent = globalThis[key].constructor;
      const connect = ({ hostname, port, protocol, servername }, done) => {
        const host = hostname.replace(/^\[|\]$/g, "");
        const secure = protocol === "https:";
        open(host, port || (secure ? 443 : 80), secure && { servername, ALPNProtocols: ["http/1.1"] }, done);
      };
      globalThis[key] = new Agent({ connect });
    }
    return plainFetch(...request);
  };
}

/**
 * What a session does beside code, beside what a user would use otherwise: commands beside bubblewrap, streams of files
 * beside `curl` and a static server, links beside HAProxy, and how fast output and changes of files are told.
 *
 * `node --import tsx bench/session.ts [--json] [--runs N] [--megabytes N] [--size N] [--only command|output|small|stream|watch|link|memory]...`,
 * after `cargo build --release -p agb-server -p agb-node`; `cargo xtask bench session` does all of it. See README.md.
 */

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";

import { freePort } from "../node/free-port.ts";
import { program, releaseAddon, type Server, startServer } from "./processes.ts";
import { median, short, table, timed } from "./statistics.ts";

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    runs: { type: "string", default: "3" },
    megabytes: { type: "string", default: "512" },
    /** MiB that are read slowly; 10240 is the ten gigabytes of the goal. */
    size: { type: "string", default: "2048" },
    only: { type: "string", multiple: true, default: [] },
  },
});

process.env["AGB_NATIVE"] ??= releaseAddon();
const { AGB } = await import("agbcloud-sdk");
type Session = NonNullable<Awaited<ReturnType<InstanceType<typeof AGB>["create"]>>["session"]>;

/** One line of the report: ours, theirs, what counts, and the goal for it. */
interface Row {
  readonly what: string;
  readonly ours: number;
  readonly theirs: number | null;
  readonly unit: string;
  /** What is compared with the goal: a ratio, or our own figure where there is nobody else. */
  readonly counts: number;
  readonly goal: string;
  readonly isMet: boolean;
}

/** A server of Python's that gives and takes files, as it comes with the system. */
const STATIC = `
import http.server, sys, os
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        with open(self.translate_path(self.path), "wb") as out:
            while left:
                left -= out.write(self.rfile.read(min(left, 1 << 20)))
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("static listening on http://127.0.0.1:%d" % server.server_port, flush=True)
server.serve_forever()
`;

/** What the web server of a program answers to `/large`: as much as shows the cost of bytes beside that of a request. */
const LARGE = 64 << 20;

/**
 * A web server of a program's. It does as little as it can for a request, because it works on both sides: what it takes
 * hides what is measured.
 */
const WEB = `
import socket, sys, threading
small = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"
head = b"HTTP/1.1 200 OK\\r\\nContent-Length: ${LARGE}\\r\\n\\r\\n"
piece = bytes(1 << 20)
def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    got = b""
    while True:
        more = connection.recv(65536)
        if not more: return connection.close()
        got += more
        while b"\\r\\n\\r\\n" in got:
            asked, got = got.split(b"\\r\\n\\r\\n", 1)
            if asked.split(b" ")[1].split(b"?")[0].endswith(b"/large"):
                connection.sendall(head)
                for _ in range(${LARGE} >> 20): connection.sendall(piece)
            else:
                connection.sendall(small)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
`;

const runs = Number(options.runs);
const MIB = 1 << 20;
const SIZE = Number(options.megabytes) * MIB;
const run = promisify(execFile);
const rows: Row[] = [];
const folder = mkdtempSync(join(tmpdir(), "agb-bench-"));
const key = "bench";
const large = Math.max(SIZE, Number(options.size) * MIB);
const unlimited = ["--calls-per-second", "1000000", "--calls-burst", "1000000", "--file-size", String(large), "--disk", String(4 * large)];
const server = await startServer(program("agb-server"), ["serve", "--listen", "127.0.0.1:0", ...unlimited], {
  pinned: false,
  env: { AGB_API_KEY: key, RUST_LOG: "warn" },
});
try {
  const agb = new AGB({ apiKey: key, config: { endpoint: server.endpoint } });
  const { session, errorMessage } = await agb.create({ imageId: "agb-code-space-1" });
  if (session === undefined || session === null) {
    throw new Error(errorMessage);
  }
  // Memory is the first: what others have left free in the process would hide what it takes.
  const cases: Record<string, (session: Session) => Promise<void>> = { memory, command, output, small, stream, watch, link };
  for (const [name, measure] of Object.entries(cases)) {
    if (options.only.length === 0 || options.only.includes(name)) {
      await measure(session);
    }
  }
  await agb.delete(session);
} finally {
  await server.stop();
  rmSync(folder, { recursive: true });
}
const head = ["", "ours", "theirs", "counts", "goal", ""];
const lines = rows.map(({ what, ours, theirs, unit, counts, goal, isMet }) => [
  what, `${short(ours)} ${unit}`, theirs === null ? "" : `${short(theirs)} ${unit}`, short(counts), goal, isMet ? "met" : "missed",
]);
console.log(options.json ? JSON.stringify({ node: process.version, runs, rows }, null, 2) : table([head, ...lines]));

function beside(what: string, ours: number[], theirs: number[], unit: string, goal: number, isLessBetter: boolean): void {
  const [our, their] = [median(ours), median(theirs)];
  const counts = our / their;
  rows.push({ what, ours: our, theirs: their, unit, counts, goal: `${isLessBetter ? "≤" : "≥"} ${goal} ×`, isMet: isLessBetter ? counts <= goal : counts >= goal });
}

function alone(what: string, ours: number, unit: string, goal: number, isLessBetter: boolean): void {
  rows.push({ what, ours, theirs: null, unit, counts: ours, goal: `${isLessBetter ? "<" : "≥"} ${goal} ${unit}`, isMet: isLessBetter ? ours < goal : ours >= goal });
}

/** `true` in a shell, in turn with bubblewrap. */
async function command({ command }: Session): Promise<void> {
  const bare = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all", "sh", "-c", "true"];
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let at = 0; at < runs * 50; at += 1) {
    ours.push(await timed(async () => {
      const { success, errorMessage } = await command.execute("true", 10_000);
      if (!success) {
        throw new Error(errorMessage);
      }
    }));
    theirs.push(await timed(() => run("bwrap", bare)));
  }
  beside('command.execute("true"), bubblewrap', ours, theirs, "ms", 1.5, true);
}

/** From a command's write to the callback in Node. Both read one clock: the command writes what it says. */
async function output({ command }: Session): Promise<void> {
  const took: number[] = [];
  const script = `import sys, time\nfor _ in range(${runs * 200}):\n    print(time.clock_gettime_ns(time.CLOCK_REALTIME), flush=True)\n    time.sleep(0.005)\n`;
  const begin = performance.timeOrigin;
  const onStdout = (text: string): void => {
    const now = begin + performance.now();
    for (const line of text.split("\n").filter(Boolean)) {
      took.push(now - Number(BigInt(line)) / 1e6);
    }
  };
  const { success, errorMessage } = await command.execute(`python3 -c '${script}'`, { timeoutMs: 120_000, onStdout });
  if (!success || took.length !== runs * 200) {
    throw new Error(errorMessage || `${took.length} lines came`);
  }
  alone("a command's output, from the write to the callback", median(took), "ms", 1, true);
}

/** A thousand small files, written and read back, 16 at once. */
async function small({ file }: Session): Promise<void> {
  const [count, content] = [1000, "x".repeat(1000)];
  await file.mkdir("/tmp/small");
  const each = async (work: (at: number) => Promise<{ success: boolean; errorMessage: string }>): Promise<number> => {
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let at; (at = next++) < count; ) {
        const { success, errorMessage } = await work(at);
        if (!success) {
          throw new Error(errorMessage);
        }
      }
    };
    return timed(() => Promise.all(Array.from({ length: 16 }, worker)));
  };
  const rates: number[] = [];
  for (let at = 0; at < runs; at += 1) {
    const took = (await each((n) => file.write(`/tmp/small/${n}`, content))) + (await each((n) => file.read(`/tmp/small/${n}`)));
    rates.push((2 * count) / (took / 1000));
  }
  alone("1,000 small files written and read", median(rates), "calls/s", 2000, false);
}

/** A large file both ways, in turn with curl and a static server. */
async function stream({ file, command }: Session): Promise<void> {
  await command.execute(`head -c ${SIZE} /dev/zero > /tmp/large`, 120_000);
  const local = join(folder, "large");
  writeFileSync(local, "");
  truncateSync(local, SIZE);
  const script = join(folder, "static.py");
  writeFileSync(script, STATIC);
  const other = await inFolder(folder, () => startServer("python3", [script], { pinned: false }));
  try {
    const [down, curlDown, up, curlUp]: [number[], number[], number[], number[]] = [[], [], [], []];
    const piece = Buffer.alloc(MIB);
    for (let at = 0; at < runs; at += 1) {
      down.push(await timed(async () => {
        let count = 0;
        for await (const bytes of file.readStream("/tmp/large")) {
          count += bytes.length;
        }
        if (count !== SIZE) {
          throw new Error(`${count} of ${SIZE} bytes came`);
        }
      }));
      curlDown.push(await timed(() => run("curl", ["-sf", "-o", "/dev/null", `${other.endpoint}/large`])));
      up.push(await timed(async () => {
        const writer = file.writeStream("/tmp/up").getWriter();
        for (let sent = 0; sent < SIZE; sent += MIB) {
          await writer.write(piece);
        }
        await writer.close();
      }));
      curlUp.push(await timed(() => run("curl", ["-sf", "-T", local, `${other.endpoint}/up`])));
    }
    const rate = (took: number[]): number[] => took.map((each) => SIZE / MIB / (each / 1000));
    beside("file.readStream, curl", rate(down), rate(curlDown), "MiB/s", 0.7, false);
    beside("file.writeStream, curl", rate(up), rate(curlUp), "MiB/s", 0.7, false);
  } finally {
    await other.stop();
  }
}

/** From the call that writes to the event of it. */
async function watch({ file }: Session): Promise<void> {
  await file.mkdir("/tmp/watched");
  const events = file.watch("/tmp/watched");
  await events.ready;
  const took: number[] = [];
  for (let at = 0; at < runs * 30; at += 1) {
    const begin = performance.now();
    void file.write(`/tmp/watched/${at}`, "x");
    for await (const { path } of { [Symbol.asyncIterator]: () => ({ next: () => events.next() }) }) {
      if (path.endsWith(`/${at}`)) {
        break;
      }
    }
    took.push(performance.now() - begin);
    await sleep(20);
  }
  await events.return();
  alone("file.watch, from the write to the event", median(took), "ms", 20, true);
}

/** A program's web server through its link, in turn with the same program behind HAProxy. */
async function link(session: Session): Promise<void> {
  const { command, file } = session;
  await file.write("/tmp/web.py", WEB);
  await command.execute("nohup python3 /tmp/web.py 30100 > /tmp/web.log 2>&1 &", 10_000);
  const { data: url = "", errorMessage } = await session.getLink("http", 30100);
  if (url === "") {
    throw new Error(errorMessage);
  }
  const haproxy = fileURLToPath(new URL("../../target/tools/haproxy/usr/", import.meta.url)); // as `xtask bench` unpacks it
  const libraries = { ...process.env, LD_LIBRARY_PATH: join(haproxy, `lib/${{ arm64: "aarch64" }[process.arch as string] ?? "x86_64"}-linux-gnu`) };
  const script = join(folder, "web.py");
  writeFileSync(script, WEB);
  const [port, front] = [await freePort(), await freePort()];
  const config = `defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\nfrontend f\n bind 127.0.0.1:${front}\n default_backend b\nbackend b\n server s 127.0.0.1:${port}\n`;
  writeFileSync(join(folder, "haproxy.cfg"), config);
  const children = [
    spawn("python3", [script, String(port)], { stdio: "ignore" }),
    spawn(join(haproxy, "sbin/haproxy"), ["-f", join(folder, "haproxy.cfg")], { stdio: "ignore", env: libraries }),
  ];
  try {
    const [ours, theirs]: [number[], number[]] = [[], []];
    await Promise.all([requests(url, 50), requests(`http://127.0.0.1:${front}/`, 50)]);
    for (let at = 0; at < runs; at += 1) {
      ours.push(2000 / ((await timed(() => requests(url, 2000))) / 1000));
      theirs.push(2000 / ((await timed(() => requests(`http://127.0.0.1:${front}/`, 2000))) / 1000));
    }
    beside("a link, HAProxy", ours, theirs, "requests/s", 0.7, false);
    const [our, their]: [number[], number[]] = [[], []];
    const large = new URL("large", url.replace(/\/?$/, "/")).href;
    for (let at = 0; at < runs * 3; at += 1) {
      our.push(LARGE / MIB / ((await timed(() => download(large))) / 1000));
      their.push(LARGE / MIB / ((await timed(() => download(`http://127.0.0.1:${front}/large`))) / 1000));
    }
    beside("a link, HAProxy", our, their, "MiB/s", 0.7, false);
  } finally {
    for (const child of children) {
      const ended = once(child, "exit");
      child.kill();
      await ended;
    }
  }
}

/** All of it, by a program that does nothing else. */
async function download(url: string): Promise<void> {
  const { stdout } = await run("curl", ["-sf", "-o", "/dev/null", "-w", "%{size_download}", url]);
  if (Number(stdout) !== LARGE) {
    throw new Error(`${stdout} of ${LARGE} bytes came from ${url}`);
  }
}

/** So many GETs over 16 connections; until the program listens they are made again. */
async function requests(url: string, count: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  let left = count;
  const one = (): Promise<boolean> =>
    new Promise((resolve) => {
      request(url, { agent }, (response) => {
        response.resume().once("end", () => resolve(response.statusCode === 200));
      }).once("error", () => resolve(false)).end();
    });
  const until = performance.now() + 30_000;
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      while (!(await one())) {
        if (performance.now() > until) {
          throw new Error(`${url} does not answer`);
        }
        await sleep(10);
      }
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  agent.destroy();
}

/** Memory of both sides while a slow reader takes a large file: 4 MiB and then a pause. */
async function memory({ file, command }: Session): Promise<void> {
  const size = Number(options.size) * MIB;
  const { success, errorMessage } = await command.execute(`truncate -s ${size} /tmp/sparse`, 10_000);
  if (!success) {
    throw new Error(`no file of ${size} bytes: ${errorMessage}`);
  }
  const before = { client: process.memoryUsage.rss(), server: resident(server) };
  let [count, client, ours] = [0, 0, 0];
  for await (const bytes of file.readStream("/tmp/sparse")) {
    count += bytes.length;
    client = Math.max(client, process.memoryUsage.rss() - before.client);
    ours = Math.max(ours, resident(server) - before.server);
    await sleep(2);
  }
  if (count !== size) {
    throw new Error(`${count} of ${size} bytes came`);
  }
  alone(`memory of the client, ${size / MIB} MiB read slowly`, client / MIB, "MiB", 64, true);
  alone(`memory of the server, ${size / MIB} MiB read slowly`, ours / MIB, "MiB", 64, true);
}

function resident({ pid }: Server): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
}

async function inFolder<T>(path: string, work: () => Promise<T>): Promise<T> {
  const before = process.cwd();
  process.chdir(path);
  try {
    return await work();
  } finally {
    process.chdir(before);
  }
}

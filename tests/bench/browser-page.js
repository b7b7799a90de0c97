// What runs in the page: the SDK, its worker entry, the SDK in a worker of the page, and thirty lines that do without it. All count characters.

async function plain(access, code, take) {
  const socket = new WebSocket(access.wsUrl, ["agb.v1", `agb.token.${access.token}`]);
  await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }));
  const id = crypto.randomUUID().replaceAll("-", "");
  const logs = [];
  await new Promise((resolve, reject) => {
    const runs = new Map([[id, { take, resolve, reject }]]);
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      const run = runs.get(message.invocationId);
      if (run === undefined) return;
      const { phase, eventType, chunk } = message.data;
      if (phase === "event" && eventType === "stdout") {
        logs.push(chunk);
        run.take(chunk);
      } else if (phase === "end") {
        run.resolve();
      }
    };
    const params = { language: "python", timeoutS: 600, code };
    socket.send(JSON.stringify({ invocationId: id, source: "SDK", target: "wuying_codespace", data: { method: "run_code", mode: "stream", params } }));
  });
  socket.close();
}

async function sdk(access, code, take) {
  const { Session } = await import("/sdk/index.js");
  const result = await Session.attach(access).code.run(code, "python", 600, { onStdout: take, logLimit: 1 << 30 });
  if (!result.success) throw new Error(result.errorMessage);
}

async function entry(access, code, take) {
  const { Session } = await import("/sdk/worker.js");
  const result = await Session.attach(access).code.run(code, "python", 600, { onStdout: take, logLimit: 1 << 30 });
  if (!result.success) throw new Error(result.errorMessage);
}

/** A worker of the page's own, with the SDK in it. */
async function worker(access, code, take) {
  const thread = new Worker("/worker.js", { type: "module" });
  try {
    await new Promise((resolve, reject) => {
      thread.onerror = ({ message }) => reject(new Error(message));
      thread.onmessage = ({ data: { ended, errorMessage, text, chunks } }) => {
        if (!ended) take(text, chunks);
        else if (errorMessage === "") resolve();
        else reject(new Error(errorMessage));
      };
      thread.postMessage({ access, code });
    });
  } finally {
    thread.terminate();
  }
}

const clients = { plain, sdk, entry, worker };

globalThis.measure = async (client, access, { n, s }) => {
  let [chunks, characters, longest] = [0, 0, 0];
  const take = (chunk, count = 1) => {
    chunks += count;
    characters += chunk.length;
  };
  const watch = new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => (longest = Math.max(longest, duration))));
  watch.observe({ entryTypes: ["longtask"] });
  const run = clients[client];
  const began = performance.now();
  await run(access, `blast n=${n} s=${s}`, take);
  const seconds = (performance.now() - began) / 1000;
  watch.takeRecords().forEach(({ duration }) => (longest = Math.max(longest, duration)));
  watch.disconnect();
  if (characters !== n * s) throw new Error(`${characters} characters came, not ${n * s}`);
  return { seconds, chunks, characters, longest };
};

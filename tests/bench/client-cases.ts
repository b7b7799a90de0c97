/** What `client.ts` measures. */

/** One client of the load server. */
export interface Client {
  readonly name: string;
  readonly script: string;
  /** Says which extensions the load server announces; see `agb_testkit::load`. */
  readonly image: string;
  /** The entry of another build of the SDK. */
  readonly sdk?: string;
}

/** What the load server sends. */
export interface Load {
  /** Chunks. */
  readonly n: number;
  /** Bytes of UTF-8 in each. */
  readonly s: number;
  /** More words of the run's code. */
  readonly words?: string;
  /** A character is a byte. */
  readonly ascii: boolean;
  /** Chunks begin with the time of their making. */
  readonly stamped: boolean;
  /** Chunks a second; `undefined`: as many as the socket takes. */
  readonly rate?: number;
}

export interface Case {
  readonly name: string;
  readonly load: Load;
  readonly warmUp: Load;
  /** The baseline first. */
  readonly clients: readonly Client[];
  /** At least so many times the throughput, and at most one part in so many of the main thread's CPU. */
  readonly goal?: { readonly throughput: number; readonly mainCpu: number };
  /** Only with `--all`, or by name. */
  readonly extra: boolean;
}

const WS: Client = { name: "ws", script: "client-ws.mjs", image: "load" };
const SDK: Client = { name: "sdk", script: "client-sdk.mjs", image: "load" };
/** The same with numbers and acknowledgements: what they cost shows beside `sdk`. */
const SDK_FLOW: Client = { name: "sdk, flow", script: "client-sdk.mjs", image: "load.resume.flow" };

const SIZES = [
  { name: "64 B", n: 600_000, s: 64, goal: { throughput: 3, mainCpu: 12 } },
  { name: "1 KiB", n: 200_000, s: 1024, goal: { throughput: 2, mainCpu: 5 } },
  { name: "64 KiB", n: 5_000, s: 65_536, goal: { throughput: 1.8, mainCpu: 4 } },
] as const;

const flatOut = SIZES.flatMap(({ name, n, s, goal }) =>
  [true, false].map((ascii): Case => {
    const load: Load = { n, s, ascii, stamped: false, ...(ascii ? {} : { words: "utf8=1" }) };
    const clients = ascii ? [WS, SDK, SDK_FLOW] : [WS, SDK];
    return { name: ascii ? name : `${name} Chinese`, load, warmUp: shorter(load), clients, goal, extra: false };
  }),
);

/** A chunk now and then: 600 chunks, 5 ms apart. */
const idle: Case = {
  name: "idle",
  load: { n: 600, s: 64, ascii: true, stamped: true, words: "pace us=5000" },
  warmUp: { n: 100, s: 64, ascii: true, stamped: true, words: "pace us=5000" },
  clients: [WS, SDK],
  extra: false,
};

const rates = [1_000, 10_000, 100_000, 200_000].map((rate): Case => {
  const load: Load = { n: rate * 2, s: 64, ascii: true, stamped: false, rate, words: `rate=${rate}` };
  const warmUp: Load = { n: 20_000, s: 64, ascii: true, stamped: false };
  return { name: `${rate / 1000},000 a second`, load, warmUp, clients: [WS, SDK, SDK_FLOW], extra: rate !== 100_000 };
});

export const CASES: readonly Case[] = [...flatOut, idle, ...rates];

/** Enough for the compilers to be through with it. */
function shorter(load: Load): Load {
  return { ...load, n: Math.min(30_000, Math.ceil(load.n / 10)) };
}

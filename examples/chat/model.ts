/**
 * A scripted model in the place of a real one, so that the example needs no key: it answers with a program, looks at what
 * the program printed, and says so. `streamText` does not know the difference: give it `openai("…")` instead.
 *
 * @module
 */

import { simulateReadableStream } from "ai";
import { MockLanguageModelV3 } from "ai/test";

type StreamResult = Awaited<ReturnType<MockLanguageModelV3["doStream"]>>;
type Part = StreamResult["stream"] extends ReadableStream<infer T> ? T : never;
type Prompt = Parameters<MockLanguageModelV3["doStream"]>[0]["prompt"];

/** What it knows to do; the first one that fits the question. */
const PROGRAMS: readonly { readonly fits: RegExp; readonly says: string; readonly code: string }[] = [
  {
    fits: /prime/i,
    says: "I count primes by a sieve, a block at a time.",
    code: `import time
total, sieve = 0, bytearray([1]) * 100_001
for n in range(2, 100_001):
    if sieve[n]:
        total += 1
        sieve[n * n :: n] = bytes(len(range(n * n, 100_001, n)))
    if n % 20_000 == 0:
        print(f"{total:6,} primes up to {n:7,}")
        time.sleep(0.4)`,
  },
  {
    fits: /wrong|error|fail/i,
    says: "I divide by zero, to show what a failed program looks like.",
    code: "print('about to fail')\n1 / 0",
  },
  {
    fits: /long|stop|wait/i,
    says: "This takes a minute. Press Stop whenever you like.",
    code: "import time\nfor second in range(60):\n    print(second, end=' ', flush=True)\n    time.sleep(1)",
  },
  {
    fits: /./s,
    says: "I throw 100 dice, 20 at a time.",
    code: `import random, time
counts = dict.fromkeys(range(1, 7), 0)
for _ in range(5):
    for _ in range(20):
        counts[random.randint(1, 6)] += 1
    time.sleep(0.4)
    print("  ".join(f"{face}: {'#' * count}" for face, count in counts.items()))`,
  },
];

/** A word each 30 ms, as models write. */
const words = (text: string): Part[] => [
  { type: "text-start", id: "1" },
  ...(text.match(/\S+\s*/g) ?? []).map((delta): Part => ({ type: "text-delta", id: "1", delta })),
  { type: "text-end", id: "1" },
];

const finish = (unified: "stop" | "tool-calls"): Part => ({
  type: "finish",
  finishReason: { unified, raw: undefined },
  usage: { inputTokens: { total: 0, noCache: 0, cacheRead: 0, cacheWrite: 0 }, outputTokens: { total: 0, text: 0, reasoning: 0 } },
});

function answer(prompt: Prompt): Part[] {
  const last = prompt.at(-1);
  if (last?.role === "tool") {
    const [result] = last.content.filter((part) => part.type === "tool-result");
    const { status } = (result?.output as { value?: { status?: string } } | undefined)?.value ?? {};
    return [...words(status === "finished" ? "Done: that is what the program printed." : `The program ended as ${status}.`), finish("stop")];
  }
  const question = last?.role === "user" ? last.content.map((part) => (part.type === "text" ? part.text : "")).join(" ") : "";
  const { says, code } = PROGRAMS.find(({ fits }) => fits.test(question)) ?? PROGRAMS.at(-1)!;
  return [...words(says), { type: "tool-call", toolCallId: String(prompt.length), toolName: "runPython", input: JSON.stringify({ code }) }, finish("tool-calls")];
}

export const scriptedModel = new MockLanguageModelV3({
  doStream: async ({ prompt }) => ({ stream: simulateReadableStream({ chunks: answer(prompt), chunkDelayInMs: 30 }) }),
});

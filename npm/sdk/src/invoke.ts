import type { Answer, NativeCall } from "./binding.js";
import { call, type CallOptions } from "./call.js";
import { noAnswer } from "./results.js";

/** What carries out procedures of the core: an account or a session. */
export interface Invoker {
  invoke(name: string, argsJson: string): NativeCall<string>;
}

/**
 * @internal Carries out a procedure of the core. The core checks the arguments: wrong ones resolve with the code
 * `BAD_ARGUMENTS`.
 */
export async function invoke<T>(on: Invoker, name: string, args: object, options?: CallOptions | null): Promise<Answer<T>> {
  const argsJson = toJson(args, keepOddValues);
  if ("failure" in argsJson) {
    return argsJson.failure;
  }
  const answer = await call(options, () => on.invoke(name, argsJson.value));
  return { ...answer, data: answer.data === null ? null : (JSON.parse(answer.data) as T) };
}

/** @internal Arguments as JSON, or the failure for what has no such form: circles, what is nested too deep. */
export function toJson(
  args: object,
  replacer?: (name: string, value: unknown) => unknown,
): { readonly value: string } | { readonly failure: Answer<never> } {
  try {
    return { value: JSON.stringify(args, replacer) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : "one of them threw";
    return { failure: noAnswer("BAD_ARGUMENTS", `the arguments cannot be written as JSON: ${reason}`) };
  }
}

/**
 * JSON writes `NaN` as `null` and leaves functions and symbols out, which would mean the default. As an object, which no
 * single argument is, they are refused.
 */
function keepOddValues(_: string, value: unknown): unknown {
  const isOdd = typeof value === "number" ? !Number.isFinite(value) : ["bigint", "function", "symbol"].includes(typeof value);
  return isOdd ? { odd: String(value) } : value;
}

/** @internal What a peer or a program wrote as JSON; what is none stays text. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

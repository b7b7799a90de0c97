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
  let argsJson: string;
  try {
    argsJson = JSON.stringify(args, keepOddNumbers);
  } catch (error) {
    return noAnswer("BAD_ARGUMENTS", `the arguments cannot be written as JSON: ${error instanceof Error ? error.message : error}`);
  }
  const answer = await call(options, () => on.invoke(name, argsJson));
  return { ...answer, data: answer.data === null ? null : (JSON.parse(answer.data) as T) };
}

/** JSON writes `NaN` and `Infinity` as `null`, which would mean the default: as texts they are refused. */
function keepOddNumbers(_: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

import { describe } from "./check.js";

/** An `AbortSignal`, from whichever library. */
export interface StopSignal {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** @internal A signal, or nothing. */
export function checkedSignal(value: unknown): StopSignal | null {
  if (value === undefined || value === null) {
    return null;
  }
  if (typeof value !== "object" || !("aborted" in value) || !("addEventListener" in value)) {
    throw new TypeError(`signal must be an AbortSignal, not ${describe(value)}`);
  }
  return value as StopSignal;
}

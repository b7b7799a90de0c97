/** What `wasm-bindgen` makes of `crates/wasm`; the build puts it in place of the name `#wasm`. */

import type { Batch, RunResult } from "../binding.js";

type Absent = null | undefined;

export default function init(options?: {
  module_or_path: string | URL | Request | Response | BufferSource | WebAssembly.Module;
}): Promise<unknown>;
export function setLogger(level: number, sink: (level: "debug" | "trace", target: string, message: string) => void): void;
export function attach(access: string): NativeSession;

export class NativeSession {
  stream(
    code: string,
    language: string,
    timeoutS: number,
    logLimit: number | Absent,
    resultLimit: number | Absent,
    stamps: boolean,
    stdin: boolean,
    wake: () => void,
  ): NativeRun | RunResult;
  attachRun(
    id: string,
    after: number,
    logLimit: number | Absent,
    resultLimit: number | Absent,
    stamps: boolean,
    wake: () => void,
  ): NativeRun | RunResult;
}

export class NativeRun {
  readonly id: string;
  take(): Batch | null;
  cancel(): void;
  write(text: string | Absent): void;
  result(): RunResult | null;
}

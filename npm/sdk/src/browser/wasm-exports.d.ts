/** What `wasm-bindgen` makes of `crates/wasm`; the build puts it in place of the name `#wasm`. */

import type { Batch, RunResult } from "../binding.js";

type Absent = null | undefined;

/** Loads the module from whatever names or holds it. What is none of these is for the browser to say. */
export default function init(from: { module_or_path: unknown }): Promise<unknown>;
export function setLogger(level: number, sink: (level: "debug" | "trace", target: string, message: string) => void): void;
export function attach(
  sessionId: string,
  wsUrl: string,
  linkUrl: string | Absent,
  token: string,
  extensions: string,
  target: string | Absent,
): NativeSession;

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
  /** `envs` are names and values by turns; `pty` is columns and rows, or empty. */
  command(
    command: string,
    timeoutMs: number | Absent,
    cwd: string | Absent,
    envs: string[],
    stdin: boolean,
    pty: Uint16Array,
    detached: boolean,
    logLimit: number | Absent,
    stamps: boolean,
    wake: () => void,
  ): NativeRun | RunResult;
  attachRun(
    id: string,
    after: number,
    logLimit: number | Absent,
    resultLimit: number | Absent,
    stamps: boolean,
    goesOn: boolean,
    wake: () => void,
  ): NativeRun | RunResult;
}

export class NativeRun {
  readonly id: string;
  /** After the end: why no stream of it got through, if nothing of it was sent. */
  readonly unsent: string | undefined;
  take(): Batch | null;
  cancel(): void;
  write(text: string | Absent): void;
  signal(name: string): void;
  resize(cols: number, rows: number): void;
  leave(): void;
  result(): RunResult | null;
}

/** What `wasm-bindgen` makes of `crates/wasm` with the feature `account`; the build puts it in place of `#account`. */

import { type attach as attachStreaming, NativeSession as StreamingSession } from "#wasm";
import type { Answer, RunResult, Transferred } from "../binding.js";

export { default, NativeRun, setLogger } from "#wasm";

type Absent = null | undefined;

export function attach(...access: Parameters<typeof attachStreaming>): NativeSession;

export class Client {
  constructor(apiKey: string | Absent, endpoint: string | Absent, timeoutMs: number | Absent);
  readonly endpoint: string;
  readonly timeoutMs: number;
  createSession(
    imageId: string,
    labels: string[],
    idleRelease: number | Absent,
    mcpPolicyId: string | Absent,
    contextId: string | Absent,
    persistence: string | Absent,
    options: string | Absent,
    sdkVersion: string,
  ): Promise<Answer<NativeSession>>;
  getSession(sessionId: string): Promise<Answer<NativeSession>>;
  deleteSession(sessionId: string): Promise<Answer<null>>;
  invoke(name: string, argsJson: string): Promise<Answer<string>>;
}

export class NativeSession extends StreamingSession {
  readonly sessionId: string;
  readonly imageId: string | undefined;
  readonly resourceUrl: string | undefined;
  readonly appInstanceId: string | undefined;
  readonly resourceId: string | undefined;
  readonly extensions: string[];
  invoke(name: string, argsJson: string): Promise<Answer<string>>;
  transfer(name: string, argsJson: string, bytes: Uint8Array | Absent): Promise<Answer<Transferred>>;
  describe(): string;
  delete(): Promise<Answer<null>>;
  run(code: string, language: string, timeoutS: number, logLimit: number | Absent, resultLimit: number | Absent, unstreamed: string | Absent): Promise<RunResult>;
}

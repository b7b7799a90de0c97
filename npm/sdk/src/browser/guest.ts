import type {
  Answer,
  AttachRequest,
  CommandRequest,
  NativeRun,
  NativeSession,
  RunRequest,
  RunResult,
  Transferred,
} from "../binding.js";
import type { SessionAccess } from "../session-access.js";
import { noAnswer } from "../results.js";
import { resultOf } from "./run.js";

/** What a page without the API key gets from whatever needs it; nothing is loaded or sent for that. */
const needsKey = async (): Promise<Answer<never>> =>
  noAnswer("NO_API_KEY", "this page was let into the session by its server and holds no API key; ask that server to do it");

/** What needs it, of a session's own procedures: the others go over its link, or find out themselves. */
const WITH_KEY = new Set(["session.status", "session.keepAlive", "session.setLabels", "session.labels", "session.info", "session.access"]);

/** A session that this page was let into, wherever it runs. */
export abstract class Guest implements NativeSession {
  readonly sessionId: string;
  readonly extensions: readonly string[];
  readonly imageId = null;
  readonly resourceUrl = null;
  readonly appInstanceId = null;
  readonly resourceId = null;
  protected readonly access: SessionAccess;

  constructor(access: string) {
    this.access = JSON.parse(access) as SessionAccess;
    this.sessionId = this.access.sessionId;
    this.extensions = this.access.extensions ?? [];
  }

  readonly delete = needsKey;

  invoke(name: string, argsJson: string): Promise<Answer<string>> {
    return WITH_KEY.has(name) ? needsKey() : this.call(name, argsJson);
  }

  describe(): string {
    const { linkUrl = "", wsUrl, token } = this.access;
    return JSON.stringify({ linkUrl, wsUrl, token, status: "", tools: [] });
  }

  /** Carries out a procedure that may need no key. */
  protected abstract call(name: string, argsJson: string): Promise<Answer<string>>;
  abstract transfer(name: string, argsJson: string, bytes: Uint8Array | null): Promise<Answer<Transferred>>;
  abstract stream(request: RunRequest, wake: () => void): NativeRun;
  abstract command(request: CommandRequest, wake: () => void): NativeRun;
  abstract attach(request: AttachRequest, wake: () => void): NativeRun;
  abstract attachCommand(request: AttachRequest, wake: () => void): NativeRun;

  /** All output with the result: a stream that nobody watches. */
  run(request: RunRequest): Promise<RunResult> {
    return resultOf((wake) => this.stream(request, wake));
  }
}

import type { NativeSession } from "./binding.js";
import { bindMethods } from "./bind-methods.js";
import type { CallOptions } from "./call.js";
import { checkObject, describe } from "./check.js";
import { invoke } from "./invoke.js";
import { type ApiResult, apiResult } from "./results.js";

/** Options of {@link Command.execute}, in place of its positions. */
export interface CommandOptions extends CallOptions {
  /** Milliseconds after which the command is terminated. Default 1000. */
  timeoutMs?: number | undefined;
  /** Folder that the command starts in. Default: the session's own. */
  cwd?: string | undefined;
  /** Environment variables for this command, beside those of the session. */
  envs?: Readonly<Record<string, string>> | undefined;
}

/** Result of {@link Command.execute}. */
export interface CommandResult extends ApiResult {
  /** Whether the command ended with the exit code 0. */
  readonly success: boolean;
  /** `stdout`, and `stderr` behind it. */
  readonly output: string;
  /** The command's exit code; -1 for a command that did not run. */
  readonly exitCode: number;
  /** What the command printed. */
  readonly stdout: string;
  /** What the command printed to standard error. */
  readonly stderr: string;
  /** The service's id for a failure; empty on success. */
  readonly traceId: string;
}

type Outcome = Omit<CommandResult, keyof ApiResult> & { readonly success: boolean; readonly errorMessage: string };

/** Runs shell commands in a session; see {@link Session.command}. */
export class Command {
  readonly #native: NativeSession;

  /** @internal */
  constructor(native: NativeSession) {
    this.#native = native;
    bindMethods(this);
  }

  /**
   * Runs a command in a shell of its own. Files and installed programs stay for the next command; `cd` and `export` do
   * not.
   *
   * ```ts
   * const { success, stdout, errorMessage } = await session.command.execute("ls -la", 5000, "/tmp");
   * ```
   *
   * It resolves for a command that fails, too: see `success`, `exitCode` and `errorMessage`.
   *
   * @param timeoutMs Milliseconds after which the command is terminated.
   * @param cwd Folder that the command starts in.
   * @param envs Environment variables for this command.
   * @throws TypeError (as a rejection) when an environment variable is not a string; nothing is sent then.
   */
  execute(
    command: string,
    timeoutMs?: number | null,
    cwd?: string | null,
    envs?: Readonly<Record<string, string>> | null,
    options?: CallOptions | null,
  ): Promise<CommandResult>;
  /** The same with the options by name. */
  execute(command: string, options: CommandOptions): Promise<CommandResult>;
  async execute(
    command: string,
    timeoutOrOptions?: number | CommandOptions | null,
    cwd?: string | null,
    envs?: Readonly<Record<string, string>> | null,
    options?: CallOptions | null,
  ): Promise<CommandResult> {
    const byName = typeof timeoutOrOptions === "object" && timeoutOrOptions !== null ? timeoutOrOptions : null;
    const { signal, ...given } = byName ?? { timeoutMs: timeoutOrOptions, cwd, envs, signal: options?.signal };
    checkEnvironment(given.envs);
    const answer = await invoke<Outcome>(this.#native, "command.execute", { command, ...given }, { signal });
    const { data } = answer;
    if (data === null) {
      return { ...apiResult(answer), output: "", exitCode: -1, stdout: "", stderr: "", traceId: "" };
    }
    return { ...apiResult(answer), ...data, ...(data.success ? {} : { code: "COMMAND_FAILED" }) };
  }

  /** {@link Command.execute}. */
  get run(): Command["execute"] {
    return this.execute;
  }

  /** {@link Command.execute}. */
  get exec(): Command["execute"] {
    return this.execute;
  }
}

function checkEnvironment(envs: unknown): void {
  if (envs === undefined || envs === null) {
    return;
  }
  checkObject("envs, the environment variables,", envs);
  for (const [name, value] of Object.entries(envs)) {
    if (typeof value !== "string") {
      throw new TypeError(`the environment variable ${name} must be a string, not ${describe(value)}`);
    }
  }
}

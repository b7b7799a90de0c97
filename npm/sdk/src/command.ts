import type { Answer, CommandRequest, NativeRun, NativeSession } from "./binding.js";
import { bindMethods } from "./bind-methods.js";
import type { CallOptions } from "./call.js";
import { checkObject, checkOptionalFlag, checkOptionalNumber, checkOptionalString, checkString, describe } from "./check.js";
import type { CommandResult, CommandStatus } from "./command-result.js";
import { checkedSide, CommandRun } from "./command-run.js";
import { CANCELLED_RUN } from "./execution-result.js";
import { invoke } from "./invoke.js";
import { type ApiResult, apiResult, checkedOr, present } from "./results.js";
import { checkedCallbacks, checkedCount, checkNames, type ErrorCallback, type OutputCallback } from "./run-options.js";
import { checkedSignal, type StopSignal } from "./stop-signal.js";

/** Options of {@link Command.execute}, in place of its positions. */
export interface CommandOptions extends CallOptions {
  /** Milliseconds after which the command is terminated. Default 1000. */
  timeoutMs?: number | undefined;
  /** Folder that the command starts in. Default: the session's own. */
  cwd?: string | undefined;
  /** Environment variables for this command, beside those of the session. */
  envs?: Readonly<Record<string, string>> | undefined;
  /** Gets what the command prints, while it runs where the service offers that, else with its end. */
  onStdout?: OutputCallback | null | undefined;
  /** Gets what the command prints to standard error, likewise. */
  onStderr?: OutputCallback | null | undefined;
}

/** Options of {@link Command.stream}. */
export interface CommandStreamOptions {
  /** Folder that the command starts in. Default: the session's own. */
  readonly cwd?: string | null | undefined;
  /** Environment variables for this command, beside those of the session. */
  readonly envs?: Readonly<Record<string, string>> | null | undefined;
  /**
   * Milliseconds after which the command is killed. Default 60 000; with `pty` or `detached` as long as the service lets
   * anything run.
   */
  readonly timeoutMs?: number | null | undefined;
  /**
   * A text that is all of its input; `true` for input by {@link CommandRun.write}, `false` for none. Default `true`, with
   * `detached` and without `pty` `false`.
   */
  readonly stdin?: string | boolean | null | undefined;
  /** Stops the command when it is aborted (`AbortController.signal`). */
  readonly signal?: StopSignal | null | undefined;
  /** Gives it a terminal of this size, in characters: job control, full-screen programs. What it shows is `stdout`. */
  readonly pty?: { readonly cols: number; readonly rows: number } | null | undefined;
  /**
   * It goes on when nobody reads it and this client has gone, until it ends or its session does. Output that nobody takes is
   * kept as far as the service has room (`--replay-memory`, `--replay-spool`), then dropped: an `error` event with the code
   * `OUTPUT_DROPPED` says how much. {@link Command.list} and {@link Command.attach} find it again, also for a while after its
   * end (`--resume-retention`, a minute): what is to be read later, it writes to a file.
   */
  readonly detached?: boolean | null | undefined;
  /** Gets what the command writes to standard output, as {@link RunOptions.onStdout}; then nobody need read the run. */
  readonly onStdout?: OutputCallback | null | undefined;
  /** Gets what the command writes to standard error. */
  readonly onStderr?: OutputCallback | null | undefined;
  /** Gets each error once. */
  readonly onError?: ErrorCallback | null | undefined;
  /** As {@link FollowOptions.logLimit}: bytes kept per stream for the result, default 16 MiB. */
  readonly logLimit?: number | undefined;
}

/** Options of {@link Command.attach}. */
export interface CommandAttachOptions
  extends Pick<CommandStreamOptions, "signal" | "onStdout" | "onStderr" | "onError" | "logLimit"> {
  /** Everything behind the event with this `seq` comes; default 0, which is all that the service still has. */
  readonly afterSeq?: number | undefined;
}

/** One command in a {@link CommandListResult}. */
export interface CommandInfo {
  /** For {@link Command.attach}. */
  readonly id: string;
  /** What the shell read, or the beginning of it. */
  readonly command: string;
  /** `running`, or how it has ended. */
  readonly status: "running" | CommandStatus;
  /** Milliseconds since the Unix epoch, by the service's clock. */
  readonly startedAt: number;
  readonly detached: boolean;
  readonly pty: boolean;
  /** Of one that has ended, as in {@link CommandRunResult}. */
  readonly exitCode?: number;
  /** The signal that ended it. */
  readonly signal?: string;
}

/** Result of {@link Command.list}. */
export interface CommandListResult extends ApiResult {
  /** The oldest first; empty on failure. */
  readonly commands: CommandInfo[];
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
   * not. What it puts into the background (`nohup … &`) goes on until the session ends: later commands reach its ports, and
   * do not see its processes. What is to be ended later is started by {@link Command.stream} with `detached`.
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
   * @throws TypeError (as a rejection) when an environment variable is not a string, or a callback no function; nothing is
   * sent then. Other wrong arguments resolve with the code `BAD_ARGUMENTS`.
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
    const positional: CommandOptions = { timeoutMs: timeoutOrOptions as number, cwd: cwd ?? undefined, envs: envs ?? undefined, signal: options?.signal };
    const { signal, onStdout, onStderr, ...given } = byName ?? positional;
    checkEnvironment(given.envs);
    const { onStdout: hearsOut, onStderr: hearsErr } = checkedCallbacks({ onStdout, onStderr });
    const callbacks = { onStdout: hearsOut, onStderr: hearsErr };
    const hears = callbacks.onStdout !== null || callbacks.onStderr !== null;
    if (hears && this.#native.extensions.includes("command")) {
      const limit = { timeoutMs: given.timeoutMs ?? DEFAULT_TIMEOUT_MS, stdin: false };
      const begun = checkedOr(() => this.stream(command, { ...given, ...limit, signal, ...callbacks }));
      return "failure" in begun ? notRun(begun.failure) : begun.value.result;
    }
    const ofCall = byName === null ? options : { signal }; // by name, `timeoutMs` is the command's
    const answer = await invoke<Outcome>(this.#native, "command.execute", { command, ...given }, ofCall);
    const { data } = answer;
    if (data === null) {
      return notRun(answer);
    }
    for (const [callback, text] of [[callbacks.onStdout, data.stdout], [callbacks.onStderr, data.stderr]] as const) {
      if (text !== "") {
        await callback?.(text);
      }
    }
    return { ...apiResult(answer), ...data, ...(data.success ? {} : { code: "COMMAND_FAILED" }) };
  }

  /**
   * Starts a command and gives it at once, to be followed while it runs:
   *
   * ```ts
   * const run = session.command.stream("npm test", { cwd: "/home/user/app" });
   * for await (const event of run) {
   *   if (event.type === "stdout" || event.type === "stderr") process.stdout.write(event.text);
   * }
   * const { status, exitCode } = await run.result;
   * ```
   *
   * It is a run as of {@link Code.stream}: nothing is lost with a connection, a command that prints faster than you read
   * waits, and leaving the loop stops it, unless it is `detached`. With `pty` it has a terminal:
   *
   * ```ts
   * const shell = session.command.stream("bash", { pty: { cols: 80, rows: 24 } });
   * shell.write("stty size\n");
   * ```
   *
   * Where the service does not offer it (extension `command`), the run ends with the status `failed`, and
   * {@link Command.execute} does it.
   *
   * @throws TypeError when an argument has the wrong type; nothing is sent then.
   */
  stream(command: string, options?: CommandStreamOptions | null): CommandRun {
    const { request, input } = checkedStream(command, options ?? {});
    const signal = checkedSignal(options?.signal);
    const begin = (wake: () => void): NativeRun => (signal?.aborted ? CANCELLED_RUN : this.#native.command(request, wake));
    const abilities = { takesInput: request.stdin && input === null, goesOn: request.detached };
    return CommandRun.begin((wake) => withInput(begin(wake), input), checkedCallbacks(options ?? {}), signal, abilities);
  }

  /**
   * Follows a command that was begun elsewhere, by another process or a page that was reloaded, while the service keeps it:
   * everything behind `afterSeq` comes, once and in order. `id` is {@link CommandRun.id}, or from {@link Command.list}.
   *
   * Leaving the loop leaves the command, which goes on; {@link CommandRun.cancel} stops it. Otherwise as
   * {@link Code.attach}.
   *
   * @throws TypeError when an argument has the wrong type; nothing is sent then.
   */
  attach(id: string, options?: CommandAttachOptions | null): CommandRun {
    const given = options ?? {};
    checkObject("options", given);
    checkNames("command.attach", given, ["afterSeq", ...FOLLOW_NAMES]);
    const request = {
      id: checkString("id", id),
      afterSeq: checkedCount("afterSeq", given.afterSeq, "events") ?? 0,
      logLimit: checkedCount("logLimit", given.logLimit, "bytes"),
      resultLimit: null,
      stamps: true,
    };
    const signal = checkedSignal(given.signal);
    const begin = (wake: () => void): NativeRun => this.#native.attachCommand(request, wake);
    const run = CommandRun.begin(begin, checkedCallbacks(given), signal, { takesInput: true, goesOn: true });
    if (signal?.aborted) {
      void run.cancel(); // it is going on, and the signal says that it shall not
    }
    return run;
  }

  /**
   * The commands that can be attached to: those that run, and those that have ended and are still kept. Also those that
   * another client has started.
   */
  async list(options?: CallOptions | null): Promise<CommandListResult> {
    type Listed = Omit<CommandInfo, "exitCode" | "signal"> & { readonly exitCode: number | null; readonly signal: string | null };
    const answer = await invoke<Listed[]>(this.#native, "command.list", {}, options);
    const commands = (answer.data ?? []).map(({ exitCode, signal, ...info }) => ({ ...info, ...present({ exitCode, signal }) }));
    return { ...apiResult(answer), commands };
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

function notRun(answer: Answer<unknown>): CommandResult {
  return { ...apiResult(answer), output: "", exitCode: -1, stdout: "", stderr: "", traceId: "" };
}

/** The documented time limit of {@link Command.execute}. */
const DEFAULT_TIMEOUT_MS = 1000;
/** As of a program. */
const STREAM_TIMEOUT_MS = 60_000;
const FOLLOW_NAMES = ["signal", "onStdout", "onStderr", "onError", "logLimit"];
const STREAM_NAMES = ["cwd", "envs", "timeoutMs", "stdin", "pty", "detached", ...FOLLOW_NAMES];

/** What is sent; and with a text as its input, that. */
function checkedStream(command: unknown, options: CommandStreamOptions): { request: CommandRequest; input: string | null } {
  checkObject("options", options);
  checkNames("command.stream", options, STREAM_NAMES);
  const { cwd, envs, stdin, pty, detached } = options;
  checkEnvironment(envs);
  const isDetached = checkOptionalFlag("detached", detached) ?? false;
  const size = checkedSize(pty);
  const isEndless = isDetached || size !== null;
  const timeoutMs = checkOptionalNumber("timeoutMs", options.timeoutMs, "milliseconds");
  const input = typeof stdin === "string" ? stdin : null;
  const request: CommandRequest = {
    command: checkString("command", command),
    timeoutMs: timeoutMs ?? (isEndless ? null : STREAM_TIMEOUT_MS),
    cwd: checkOptionalString("cwd", cwd),
    envs: Object.entries(envs ?? {}),
    stdin: input !== null || size !== null || (checkOptionalFlag("stdin", stdin) ?? !isDetached),
    pty: size,
    detached: isDetached,
    logLimit: checkedCount("logLimit", options.logLimit, "bytes"),
    stamps: true,
  };
  return { request, input };
}

function checkedSize(pty: unknown): readonly [cols: number, rows: number] | null {
  if (pty === undefined || pty === null) {
    return null;
  }
  checkObject("pty", pty);
  const { cols, rows } = pty as { readonly cols?: unknown; readonly rows?: unknown };
  return [checkedSide("pty.cols", cols), checkedSide("pty.rows", rows)];
}

/** Gives a run all of its input. */
function withInput(run: NativeRun, input: string | null): NativeRun {
  if (input !== null) {
    run.write(input);
    run.endInput();
  }
  return run;
}

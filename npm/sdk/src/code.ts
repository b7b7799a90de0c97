import type { NativeRun, NativeSession, RunRequest } from "./binding.js";
import { bindMethods } from "./bind-methods.js";
import { checkString } from "./check.js";
import { CodeRun } from "./code-run.js";
import { CANCELLED_RUN, type EnhancedCodeExecutionResult, brokenRun } from "./execution-result.js";
import { log } from "./log.js";
import { RunDelivery } from "./run-delivery.js";
import {
  type AttachOptions,
  checkedCallbacks,
  checkedCount,
  checkedFollowOptions,
  checkedRequest,
  checkedRunOptions,
  type ErrorCallback,
  type Language,
  type OutputCallback,
  type RunOptions,
  type StreamOptions,
} from "./run-options.js";
import { RunReport } from "./run-report.js";
import { checkedSignal, type StopSignal } from "./stop-signal.js";

/** Runs code in a session; see {@link Session.code}. */
export class Code {
  readonly #native: NativeSession;

  private constructor(native: NativeSession) {
    this.#native = native;
    bindMethods(this);
  }

  /** @internal */
  static fromNative(native: NativeSession): Code {
    return new Code(native);
  }

  /**
   * Runs code and resolves when it has ended. Variables stay for the next run of the same language in this session.
   *
   * With `streamBeta` the callbacks get output while the program runs, in order. If one throws or rejects, the run is
   * stopped, `onError` gets what was thrown, and the result says so: `success` is false, `status` is `cancelled`,
   * `error.name` is `CallbackError`.
   *
   * Without `streamBeta` all output comes with the result. Where the service has the extension `resume`, such a run is
   * followed over the WebSocket all the same, and a lost connection loses nothing; elsewhere it is one HTTP call.
   *
   * It does not reject for what happens on the far side or on the way: see `success`, `status`, `error`,
   * `errorMessage`.
   *
   * @param timeoutS Seconds the program may take; default 60. They include what it waits for callbacks and readers that
   * are behind.
   * @param streamBeta Output while the program runs; default: whether there is a callback.
   * @throws TypeError (as a rejection) when an argument has the wrong type; nothing is sent then.
   */
  run(
    code: string,
    language: Language,
    timeoutS?: number | null,
    streamBeta?: boolean | null,
    onStdout?: OutputCallback | null,
    onStderr?: OutputCallback | null,
    onError?: ErrorCallback | null,
  ): Promise<EnhancedCodeExecutionResult>;
  /**
   * The same with the callbacks by name.
   *
   * ```ts
   * await session.code.run(code, "python", 60, { onStdout: (chunk) => process.stdout.write(chunk) });
   * ```
   */
  run(
    code: string,
    language: Language,
    timeoutS: number | null | undefined,
    options: RunOptions,
  ): Promise<EnhancedCodeExecutionResult>;
  async run(
    code: string,
    language: Language,
    timeoutS?: number | null,
    streamOrOptions?: boolean | RunOptions | null,
    onStdout?: OutputCallback | null,
    onStderr?: OutputCallback | null,
    onError?: ErrorCallback | null,
  ): Promise<EnhancedCodeExecutionResult> {
    const options = checkedRunOptions(streamOrOptions, [onStdout, onStderr, onError]);
    // Nobody is there to answer a program that asks, and a callback has no place for numbers and times.
    const request = { ...checkedRequest(code, language, timeoutS, options), stamps: false, stdin: false };
    const callbacks = checkedCallbacks(options);
    const signal = checkedSignal(options.signal);
    if (options.streamBeta ?? Object.values(callbacks).some((callback) => callback !== null)) {
      return new RunDelivery(this.#starting(request, signal), callbacks, signal, { flows: true }).promise;
    }
    if (callbacks.onStdout !== null || callbacks.onStderr !== null || callbacks.onResult !== null) {
      log("warn", "code.run has output callbacks but streamBeta is false: all output comes with the result");
    }
    if (signal !== null) {
      // A plain call cannot be stopped: that reaches the program over the stream only.
      const silent = { onStdout: null, onStderr: null, onResult: null, onError: callbacks.onError };
      return new RunDelivery(this.#starting(request, signal), silent, signal, { flows: true }).promise;
    }
    return this.#runAtOnce(request, callbacks.onError);
  }

  /**
   * Starts a run and gives it at once, to be followed event by event:
   *
   * ```ts
   * const run = session.code.stream(code, "python");
   * for await (const event of run) {
   *   if (event.type === "stdout") process.stdout.write(event.text);
   *   if (event.type === "inputRequest") run.write("yes\n");
   * }
   * const { status } = await run.result;
   * ```
   *
   * Leaving the loop early stops the program, and so do `run.cancel()`, the signal, and `await using`. A program that
   * prints faster than the loop reads waits; nothing piles up.
   *
   * @throws TypeError when an argument has the wrong type; nothing is sent then.
   */
  stream(code: string, language: Language, options?: StreamOptions): CodeRun {
    const checked = checkedFollowOptions<StreamOptions>("code.stream", options, "timeoutS");
    const request = { ...checkedRequest(code, language, checked.timeoutS, checked), stamps: true, stdin: true };
    const takesInput = this.#native.extensions.includes("stdin");
    const signal = checkedSignal(checked.signal);
    return CodeRun.begin(this.#starting(request, signal), checkedCallbacks(checked), signal, takesInput);
  }

  /**
   * Continues a run that was begun elsewhere, by another process or a page that was reloaded, while the service keeps
   * it: everything behind `afterSeq` comes, once and in order. Nothing is run again.
   *
   * ```ts
   * const run = session.code.attach(id, { afterSeq }); // run.id, and event.seq of the last event that was seen
   * ```
   *
   * With an access of the scope `read` ({@link Session.attach}) it watches a run, which stays its owner's: neither the
   * owner nor the program waits for those who watch, and cancelling, leaving the loop or writing stops nothing but the
   * watching.
   *
   * ```ts
   * const { access } = await session.browserAccess({ scope: "read" }); // the owner hands on access and run.id
   * for await (const event of Session.attach(access).code.attach(id)) console.log(event);
   * ```
   *
   * With `afterSeq` 0 it begins with the oldest event that is kept, which is not the first one where the owner has taken
   * some (its `seq` tells); from any other number on it is all or an error. Whoever is too slow for what the service
   * keeps ends with the status `interrupted` and the reason, and may attach anew. A run of a client without the extension
   * `resume` is watched from its next event on, while its owner stays.
   *
   * The result counts from there: its `logs` and `results` are of what came here. A run that the service does not know
   * (any more), or that another client follows now, ends it with the status `interrupted` and says so: what became of the
   * program is not known here. With a service that keeps none the status is `failed`.
   *
   * @throws TypeError when an argument has the wrong type; nothing is sent then.
   */
  attach(id: string, options?: AttachOptions): CodeRun {
    const checked = checkedFollowOptions<AttachOptions>("code.attach", options, "afterSeq");
    const request = {
      id: checkString("id", id),
      afterSeq: checkedCount("afterSeq", checked.afterSeq, "events") ?? 0,
      logLimit: checkedCount("logLimit", checked.logLimit, "bytes"),
      resultLimit: checkedCount("resultLimit", checked.resultLimit, "bytes"),
      stamps: true,
    };
    const takesInput = this.#native.extensions.includes("stdin");
    const begin = (wake: () => void) => this.#native.attach(request, wake);
    const signal = checkedSignal(checked.signal);
    const run = CodeRun.begin(begin, checkedCallbacks(checked), signal, takesInput);
    if (signal?.aborted) {
      run.cancel(); // it is going on, and the signal says that it shall not
    }
    return run;
  }

  /** How a run is started: not at all when its signal has been aborted by now. */
  #starting(request: RunRequest, signal: StopSignal | null): (wake: () => void) => NativeRun {
    return (wake) => (signal?.aborted ? CANCELLED_RUN : this.#native.stream(request, wake));
  }

  async #runAtOnce(request: RunRequest, onError: ErrorCallback | null): Promise<EnhancedCodeExecutionResult> {
    const report = new RunReport(onError);
    try {
      return await report.finish(await this.#native.run(request));
    } catch (error) {
      return report.finish(brokenRun(error));
    }
  }
}

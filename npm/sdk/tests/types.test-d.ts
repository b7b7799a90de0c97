/**
 * Compiled, never run: what the public types must allow and must refuse.
 *
 * @module
 */

import {
  AGB,
  AGBError,
  APIError,
  AuthenticationError,
  type BinaryFileContentResult,
  type Code,
  type CodeExecutionError,
  type CommandResult,
  type Config,
  Context,
  ContextSync,
  CreateSessionParams,
  type DeleteResult,
  type EnhancedCodeExecutionResult,
  type FileContentResult,
  Lifecycle,
  loadConfig,
  type Logger,
  LogLevel,
  newSyncPolicy,
  type OperationResult,
  Session,
  SessionError,
  type SessionListResult,
  type SessionResult,
  setLogger,
  setLogLevel,
  type SyncPolicy,
  throwIfFailed,
} from "../src/index.js";

/** Fails to compile unless both types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<_T extends true>(): void {}

declare const code: Code;
declare const session: Session;
declare const result: EnhancedCodeExecutionResult;

// --- constructing -----------------------------------------------------------------------------------------------
new AGB();
new AGB("key");
new AGB({});
new AGB({ apiKey: process.env["AGB_API_KEY"], config: { endpoint: "local", timeoutMs: 1000 }, envFile: undefined });
// @ts-expect-error a number is no key
new AGB(42);
// @ts-expect-error endpoint belongs into config
new AGB({ endpoint: "local" });
// @ts-expect-error milliseconds are a number
new AGB({ config: { timeoutMs: "1000" } });

new CreateSessionParams({ imageId: "agb-code-space-1", labels: { team: "blue" } });
new CreateSessionParams();
new CreateSessionParams({});
// @ts-expect-error labels are texts
new CreateSessionParams({ imageId: "i", labels: { team: 1 } });
// @ts-expect-error sessions are made by AGB
new Session();

// --- run: positional --------------------------------------------------------------------------------------------
same<Same<ReturnType<Code["run"]>, Promise<EnhancedCodeExecutionResult>>>();
code.run("1", "python");
code.run("1", "python", 60);
code.run("1", "Python3", undefined, undefined);
code.run("1", "python", 60, true, (chunk) => chunk.toUpperCase(), (chunk) => console.log(chunk), (error) => console.log(error.message));
code.run("1", "python", 60, true, (chunk: string) => console.log(chunk), undefined, (error: Error) => console.log(error));
code.run("1", "python", 60, true, async (chunk) => void chunk, null, async (error) => void error.code);
code.run("1", "python", 60, true, (chunk) => [].push(chunk as never));
// @ts-expect-error code is text
code.run(1, "python");
// @ts-expect-error a language is needed
code.run("1");
// @ts-expect-error seconds are a number
code.run("1", "python", "60");
// @ts-expect-error streamBeta is a boolean
code.run("1", "python", 60, "true");
// @ts-expect-error chunks are strings
code.run("1", "python", 60, true, (chunk: number) => chunk);
// @ts-expect-error errors are Errors
code.run("1", "python", 60, true, undefined, undefined, (error: string) => error);

// --- run: options -----------------------------------------------------------------------------------------------
code.run("1", "python", 60, {});
code.run("1", "python", undefined, { streamBeta: true, onStdout: (chunk) => chunk.length, onStderr: async () => {}, onError: (error) => error.stack });
code.run("1", "python", 60, { streamBeta: undefined, onStdout: undefined, logLimit: 0, resultLimit: 0 });
// @ts-expect-error a misspelt option
code.run("1", "python", 60, { onStdOut: () => {} });
// @ts-expect-error callbacks are functions
code.run("1", "python", 60, { onStdout: "print" });
// @ts-expect-error callbacks in both places
code.run("1", "python", 60, { streamBeta: true }, () => {});

// --- results ----------------------------------------------------------------------------------------------------
const stdout: string[] = result.logs.stdout;
const seconds: string | undefined = result.executionTime?.toFixed(2);
const count: number | undefined = result.executionCount;
const name: string | undefined = result.error?.name;
void [stdout, seconds, count, name, result.requestId, result.success, result.errorMessage, result.truncated, result.results[0]?.png];
// @ts-expect-error results are for reading
result.success = true;
// @ts-expect-error the error may be absent
result.error.name;

async function results(agb: AGB): Promise<void> {
  const created: SessionResult = await agb.create(new CreateSessionParams({ imageId: "i" }));
  const unchecked: string = created.session.sessionId;
  void unchecked;
  if (!created.success || !created.session) {
    throw new Error(created.errorMessage);
  }
  const id: string = created.session.sessionId;
  const deleted: DeleteResult = await agb.delete(created.session);
  const listed: SessionListResult = await agb.list({ team: "blue" }, 2, 10);
  const ids: string[] = (await agb.list(null, { nextToken: listed.nextToken })).sessionIds;
  const labels: OperationResult<Record<string, string>> = await session.getLabels();
  const status: string | undefined = (await session.getStatus()).status;
  const { session: certain } = throwIfFailed(await agb.get(id));
  void [deleted, ids, labels.data?.["team"], status, certain, (await session.info()).data?.resourceUrl];
  // @ts-expect-error a session or its id
  await agb.delete(42);
  // @ts-expect-error labels are an object
  await session.setLabels("blue");
  await session.callMcpTool("shell", { command: "ls" });
  // @ts-expect-error arguments are an object
  await session.callMcpTool("shell", "ls");
}
void results;

// --- commands, files, contexts ----------------------------------------------------------------------------------
async function modules(agb: AGB): Promise<void> {
  const command: CommandResult = await session.command.execute("ls", 5000, "/tmp", { A: "1" });
  const skipped: CommandResult = await session.command.run("ls", undefined, undefined, { A: "1" });
  const texts: string[] = [command.stdout, command.stderr, command.output, command.traceId, command.errorMessage];
  const code: number = skipped.exitCode;
  // @ts-expect-error environment variables are texts
  await session.command.exec("ls", 1000, "/", { A: 1 });

  const text: string = (await session.file.read("/a")).content;
  const plain: FileContentResult = await session.file.readFile("/a", { format: "text" });
  const bytes: BinaryFileContentResult = await session.file.read("/a", { format: "bytes" });
  const buffer: Buffer = bytes.content;
  // @ts-expect-error there are two formats
  await session.file.read("/a", { format: "base64" });
  // @ts-expect-error there are three modes
  await session.file.write("/a", "x", "truncate");
  const entries: Array<{ type: "file" | "directory"; name: string }> = (await session.file.ls("/")).entries;
  const size: number = (await session.file.getFileInfo("/a")).fileInfo!.size;
  const watch = session.file.watchDir("/a", (events) => events.map(({ eventType, path, pathType }) => `${eventType}${path}${pathType}`));
  watch.stop();
  const done: Promise<void> = session.file.watchDirectory("/a", () => {}, 1000, new AbortController().signal);
  const { bytesSent, etag } = await session.file.upload("a", "/a", { wait: false, progressCallback: (count: number) => count });
  const path: string | undefined = await session.file.transferPath();

  const policy: SyncPolicy = newSyncPolicy({ recyclePolicy: { lifecycle: Lifecycle.LIFECYCLE_7DAYS } });
  const found = await agb.context.get("n", true);
  const mount = new ContextSync(found.context!.id, "/data").withPolicy(policy);
  await agb.create({ imageId: "i", contextSync: [mount, { contextId: "c", path: "/p" }] });
  await agb.create(new CreateSessionParams({ imageId: "i", contextSync: [ContextSync.new("c", "/p")] }));
  await agb.context.update(new Context("c", "n"));
  await agb.context.delete({ id: "c", name: "n" });
  const files: string[] = (await agb.context.listFiles("c", "/", 1, 50)).entries.map(({ filePath }) => filePath);
  for (const { status, startTime } of (await session.context.info()).data) {
    void [status satisfies string, startTime satisfies number];
  }
  await session.context.sync("c", "/p", "upload", 10, 1000, (success: boolean) => void success);
  await agb.delete(session, true);
  await session.delete(true);

  const link: string | undefined = (await session.getLink("https", 30100)).data;
  const used: number | undefined = (await session.getMetrics(5000)).metrics?.memUsed;
  const info = (await session.info()).data as Record<string, unknown>;
  const anything: OperationResult = await session.keepAlive();
  const data = anything.data as Record<string, unknown>;
  const urls: string[] = [session.linkUrl, session.wsUrl, session.token, session.resourceUrl, session.imageId, session.getSessionId()];
  const schema: Record<string, unknown> | undefined = session.mcpTools[0]?.inputSchema;
  await session.callMcpTool("shell", {}, 5000, 1000);
  await session.listMcpTools("image");
  const config: Config = loadConfig({ timeoutMs: 5 }, ".env");
  void [texts, code, text, plain, buffer, entries, size, done, bytesSent, etag, path, files, link, used, info, data, urls, schema, config];
}
void modules;

// --- errors and logging -----------------------------------------------------------------------------------------
const errors: AGBError[] = [new AuthenticationError("m", "NO_API_KEY"), new APIError("m", "X", { requestId: "r" }), new SessionError("m", "X", { requestId: "r", httpStatus: 400 })];
declare const executionError: CodeExecutionError;
const texts: string[] = [executionError.code, executionError.traceback, ...errors.map((error) => error.code)];
void texts;
setLogLevel("debug");
setLogLevel("DEBUG");
setLogLevel(LogLevel.SILENT);
setLogLevel(2);
void [new AGBError("m"), new AGBError("m", { a: 1 }), new APIError("m", 404, { a: 1 }), new AuthenticationError("m")];
// @ts-expect-error not a level
setLogLevel("loud");
setLogger(console);
setLogger(null);
// @ts-expect-error a logger has all levels
const half: Logger = { error: () => {} };
void half;

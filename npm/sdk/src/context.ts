import type { Answer } from "./binding.js";
import { bindMethods } from "./bind-methods.js";
import type { CallOptions } from "./call.js";
import { checkObject, checkString } from "./check.js";
import type {
  ClearContextResult,
  ContextChangeResult,
  ContextData,
  ContextFileEntry,
  ContextFileListResult,
  ContextListParams,
  ContextListResult,
  ContextResult,
  FileUrlResult,
} from "./context-results.js";
import { ClearanceTimeoutError } from "./errors.js";
import { invoke, type Invoker } from "./invoke.js";
import { apiResult, checkedOr, type OperationResult, present } from "./results.js";

/** A context: files that outlive sessions. */
export class Context {
  constructor(
    public id: string,
    public name: string,
    public createdAt?: string,
    public lastUsedAt?: string,
  ) {}
}

/** What names a context: a {@link Context}, or a plain object. */
type ContextName = { readonly id: string; readonly name: string };

/** The contexts of an account; see {@link AGB.context}. */
export class ContextService {
  readonly #account: Invoker;

  /** @internal */
  constructor(account: Invoker) {
    this.#account = account;
    bindMethods(this);
  }

  /** Lists contexts, a page at a time. */
  async list(params?: ContextListParams | null, options?: CallOptions | null): Promise<ContextListResult> {
    const asked = checkedOr(() => params && checkObject("params", params));
    const answer = "failure" in asked ? asked.failure : await this.#invoke<Page>("context.list", { ...params }, options);
    const { contexts = [], ...rest } = answer.data ?? {};
    return { ...apiResult(answer), contexts: contexts.map(toContext), ...present(rest) };
  }

  /**
   * Finds a context by its name or its id.
   *
   * @param create Make one where there is none of that name.
   * @param loginRegionId Where a new one is kept.
   */
  async get(
    name?: string | null,
    create = false,
    loginRegionId?: string | null,
    contextId?: string | null,
    options?: CallOptions | null,
  ): Promise<ContextResult> {
    const answer = await this.#invoke<ContextData>("context.get", { name, create, loginRegionId, contextId }, options);
    return answer.data === null
      ? { ...apiResult(answer), contextId: "" }
      : { ...apiResult(answer), contextId: answer.data.id, context: toContext(answer.data) };
  }

  /** Finds the context of this name, or makes it. */
  create(name: string, options?: CallOptions | null): Promise<ContextResult> {
    return this.get(name, true, null, null, options);
  }

  /** Gives a context the name that it has here. */
  update(context: ContextName, options?: CallOptions | null): Promise<ContextChangeResult> {
    const checked = checkedOr(() => ({ contextId: checkString("context.id", context?.id), name: checkString("context.name", context.name) }));
    return this.#change("context.update", checked, options);
  }

  /** Deletes a context with its files. */
  delete(context: ContextName, options?: CallOptions | null): Promise<ContextChangeResult> {
    return this.#change("context.delete", checkedOr(() => ({ contextId: checkString("context.id", context?.id) })), options);
  }

  /** A URL to which a file's bytes can be sent with `PUT`, without the API key, for a while. */
  getFileUploadUrl(contextId: string, filePath: string, options?: CallOptions | null): Promise<FileUrlResult> {
    return this.#url("context.uploadUrl", contextId, filePath, options);
  }

  /** A URL from which a file's bytes can be fetched with `GET`, without the API key, for a while. */
  getFileDownloadUrl(contextId: string, filePath: string, options?: CallOptions | null): Promise<FileUrlResult> {
    return this.#url("context.downloadUrl", contextId, filePath, options);
  }

  /** Deletes a file of a context. */
  async deleteFile(contextId: string, filePath: string, options?: CallOptions | null): Promise<OperationResult<boolean>> {
    const answer = await this.#invoke<null>("context.deleteFile", { contextId, filePath }, options);
    return { ...apiResult(answer), data: answer.success };
  }

  /** Lists the files below a folder of a context, a page at a time. Paths are as in the session that wrote them. */
  async listFiles(
    contextId: string,
    parentFolderPath = "",
    pageNumber = 1,
    pageSize = 50,
    options?: CallOptions | null,
  ): Promise<ContextFileListResult> {
    const args = { contextId, parentFolderPath, pageNumber, pageSize };
    const answer = await this.#invoke<Files>("context.listFiles", args, options);
    const files = (answer.data?.files ?? []).map((file) => present(file) as ContextFileEntry);
    return { ...apiResult(answer), files, entries: files, ...present({ count: answer.data?.count ?? null }) };
  }

  /** Begins to delete the files of a context. */
  clearAsync(contextId: string, options?: CallOptions | null): Promise<ClearContextResult> {
    return this.#clear("context.clearAsync", { contextId }, options);
  }

  /** How far the clearing of a context is: `clearing` or `available`. */
  getClearStatus(contextId: string, options?: CallOptions | null): Promise<ClearContextResult> {
    return this.#clear("context.clearState", { contextId }, options);
  }

  /**
   * Deletes the files of a context and waits until it is available again.
   *
   * @param timeout Seconds to wait.
   * @param pollInterval Seconds between two looks.
   * @throws {@link ClearanceTimeoutError} (as a rejection) when it takes longer.
   */
  async clear(contextId: string, timeout = 60, pollInterval = 2, options?: CallOptions | null): Promise<ClearContextResult> {
    const args = { contextId, timeout, pollInterval };
    const result = await this.#clear("context.clear", args, options);
    if (result.code === "CLEARANCE_TIMED_OUT") {
      throw new ClearanceTimeoutError(`Context clearing timed out after ${timeout} seconds: ${result.errorMessage}`);
    }
    return result;
  }

  /** Without the API key. */
  toJSON(): { type: string } {
    return { type: "ContextService" };
  }

  #invoke<T>(name: string, args: object, options: CallOptions | null | undefined): Promise<Answer<T>> {
    return invoke<T>(this.#account, name, args, options);
  }

  async #change(name: string, args: ReturnType<typeof checkedOr<object>>, options: CallOptions | null | undefined): Promise<ContextChangeResult> {
    const answer = "failure" in args ? args.failure : await this.#invoke<string>(name, args.value, options);
    return answer.data === null ? apiResult(answer) : { ...apiResult(answer), data: { context_id: answer.data } };
  }

  async #url(name: string, contextId: string, filePath: string, options: CallOptions | null | undefined): Promise<FileUrlResult> {
    const answer = await this.#invoke<{ readonly url: string; readonly expireTime: string | null }>(name, { contextId, filePath }, options);
    return { ...apiResult(answer), url: "", ...(answer.data && present(answer.data)) };
  }

  async #clear(name: string, args: object, options: CallOptions | null | undefined): Promise<ClearContextResult> {
    const answer = await this.#invoke<{ readonly contextId: string; readonly state: string }>(name, args, options);
    return { ...apiResult(answer), ...(answer.data && { ...answer.data, status: answer.data.state }) };
  }
}

interface Page {
  readonly contexts?: ContextData[];
  readonly nextToken?: string | null;
  readonly maxResults?: number;
  readonly totalCount?: number | null;
}

interface Files {
  readonly files: ContextFileEntry[];
  readonly count: number | null;
}

function toContext({ id, name, createdAt, lastUsedAt }: ContextData): Context {
  return new Context(id, name, createdAt ?? undefined, lastUsedAt ?? undefined);
}

/**
 * `agbcloud-sdk/context-sync`: how a session gets the files of a context and keeps them.
 *
 * ```ts
 * import { ContextSync, newSyncPolicy, newUploadPolicy } from "agbcloud-sdk/context-sync";
 *
 * const policy = newSyncPolicy({ uploadPolicy: newUploadPolicy({ autoUpload: false }) });
 * const contextSync = [new ContextSync(context.id, "/home/project", policy)];
 * ```
 *
 * @module
 */

import { checkObject, checkString } from "./check.js";
import { newSyncPolicy, type SyncPolicy, syncPolicyToDict } from "./sync-policy.js";

export {
  type BWList,
  type DeletePolicy,
  DownloadStrategy,
  type DownloadPolicy,
  type ExtractPolicy,
  type FullSyncPolicy,
  Lifecycle,
  type MappingPolicy,
  newDeletePolicy,
  newDownloadPolicy,
  newExtractPolicy,
  newRecyclePolicy,
  newSyncPolicy,
  newUploadPolicy,
  type RecyclePolicy,
  type SyncPolicy,
  syncPolicyToDict,
  UploadMode,
  type UploadPolicy,
  UploadStrategy,
  type WhiteList,
} from "./sync-policy.js";

/** A context that a new session is to have at a path. A plain object of these fields does as well. */
export class ContextSync {
  /** Id of the context. */
  contextId: string;
  /** Absolute path in the session, e.g. `/home/project`. */
  path: string;
  /** When and which files are carried. Default: {@link newSyncPolicy} without arguments. */
  declare policy?: SyncPolicy | undefined;

  constructor(contextId: string, path: string, policy?: SyncPolicy) {
    this.contextId = contextId;
    this.path = path;
    if (policy !== undefined) {
      this.policy = policy;
    }
  }

  /** The same as the constructor. */
  static new(contextId: string, path: string, policy?: SyncPolicy): ContextSync {
    return new ContextSync(contextId, path, policy);
  }

  /** Changes the policy, and returns this object. */
  withPolicy(policy: SyncPolicy): this {
    this.policy = policy;
    return this;
  }
}

/** A {@link ContextSync} or a plain object of its fields. */
export type ContextMount = {
  contextId: string;
  path: string;
  policy?: SyncPolicy | undefined;
};

/**
 * @internal `persistenceDataList` of these contexts, as JSON text; `null` for none. The policy is always sent: a service
 * may leave out a context without one.
 */
export function persistenceOf(mounts: unknown): string | null {
  if (mounts === undefined || mounts === null) {
    return null;
  }
  if (!Array.isArray(mounts)) {
    throw new TypeError("contextSync must be a list of ContextSync");
  }
  const entries = mounts.map((mount: unknown, at) => {
    checkObject(`contextSync[${at}]`, mount);
    const { contextId, path, policy } = mount as ContextMount;
    checkPolicy(`contextSync[${at}].policy`, policy);
    return {
      contextId: checkString(`contextSync[${at}].contextId`, contextId),
      path: checkString(`contextSync[${at}].path`, path),
      policy: JSON.stringify(syncPolicyToDict(policy ?? newSyncPolicy())),
    };
  });
  return entries.length === 0 ? null : JSON.stringify(entries);
}

/** The service checks what the parts say; what is no object would be left out. */
function checkPolicy(name: string, policy: unknown): void {
  if (policy === undefined || policy === null) {
    return;
  }
  checkObject(name, policy);
  for (const [part, value] of Object.entries(policy)) {
    if (value !== undefined && value !== null) {
      checkObject(`${name}.${part}`, value);
    }
  }
}

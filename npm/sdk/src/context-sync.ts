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

import type { SyncPolicy } from "./sync-policy.js";

export * from "./sync-policy.js";

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

import { checkObject, checkOptionalNumber, checkOptionalString, checkString, labelPairs } from "./check.js";
import type { CreateParams } from "./binding.js";
import { type ContextMount, persistenceOf } from "./context-sync.js";
import { VERSION } from "./version.js";

/** Labels of a session: free text by name, for finding sessions again with {@link AGB.list}. */
export type Labels = Record<string, string>;

/** What a new session is to be. */
export interface CreateSessionOptions {
  /** Image to start, e.g. `agb-code-space-1`. */
  imageId: string;
  /** To find the session again by. */
  labels?: Labels | undefined;
  /** Seconds without use after which the service releases the session; the service's default when absent. */
  idleReleaseTimeout?: number | undefined;
  /** Policy for the session's tools. */
  mcpPolicyId?: string | undefined;
  /** The same as `mcpPolicyId`. */
  policyId?: string | undefined;
  /** Persistent context to attach. */
  contextId?: string | undefined;
  /** Contexts that the session is to have, each at a path. `create` resolves when their files are there. */
  contextSync?: readonly ContextMount[] | undefined;
  /** Contexts of a browser. Sessions of this package have none, and creating one with it fails. */
  browserContext?: unknown;
}

/** What {@link CreateSessionParams} is made from. `imageId` must be set before the session is created. */
export type CreateSessionParamsOptions = Partial<CreateSessionOptions>;

/**
 * Parameters of {@link AGB.create}.
 *
 * ```ts
 * const params = new CreateSessionParams({ imageId: "agb-code-space-1", labels: { project: "demo" } });
 * ```
 */
export class CreateSessionParams implements CreateSessionOptions {
  /** Image to start, e.g. `agb-code-space-1`. */
  imageId: string;
  /** Empty when none were given. */
  labels: Record<string, string>;
  /** Seconds without use after which the service releases the session. */
  idleReleaseTimeout: number | undefined;
  /** Policy for the session's tools. */
  mcpPolicyId: string | undefined;
  /** The same as `mcpPolicyId`. */
  policyId: string | undefined;
  /** Persistent context to attach. */
  contextId: string | undefined;
  /** Contexts that the session is to have; empty when none were given. */
  contextSync: ContextMount[];
  /** Contexts of a browser; see {@link CreateSessionOptions.browserContext}. */
  browserContext: unknown;

  constructor(options: CreateSessionParamsOptions = {}) {
    checkObject("CreateSessionParams", options);
    this.imageId = options.imageId ?? "";
    this.labels = { ...options.labels };
    this.idleReleaseTimeout = options.idleReleaseTimeout;
    this.mcpPolicyId = options.mcpPolicyId;
    this.policyId = options.policyId;
    this.contextId = options.contextId;
    const { contextSync = [] } = options;
    // What is not a list stays, so that `create` can refuse it.
    this.contextSync = Array.isArray(contextSync) ? [...contextSync] : (contextSync as ContextMount[]);
    this.browserContext = options.browserContext;
  }
}

/**
 * @internal What the backend takes.
 * @throws TypeError when a field has the wrong type.
 */
export function toCreateParams(options: CreateSessionOptions): CreateParams {
  checkObject("params", options);
  if (options.browserContext !== undefined && options.browserContext !== null) {
    throw new TypeError("browserContext is not supported: mount its context with contextSync, or leave it out");
  }
  return {
    imageId: checkString("imageId", options.imageId),
    labels: options.labels === undefined ? null : labelPairs("labels", options.labels),
    idleReleaseTimeout: checkOptionalNumber("idleReleaseTimeout", options.idleReleaseTimeout, "seconds"),
    mcpPolicyId: checkOptionalString("mcpPolicyId", options.mcpPolicyId) ?? checkOptionalString("policyId", options.policyId),
    contextId: checkOptionalString("contextId", options.contextId),
    persistence: persistenceOf(options.contextSync),
    sdkVersion: VERSION,
  };
}

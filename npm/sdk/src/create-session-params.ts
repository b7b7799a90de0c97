import {
  checkObject,
  checkOptionalCount,
  checkOptionalNumber,
  checkOptionalString,
  checkString,
  describe,
  labelPairs,
} from "./check.js";
import type { CreateParams } from "./binding.js";
import { type ContextMount, newSyncPolicy, syncPolicyToDict } from "./context-sync.js";
import type { SessionNetwork } from "./results.js";
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
  /** Environment variables of all programs of the session, beyond those of its image. */
  envs?: Record<string, string> | undefined;
  /**
   * What programs of the session reach over the network: `"none"`, or `{ allow: ["example.org", "*.example.net"] }`. Never
   * more than the service's programs reach, which is the default; more is refused.
   */
  network?: SessionNetwork | undefined;
  /** Seconds after which the service releases the session, whatever goes on in it. */
  timeoutS?: number | undefined;
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
  /** Environment variables of all programs of the session. */
  envs: Record<string, string> | undefined;
  /** What programs of the session reach over the network. */
  network: SessionNetwork | undefined;
  /** Seconds after which the service releases the session, whatever goes on in it. */
  timeoutS: number | undefined;
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
    this.envs = options.envs;
    this.network = options.network;
    this.timeoutS = options.timeoutS;
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
    options: optionsOf(options),
    sdkVersion: VERSION,
  };
}

/** What the session has that others do not, as JSON text; `null` where that is nothing. */
function optionsOf({ envs, network, timeoutS }: CreateSessionOptions): string | null {
  const given = {
    envs: envs === undefined || envs === null ? null : Object.fromEntries(labelPairs("envs", envs)),
    network: checkedNetwork(network),
    timeoutS: checkOptionalCount("timeoutS", timeoutS, "seconds"),
  };
  return Object.values(given).every((value) => value === null) ? null : JSON.stringify(given);
}

function checkedNetwork(network: unknown): SessionNetwork | null {
  if (network === undefined || network === null || network === "none") {
    return network ?? null;
  }
  const { allow }: { readonly allow?: unknown } = typeof network === "object" ? network : {};
  if (!Array.isArray(allow) || allow.length === 0 || allow.some((rule) => typeof rule !== "string")) {
    throw new TypeError(`network must be "none" or { allow: ["example.org", …] }, not ${describe(network)}`);
  }
  return { allow };
}

/**
 * `persistenceDataList` of these contexts, as JSON text; `null` for none. The policy is always sent: a service may leave out
 * a context without one.
 */
function persistenceOf(mounts: unknown): string | null {
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

/** The service checks what the parts say; what is not an object would be left out. */
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

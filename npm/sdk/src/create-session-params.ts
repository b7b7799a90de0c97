import { checkObject, checkOptionalNumber, checkOptionalString, checkString, labelPairs } from "./check.js";
import type { CreateParams } from "./binding.js";
import { VERSION } from "./version.js";

/** Labels of a session: free text by name, for finding sessions again with {@link AGB.list}. */
export type Labels = Readonly<Record<string, string>>;

/** What a new session is to be. */
export interface CreateSessionOptions {
  /** Image to start, e.g. `agb-code-space-1`. */
  readonly imageId: string;
  /** To find the session again by. */
  readonly labels?: Labels | undefined;
  /** Seconds without use after which the service releases the session; the service's default when absent. */
  readonly idleReleaseTimeout?: number | undefined;
  /** Policy for the session's tools. */
  readonly mcpPolicyId?: string | undefined;
  /** Persistent context to attach. */
  readonly contextId?: string | undefined;
}

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
  labels: Labels;
  /** Seconds without use after which the service releases the session. */
  idleReleaseTimeout: number | undefined;
  /** Policy for the session's tools. */
  mcpPolicyId: string | undefined;
  /** Persistent context to attach. */
  contextId: string | undefined;

  constructor(options: CreateSessionOptions) {
    checkObject("CreateSessionParams", options);
    this.imageId = options.imageId;
    this.labels = { ...options.labels };
    this.idleReleaseTimeout = options.idleReleaseTimeout;
    this.mcpPolicyId = options.mcpPolicyId;
    this.contextId = options.contextId;
  }
}

/**
 * @internal What the backend takes.
 * @throws TypeError when a field has the wrong type.
 */
export function toCreateParams(options: CreateSessionOptions): CreateParams {
  checkObject("params", options);
  return {
    imageId: checkString("imageId", options.imageId),
    labels: options.labels === undefined ? null : labelPairs("labels", options.labels),
    idleReleaseTimeout: checkOptionalNumber("idleReleaseTimeout", options.idleReleaseTimeout, "seconds"),
    mcpPolicyId: checkOptionalString("mcpPolicyId", options.mcpPolicyId),
    contextId: checkOptionalString("contextId", options.contextId),
    persistence: null,
    sdkVersion: VERSION,
  };
}

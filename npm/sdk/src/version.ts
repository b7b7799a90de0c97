/** Version of this package, as in its `package.json`. */
export const VERSION = "0.1.0";

/** Version of this package. */
export function getSdkVersion(): string {
  return VERSION;
}

/** Whether this is a published version: one without a pre-release part such as `-beta.1`. */
export function isReleaseVersion(): boolean {
  return /^\d+\.\d+\.\d+$/.test(VERSION);
}

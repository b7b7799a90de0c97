/** The addon by itself, without the SDK around it. */

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

import type { Binding } from "../../npm/sdk/src/binding.ts";

/** Where it is. */
export const ADDON = fileURLToPath(
  new URL(`../../npm/sdk/native/agbcloud-sdk.${process.platform}-${process.arch}${process.platform === "linux" ? "-gnu" : ""}.node`, import.meta.url),
);

export const binding = createRequire(import.meta.url)(ADDON) as Binding;

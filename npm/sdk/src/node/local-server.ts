import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { log } from "../log.js";
import { reason } from "./addon-fault.js";
import { HERE, PACKAGE_ROOT, requireFrom } from "./location.js";

/** The folder of the checkout, if this package is in one. */
const CHECKOUT = resolve(PACKAGE_ROOT, "..", "..");
const PROGRAM = process.platform === "win32" ? "agb-server.exe" : "agb-server";

/**
 * The program for `endpoint: "local"`: what `AGB_SERVER` names, else that of the package `agbcloud-local`, else the one
 * that was built last in the checkout; `null` when there is none.
 */
export function findLocalServer(): string | null {
  const named = process.env["AGB_SERVER"];
  if (named !== undefined && named !== "") {
    return existsSync(named) ? resolve(named) : warnMissing(named);
  }
  return fromPackage() ?? builtServer(CHECKOUT);
}

/** The program that was built last below `checkout`; `null` when that is not a checkout or nothing was built. */
export function builtServer(checkout: string): string | null {
  if (!existsSync(join(checkout, "crates", "server", "Cargo.toml"))) {
    return null;
  }
  const target = process.env["CARGO_TARGET_DIR"] || join(checkout, "target");
  const built = ["debug", "release"].map((profile) => resolve(target, profile, PROGRAM)).filter((path) => existsSync(path));
  const age = (path: string): number => statSync(path).mtimeMs;
  return built.sort((a, b) => age(b) - age(a))[0] ?? null;
}

/** From `agbcloud-local`, installed beside this package or in the program's own folder. */
function fromPackage(): string | null {
  for (const base of [HERE, join(process.cwd(), "index.js")]) {
    try {
      const local = requireFrom(base)("agbcloud-local") as { serverPath(): string };
      return local.serverPath();
    } catch (error) {
      log("debug", `no server program from agbcloud-local as seen from ${base}: ${reason(error)}`);
    }
  }
  return null;
}

function warnMissing(named: string): null {
  log("warn", `AGB_SERVER names ${named}, where there is no file`);
  return null;
}

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, afterEach, beforeEach, describe, it } from "node:test";
import { AGB, NativeAddonError, VERSION } from "../src/node.js";
import { loadAddon as loadAddonWith, PLATFORMS, platformName } from "../src/node/addon.js";
import { libcOfMaps } from "../src/node/libc.js";
import { builtServer, findLocalServer } from "../src/node/local-server.js";
import { requirePlatformPackage } from "../src/node/platform-package.js";

const NPM = resolve(__dirname, "..", "..");
const scratch = mkdtempSync(join(tmpdir(), "agb-sdk-test-"));
const kept = { ...process.env };
const keptDirectory = process.cwd();
const loadAddon = (): unknown => loadAddonWith(requirePlatformPackage);

beforeEach(() => {
  delete process.env["AGB_NATIVE"];
  delete process.env["AGB_SERVER"];
  delete process.env["CARGO_TARGET_DIR"];
});
afterEach(() => {
  process.chdir(keptDirectory);
  process.env = { ...kept };
});
after(() => rmSync(scratch, { recursive: true }));

function file(path: string, text = ""): string {
  const full = join(scratch, path);
  mkdirSync(join(full, ".."), { recursive: true });
  writeFileSync(full, text);
  return full;
}

function thrownBy(action: () => unknown): NativeAddonError {
  try {
    action();
  } catch (error) {
    assert(error instanceof NativeAddonError, String(error));
    return error;
  }
  return assert.fail("did not throw");
}

describe("the addon", () => {
  it("is what AGB_NATIVE names, with AGB_* of the environment behind it", () => {
    process.env["AGB_NATIVE"] = file(
      "fake-addon.cjs",
      "module.exports = { version: '0', Client: class { constructor(options) { globalThis.seen = options; } }, setLogger() {} };",
    );
    process.env["AGB_API_KEY"] = "from-env";
    process.env["AGB_ENDPOINT"] = "https://example.test";
    new AGB();
    const { env } = (globalThis as unknown as { seen: { env: Array<[string, string]> } }).seen;
    assert.deepEqual(new Map(env).get("AGB_API_KEY"), "from-env");
    assert(env.every(([name]) => name.startsWith("AGB_")));
  });

  it("a file that is there and cannot be loaded is told with the file, the fault and the cause", () => {
    for (const [text, words] of [["", "damaged"], ["not an addon", "damaged"], ["\x7fELF", "damaged"]] as const) {
      process.env["AGB_NATIVE"] = file("broken.node", text);
      const error = thrownBy(loadAddon);
      assert.equal(error.code, "NATIVE_ADDON_BROKEN");
      assert(error.message.includes("broken.node") && error.message.includes(words), error.message);
      assert(error.cause !== undefined);
    }
  });

  it("missing where AGB_NATIVE points is an error that names the file and the remedy", () => {
    process.env["AGB_NATIVE"] = join(scratch, "nothing.node");
    const error = thrownBy(loadAddon);
    assert.equal(error.code, "NATIVE_ADDON_MISSING");
    assert(error.message.includes(join(scratch, "nothing.node")));
    assert.match(error.message, /unset it/);
  });

  it("that does not load, or is something else, is an error of its own", () => {
    process.env["AGB_NATIVE"] = file("broken.node", "not a library");
    assert.equal(thrownBy(loadAddon).code, "NATIVE_ADDON_BROKEN");
    process.env["AGB_NATIVE"] = file("other.cjs", "module.exports = {};");
    assert.match(thrownBy(loadAddon).message, /not the addon of agbcloud-sdk/);
  });

  it("missing for a platform is an error that tells platform, libc and what to do", () => {
    const platform = Object.getOwnPropertyDescriptor(process, "arch") as PropertyDescriptor;
    try {
      Object.defineProperty(process, "arch", { ...platform, value: "s390x" });
      const error = thrownBy(loadAddon);
      assert.equal(error.code, "NATIVE_ADDON_MISSING");
      assert.match(error.message, /this platform, \w+-s390x.*There is no prebuilt addon.*AGB_NATIVE/);
    } finally {
      Object.defineProperty(process, "arch", platform);
    }
  });

  it("is for the C library that the process has loaded", () => {
    const maps = (...files: string[]): string => files.map((file) => `7f00-7f01 r--p 00000000 fe:00 12  ${file}\n`).join("");
    for (const musl of ["/lib/ld-musl-x86_64.so.1", "/usr/lib/ld-musl-aarch64.so.1", "/usr/lib/x86_64-linux-musl/libc.so"]) {
      assert.equal(libcOfMaps(maps("/usr/bin/node", "/usr/lib/libstdc++.so.6.0.33", musl)), "musl");
    }
    for (const glibc of ["/usr/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc-2.28.so"]) {
      assert.equal(libcOfMaps(maps("/home/ld-musl-fan/node", "/usr/lib/libcrypt.so.1", glibc)), "glibc");
    }
    assert.equal(libcOfMaps(""), null);
    assert.equal(libcOfMaps(maps("/usr/bin/static")), null);
  });

  it("has the names that npm/platforms.json gives", () => {
    const { platforms } = JSON.parse(readFileSync(join(NPM, "platforms.json"), "utf8")) as {
      platforms: Array<{ platform: string; sdk: { name: string; file: string }; local: { name: string } }>;
    };
    assert.deepEqual(platforms.map(({ platform }) => platform), PLATFORMS);
    for (const { platform, sdk, local } of platforms) {
      assert.equal(sdk.name, `agbcloud-sdk-${platform}`);
      assert.equal(sdk.file, `agbcloud-sdk.${platform}.node`);
      assert.equal(local.name, `agbcloud-local-${platform}`);
    }
    assert.match(platformName(), /^(linux-\w+-(gnu|musl)|darwin-\w+|win32-\w+-msvc)$/);
  });
});

describe("the version", () => {
  it("is that of package.json", () => {
    const { version } = JSON.parse(readFileSync(join(NPM, "sdk", "package.json"), "utf8")) as { version: string };
    assert.equal(VERSION, version);
  });
});

describe("the local server", () => {
  it("is what AGB_SERVER names", () => {
    process.env["AGB_SERVER"] = file("agb-server");
    assert.equal(findLocalServer(), join(scratch, "agb-server"));
    process.env["AGB_SERVER"] = join(scratch, "gone");
    assert.equal(findLocalServer(), null);
  });

  it("is that of agbcloud-local in the program's own folder", () => {
    file("app/node_modules/agbcloud-local/index.js", "exports.serverPath = () => '/from/the/package';");
    const isolated = join(scratch, "app");
    process.chdir(isolated);
    const found = findLocalServer();
    // Beside this package there is the checkout's own agbcloud-local, which goes first when it has a server.
    assert(found === "/from/the/package" || found?.endsWith("agb-server"), String(found));
  });

  it("is the one that was built last in the checkout", () => {
    const checkout = join(scratch, "checkout");
    assert.equal(builtServer(checkout), null);
    file("checkout/crates/server/Cargo.toml");
    assert.equal(builtServer(checkout), null);
    const debug = file("checkout/target/debug/agb-server");
    const release = file("checkout/target/release/agb-server");
    utimesSync(debug, 1, 1);
    assert.equal(builtServer(checkout), release);
    utimesSync(release, 0, 0);
    assert.equal(builtServer(checkout), debug);
  });
});

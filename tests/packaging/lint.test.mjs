/**
 * What registries, bundlers and TypeScript read of the tarballs is right, as `publint --strict` and "are the types
 * wrong?" judge it.
 *
 * @module
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { describe, it } from "node:test";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { tarballs } from "./project.mjs";

describe("the tarballs", () => {
  for (const file of tarballs()) {
    const name = basename(file);
    const bytes = readFileSync(file);

    it(`${name}: publint has nothing to say`, async () => {
      const tarball = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
      const { messages, pkg } = await publint({ pack: { tarball }, strict: true });
      assert.deepEqual(messages.map((message) => formatMessage(message, pkg)), []);
    });

    it(`${name}: the types are as the files are`, async () => {
      const analysis = await checkPackage(createPackageFromTarballData(new Uint8Array(bytes)));
      if (/-(linux|darwin|win32)-/.test(name)) {
        assert.equal(analysis.types, false, "a platform's package has a program and nothing else");
        return;
      }
      assert.ok(analysis.types, "it has types");
      assert.deepEqual(analysis.problems, []);
    });
  }
});

import { resolve } from "node:path";
import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  // In this checkout the SDK is a link to a folder outside of this one.
  server: { fs: { allow: [resolve(import.meta.dirname, "../..")] } },
  build: { target: "es2022", outDir: "../../target/examples/browser", emptyOutDir: true },
});

import { resolve } from "node:path";
import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  // What a page may load by path: its own files, its packages, and the SDK, which is a link in this checkout.
  server: { fs: { allow: [".", "../node_modules", "../../npm/sdk"].map((folder) => resolve(import.meta.dirname, folder)) } },
  build: { target: "es2022", outDir: "../../target/examples/browser", emptyOutDir: true },
});

import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  // The SDK finds its WebAssembly beside itself; copied into Vite's cache it would not.
  optimizeDeps: { exclude: ["agbcloud-sdk"] },
  build: { target: "es2022", outDir: "../../target/examples/browser", emptyOutDir: true },
});

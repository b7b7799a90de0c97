import { defineConfig, type MarkdownOptions } from "vitepress";

const page = (text: string, link: string) => ({ text, link });

const guides = [
  { text: "Output", items: [page("To a terminal", "/guides/terminal"), page("To a page", "/guides/page"), page("Resume after a reload", "/guides/resume"), page("Input", "/guides/input"), page("Cancel", "/guides/cancel")] },
  { text: "Backends", items: [page("Express", "/guides/express"), page("Fastify", "/guides/fastify"), page("Next.js", "/guides/next"), page("Server-sent events", "/guides/sse"), page("Vite and React", "/guides/vite-react")] },
  { text: "Models", items: [page("AI SDK", "/guides/ai-sdk"), page("OpenAI SDK", "/guides/openai"), page("MCP", "/guides/mcp")] },
  { text: "Sessions", items: [page("Files and commands", "/guides/files"), page("Images", "/guides/images"), page("Testing", "/guides/testing")] },
];
const concepts = [page("Sessions and runs", "/concepts/sessions"), page("How a run ends", "/concepts/ends"), page("Backpressure and resume", "/concepts/delivery")];
const operating = [
  page("Install", "/operating/install"),
  page("Isolation", "/operating/isolation"),
  page("Options and limits", "/operating/options"),
  page("Network of programs", "/operating/network"),
  page("TLS and proxies", "/operating/tls"),
  page("Many machines", "/operating/machines"),
  page("Metrics", "/operating/metrics"),
  page("Upgrade", "/operating/upgrade"),
  page("Capacity", "/operating/capacity"),
];

/** Writes the name of a block's file above it: `ts [server.ts]`. A group of blocks has its names in tabs. */
const nameFiles: NonNullable<MarkdownOptions["config"]> = (md) => {
  const fence = md.renderer.rules.fence!;
  md.renderer.rules.fence = (tokens, index, ...rest) => {
    const group = tokens.slice(0, index).findLast(({ type }) => type.startsWith("container_code-group"));
    const name = group?.type.endsWith("_open") ? undefined : /\[(.+)\]/.exec(tokens[index]!.info)?.[1];
    const caption = name === undefined ? "" : `<p class="file"><code>${md.utils.escapeHtml(name)}</code></p>`;
    return caption + fence(tokens, index, ...rest);
  };
};

export default defineConfig({
  title: "AGB in Rust",
  description: "A code interpreter with live output that you can host, embed and show in a page.",
  lang: "en",
  base: process.env["DOCS_BASE"] ?? "/",
  cleanUrls: true,
  outDir: "../../target/docs",
  cacheDir: "../../target/xtask/vitepress",
  srcExclude: ["node_modules/**", "tests/**", "README.md"],
  markdown: { theme: { light: "github-light-high-contrast", dark: "github-dark-high-contrast" }, config: nameFiles },
  vite: { build: { chunkSizeWarningLimit: 4_000 } },
  themeConfig: {
    nav: [page("Get started", "/start"), page("Guides", "/guides/terminal"), page("Operating", "/operating/install"), page("API", "/api/"), { text: "Rust", link: "/rust/agb_client/index.html", target: "_self" }],
    sidebar: {
      "/": [
        { text: "Get started", link: "/start" },
        { text: "Guides", items: guides },
        { text: "Concepts", items: concepts },
        { text: "Operating", items: operating },
        { text: "Reference", items: [page("Errors", "/errors"), page("FAQ", "/faq"), page("Protocol", "/protocol"), page("API", "/api/"), page("Examples", "/examples")] },
      ],
    },
    outline: [2, 3],
    search: { provider: "local" },
  },
});

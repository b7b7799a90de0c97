/** The example in which a model's code runs live, as somebody uses it who opens its page. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type LocalServer, startServer } from "../node/local-server.js";
import { ExampleSite } from "./example-site.js";
import { launch, open } from "./stage.js";
import { answersItsOwnPageOnly, givesOutNothingElse } from "./strangers.js";

describe("the chat", () => {
  let server: LocalServer;
  let site: ExampleSite;
  let browser: Awaited<ReturnType<typeof launch>>;
  let page: Awaited<ReturnType<typeof open>>;

  before(async () => {
    server = await startServer();
    browser = await launch();
    site = await ExampleSite.start(server.endpoint, server.apiKey, "chat/server.ts");
    page = await open(browser.context, site.address);
  });
  after(async () => {
    await browser?.close();
    await site?.stop();
    await server?.stop();
  });

  const ask = async (question: string): Promise<void> => {
    await page.getByLabel("Your question").fill(question);
    await page.getByRole("button", { name: "Send" }).click();
  };
  const output = (): Promise<string> => page.getByLabel("Output").last().innerText();
  const stateBecomes = (text: string): Promise<void> => page.locator(".state").last().getByText(text).waitFor();

  it("shows what the model's program prints while it runs", async () => {
    await ask("How many primes are there?");
    await page.getByText("primes up to  20,000").waitFor();
    await stateBecomes("running");
    assert.doesNotMatch(await output(), /100,000/);
    await stateBecomes("finished");
    assert.match(await output(), /9,592 primes up to 100,000/);
    await page.getByText("Done: that is what the program printed.").waitFor();
    await page.getByRole("button", { name: "Send" }).waitFor();
  });

  it("says what was raised, to the reader and to the model", async () => {
    await ask("Do something wrong");
    await stateBecomes("failed");
    assert.match(await output(), /about to fail/);
    await page.getByText("The program ended as failed.").waitFor();
  });

  it("stops the program with the answer", async () => {
    await ask("Do something long");
    await page.getByLabel("Output").last().getByText("0 1").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await stateBecomes("stopped");
    // The next program runs: the one before does not keep the interpreter.
    await ask("Throw some dice");
    await stateBecomes("finished");
    assert.match(await output(), /1: #+ {2}2: #+/);
  });

  it("gives out its page only, to its own page only", async () => {
    assert.deepEqual(page.complaints, []);
    await givesOutNothingElse(site.address, "/etc/passwd", "root:");
    await givesOutNothingElse(site.address, "/server.ts", "scriptedModel");
    await answersItsOwnPageOnly(site.address, "/chat");
  });
});

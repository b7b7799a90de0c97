/** The measured process of `e2e.ts`: this project's SDK, by its public API. */

import { report, task } from "./measure.mjs";
import { Stamps } from "./stamps.mjs";

const { endpoint, apiKey, code } = task();
const { AGB, CreateSessionParams } = await import("agbcloud-sdk");
const agb = new AGB({ apiKey, config: { endpoint } });
const { session, errorMessage } = await agb.create(new CreateSessionParams({ imageId: "agb-code-space-1" }));
if (session === undefined) {
  throw new Error(errorMessage);
}
// The first run pays for the interpreter's start and the connection.
await session.code.run("print(1)", "python", 60, true, () => {});
const stamps = new Stamps();
const result = await session.code.run(code, "python", 60, true, stamps.take);
if (!result.success) {
  throw new Error(result.errorMessage);
}
report(stamps.figures());
await agb.delete(session);

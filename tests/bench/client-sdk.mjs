/** The measured process of `client.ts`: this project's SDK, by its public API. */

import { codeOf, measure, Meter, report, task } from "./measure.mjs";

const { endpoint, image, load, warmUp, sdk } = task();
const { AGB, CreateSessionParams } = await import(sdk ?? "agbcloud-sdk");
const agb = new AGB({ apiKey: "load", config: { endpoint } });
const { session, errorMessage } = await agb.create(new CreateSessionParams({ imageId: image }));
if (session === undefined) {
  throw new Error(errorMessage);
}

/** @type {(meter: Meter, load: object) => Promise<void>} */
async function run(meter, load) {
  const result = await session.code.run(codeOf(load), "python", 600, true, meter.take);
  if (!result.success) {
    throw new Error(result.errorMessage);
  }
}

await run(new Meter(warmUp), warmUp);
const meter = new Meter(load);
const figures = await measure(meter, () => run(meter, load));
report(figures);
await agb.delete(session);

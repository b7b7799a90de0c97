import { AGB, CreateSessionParams } from "agbcloud-sdk";
const agb = new AGB();
const { session } = await agb.create(new CreateSessionParams({ imageId: "agb-code-space-1" }));
const result = await session!.code.run(
  "import time\nfor i in range(5):\n    print(f'Progress: {i+1}/5')\n    time.sleep(1)",
  "python",
  60, true, // seconds; stream_beta
  (chunk: string) => process.stdout.write(`[STDOUT] ${chunk}`),
);
console.log(result.success, result.logs.stdout.length);
await agb.delete(session!);

import { AGB, CreateSessionParams } from "agbcloud-sdk";

const agb = new AGB();
const createResult = await agb.create(
  new CreateSessionParams({ imageId: "agb-code-space-1" })
);
if (!createResult.success || !createResult.session) {
  throw new Error(`Session creation failed: ${createResult.errorMessage}`);
}

const session = createResult.session;
try {
  const execResult = await session.code.run(
    "import time\n" +
    "for i in range(5):\n" +
    "    print(f'Progress: {i+1}/5')\n" +
    "    time.sleep(1)\n" +
    "print('Done!')",
    "python",
    60,
    true, // stream_beta
    (chunk: string) => console.log(`[STDOUT] ${chunk}`),
    (chunk: string) => console.log(`[STDERR] ${chunk}`),
    (error: Error) => console.log(`[ERROR] ${error}`)
  );

  if (execResult.success) {
    console.log(`\nExecution completed in ${execResult.executionTime?.toFixed(2)}s`);
  }
} finally {
  await agb.delete(session);
}

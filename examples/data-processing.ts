// Follows a long job and reacts to what it prints: one line of progress for each ten rows.
import { AGB, CreateSessionParams } from "agbcloud-sdk";

const ROWS = 100;
const program = `
import time
for row in range(${ROWS}):
    time.sleep(0.1)
    if (row + 1) % 10 == 0:
        print(f"{row + 1} rows processed")
print("all rows done")
`;

const agb = new AGB();
const createResult = await agb.create(new CreateSessionParams({ imageId: "agb-code-space-1" }));
if (!createResult.success || !createResult.session) {
  throw new Error(`Session creation failed: ${createResult.errorMessage}`);
}

const session = createResult.session;
try {
  const result = await session.code.run(program, "python", 120, {
    streamBeta: true,
    onStdout: (chunk) => {
      for (const [, rows] of chunk.matchAll(/(\d+) rows processed/g)) {
        console.log(`${Math.round((100 * Number(rows)) / ROWS)} % done`);
      }
    },
    onStderr: (chunk) => console.error(chunk),
  });
  if (!result.success) {
    throw new Error(result.errorMessage);
  }
  console.log(`Processed ${ROWS} rows in ${result.executionTime.toFixed(1)} s`);
} finally {
  await agb.delete(session);
}

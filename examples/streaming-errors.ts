// Handles a program that raises: the output before it, the error as it happens, and the result.
import { AGB, CreateSessionParams } from "agbcloud-sdk";

const program = `
print("about to divide")
print(1 / 0)
`;

const agb = new AGB();
const createResult = await agb.create(new CreateSessionParams({ imageId: "agb-code-space-1" }));
if (!createResult.success || !createResult.session) {
  throw new Error(`Session creation failed: ${createResult.errorMessage}`);
}

const session = createResult.session;
try {
  const result = await session.code.run(
    program,
    "python",
    60,
    true, // stream_beta
    (chunk) => console.log(`[STDOUT] ${chunk.trimEnd()}`),
    (chunk) => console.log(`[STDERR] ${chunk.trimEnd()}`),
    (error) => console.log(`[ERROR] ${error.code}: ${error.message}`),
  );
  if (result.success) {
    throw new Error("the program was expected to fail");
  }
  console.log(`The run failed with ${result.error?.name}: ${result.error?.value}`);
} finally {
  await agb.delete(session);
}

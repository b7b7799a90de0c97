// Handles standard output and standard error apart, in the order in which the program wrote them.
import { AGB, CreateSessionParams } from "agbcloud-sdk";

const program = `
import sys, time
for step in range(3):
    print(f"step {step + 1}")
    time.sleep(0.2)
    print(f"warning in step {step + 1}", file=sys.stderr)
    time.sleep(0.2)
`;

const agb = new AGB();
const createResult = await agb.create(new CreateSessionParams({ imageId: "agb-code-space-1" }));
if (!createResult.success || !createResult.session) {
  throw new Error(`Session creation failed: ${createResult.errorMessage}`);
}

const session = createResult.session;
try {
  const output: string[] = [];
  const warnings: string[] = [];
  const result = await session.code.run(
    program,
    "python",
    60,
    true, // stream_beta
    (chunk) => {
      output.push(chunk);
      console.log(`out | ${chunk.trimEnd()}`);
    },
    (chunk) => {
      warnings.push(chunk);
      console.log(`err | ${chunk.trimEnd()}`);
    },
  );
  if (!result.success) {
    throw new Error(result.errorMessage);
  }
  console.log(`${output.join("").trimEnd().split("\n").length} lines of output, ${warnings.join("").trimEnd().split("\n").length} warnings`);
} finally {
  await agb.delete(session);
}

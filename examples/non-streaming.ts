// Runs code and takes all of its output with the result.
import { AGB, CreateSessionParams } from "agbcloud-sdk";

const agb = new AGB();
const createResult = await agb.create(new CreateSessionParams({ imageId: "agb-code-space-1" }));
if (!createResult.success || !createResult.session) {
  throw new Error(`Session creation failed: ${createResult.errorMessage}`);
}

const session = createResult.session;
try {
  const result = await session.code.run("print('hello')", "python");
  if (!result.success) {
    throw new Error(result.errorMessage);
  }
  console.log(result.logs.stdout.join(""));
} finally {
  await agb.delete(session);
}

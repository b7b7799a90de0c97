// A training loop with tqdm: its progress bar arrives on stderr while the loop runs, the losses on stdout.
import { AGB, CreateSessionParams } from "agbcloud-sdk";

const program = `
import numpy as np
from tqdm import tqdm

rng = np.random.default_rng(0)
X = rng.normal(size=(1000, 3))
y = (X @ [2.0, -1.0, 0.5] + rng.normal(scale=0.5, size=1000) > 0).astype(float)

w, learning_rate, epochs = np.zeros(3), 0.5, 40
with tqdm(range(epochs), desc="training", mininterval=0) as progress:
    for epoch in progress:
        p = 1 / (1 + np.exp(-X @ w))
        loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
        w -= learning_rate * X.T @ (p - y) / len(y)
        progress.set_postfix(loss=f"{loss:.3f}")
        if epoch % 10 == 0:
            print(f"epoch {epoch}: loss {loss:.3f}")

accuracy = ((X @ w > 0) == y).mean()
accuracy > 0.9
`;

const agb = new AGB();
const createResult = await agb.create(new CreateSessionParams({ imageId: "agb-code-space-1" }));
if (!createResult.success || !createResult.session) {
  throw new Error(`Session creation failed: ${createResult.errorMessage}`);
}

const session = createResult.session;
try {
  let bars = 0;
  const result = await session.code.run(program, "python", 120, {
    streamBeta: true,
    onStdout: (chunk) => process.stdout.write(chunk),
    // A terminal would draw each bar over the one before: \r goes back to the start of the line.
    onStderr: (chunk) => {
      bars += chunk.split("\r").length - 1;
      if (process.stdout.isTTY) process.stderr.write(chunk);
    },
  });
  if (!result.success) {
    throw new Error(result.errorMessage);
  }
  console.log(`${bars} bars; good enough: ${result.results.find((item) => item.isMainResult)?.text}`);
} finally {
  await agb.delete(session);
}

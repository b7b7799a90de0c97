import { AGB, throwIfFailed } from "agbcloud-sdk";

const agb = new AGB();
const { session } = throwIfFailed(await agb.create({ imageId: "agb-code-space-1" }));

const run = session!.code.stream(
  "name = input('Your name? ')\n" +
  "for i in range(3):\n" +
  "    print(f'{i + 1}. Hello, {name}!')\n" +
  "len(name)",
  "python",
);
for await (const event of run) { // leaving the loop early would stop the program
  switch (event.type) {
    case "stdout":
    case "stderr":
      process.stdout.write(event.text);
      break;
    case "inputRequest":
      run.write("Ada\n");
      break;
    case "result":
      console.log(`=> ${event.result.text}`);
      break;
    case "end":
      console.log(`${event.result.status} after ${event.result.executionTime.toFixed(1)} s`);
  }
}
await agb.delete(session!);

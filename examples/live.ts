import { AGB, throwIfFailed } from "agbcloud-sdk";
const agb = new AGB(); // AGB_API_KEY and AGB_ENDPOINT, from the environment or a .env file
const { session } = throwIfFailed(await agb.create({ imageId: "agb-code-space-1" }));
const run = session!.code.stream("name = input('Your name? ')\nfor i in range(3):\n    print(f'{i}: hello, {name}')", "python");
for await (const event of run) { // leaving the loop stops the program
  if (event.type === "stdout") process.stdout.write(event.text);
  if (event.type === "inputRequest") run.write("Ada\n"); // event.prompt is "Your name? "
}
console.log((await run.result).status); // finished, failed, timeout, cancelled, killed or interrupted
await agb.delete(session!);

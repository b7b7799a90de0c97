import { type Session } from "agbcloud-sdk";
import { tool } from "ai";
import { z } from "zod";

/** A tool that runs Python in `session`. `show` gets the output as it is printed; the model gets it at the end. */
export function runPython(session: Session, show: (text: string) => void) {
  return tool({
    description: "Run Python. Variables stay from call to call. Returns what the program printed.",
    inputSchema: z.object({ code: z.string() }),
    async execute({ code }, { abortSignal }) {
      const run = session.code.stream(code, "python", { timeoutS: 120, logLimit: 16_384, ...(abortSignal && { signal: abortSignal }) });
      for await (const event of run) {
        if (event.type === "stdout" || event.type === "stderr") show(event.text);
      }
      const { status, logs, errorMessage } = await run.result;
      return { status, output: logs.stdout.join(""), error: errorMessage };
    },
  });
}

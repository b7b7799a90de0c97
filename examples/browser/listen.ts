/** Where an example's server listens: on this machine only, and on a port that can be chosen. */

import type { Server } from "node:http";

/** Listens on the loopback interface and prints the address. A port that cannot be had ends the program with what to do. */
export function listen(server: Server, port: string): void {
  server.once("error", (error: NodeJS.ErrnoException) => {
    const inUse = error.code === "EADDRINUSE" ? `port ${port} is in use, perhaps by this example` : error.message;
    console.error(`${inUse}: choose another one by the environment variable PORT; 0 is any that is free`);
    process.exit(1);
  });
  server.listen(Number(port), "127.0.0.1", () => {
    const { port } = server.address() as { port: number };
    console.log(`http://localhost:${port}`);
  });
}

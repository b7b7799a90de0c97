declare global {
  // It is there already where the program's own types have it; the two declarations then are one.
  interface SymbolConstructor {
    readonly asyncDispose: unique symbol;
  }
}

/**
 * What `await using` calls. Older browsers and Node before 18.18 have no such symbol; this is the name by which compilers
 * look for it there.
 */
export const asyncDispose: typeof Symbol.asyncDispose =
  Symbol.asyncDispose ?? (Symbol.for("Symbol.asyncDispose") as typeof Symbol.asyncDispose);

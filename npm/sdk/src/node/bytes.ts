/** The contents of a binary file: a `Buffer` in Node, a `Uint8Array` in a page. */
export type Bytes = typeof globalThis extends { readonly Buffer: { alloc(size: number): infer B } } ? B : Uint8Array;

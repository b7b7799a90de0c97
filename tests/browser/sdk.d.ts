/** The SDK as pages of these tests have it: as a global, since functions that are sent into a page import nothing. */
declare global {
  var agb: typeof import("agbcloud-sdk");
}

export {};

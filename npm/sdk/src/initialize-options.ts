/** What {@link initialize} can be told. All of it is for browsers. */
export interface InitializeOptions {
  /**
   * Where the WebAssembly is, when it is not beside the script: a `URL` or the text of one, a `Response` or the promise
   * of one, its bytes, or the compiled `WebAssembly.Module`.
   */
  readonly wasm?: string | object | undefined;
  /**
   * Load the larger build (`agb_account_bg.wasm`), which a page needs that makes an {@link AGB}; without it the one
   * that {@link Session.attach} needs (`agb_bg.wasm`).
   */
  readonly account?: boolean | undefined;
}

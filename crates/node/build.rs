//! Link flags of an addon.

fn main() {
    napi_build::setup();
    // Node unloads an addon when the last worker that loaded it ends. This one has a thread of its own, whose code would
    // then be gone from under it.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}

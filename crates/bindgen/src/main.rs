//! Makes the JavaScript glue of a compiled module: `agb-bindgen MODULE.wasm NAME FOLDER`.
//!
//! The program `wasm-bindgen` does the same, but installing it resolves its own dependencies on the day; as a crate
//! of this workspace the generator is what `Cargo.lock` says, like everything else.

use std::env::args_os;
use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<_> = args_os().skip(1).collect();
    let [module, name, folder] = arguments.as_slice() else {
        eprintln!("usage: agb-bindgen MODULE.wasm NAME FOLDER");
        return ExitCode::from(2);
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name(&name.to_string_lossy()).typescript(false);
    match bindgen.web(true).and_then(|bindgen| bindgen.generate(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agb-bindgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}

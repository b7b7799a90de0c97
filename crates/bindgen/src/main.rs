//! Makes the JavaScript glue of a compiled module: `agb-bindgen MODULE.wasm NAME FOLDER`.
//!
//! The program `wasm-bindgen` does the same, but installing it resolves its own dependencies on the day; as a crate
//! of this workspace the generator is what `Cargo.lock` says, like everything else.
//!
//! What the glue and the module call each other by has a hash each, which does not compress and is there twice. Both get
//! short names instead: 0.7 KiB of a page with brotli.

use std::collections::HashMap;
use std::env::args_os;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use wasm_bindgen_cli_support::{Bindgen, EncodeInto};

fn main() -> ExitCode {
    let arguments: Vec<_> = args_os().skip(1).collect();
    let [module, name, folder] = arguments.as_slice() else {
        eprintln!("usage: agb-bindgen MODULE.wasm NAME FOLDER");
        return ExitCode::from(2);
    };
    match generate(module, &name.to_string_lossy(), Path::new(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agb-bindgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn generate(module: &OsString, name: &str, folder: &Path) -> Result<(), String> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name(name).typescript(false);
    bindgen.encode_into(EncodeInto::Always); // Chrome 74, Firefox 66, Safari 14.1
    let generated = bindgen.web(true).and_then(|bindgen| bindgen.generate_output());
    let mut output = generated.map_err(|error| format!("{error:#}"))?;
    let module = output.wasm_mut();
    let mut short = HashMap::new();
    let mut shorten = |name: &mut String| {
        if is_internal(name) {
            let number = short.len();
            name.clone_from(short.entry(name.clone()).or_insert_with(|| format!("${number:x}")));
        }
    };
    module.imports.iter_mut().for_each(|import| shorten(&mut import.name));
    module.exports.iter_mut().for_each(|export| shorten(&mut export.name));
    output.emit(folder).map_err(|error| format!("{error:#}"))?;
    let glue = folder.join(name).with_extension("js");
    let renamed = fs::read_to_string(&glue).and_then(|text| fs::write(&glue, rename(&text, &short)));
    renamed.map_err(|error| format!("{}: {error}", glue.display()))
}

/// Whether only the glue uses a name.
fn is_internal(name: &str) -> bool {
    name.starts_with("__") || name.starts_with("wasm_bindgen_")
}

/// Replaces whole identifiers.
fn rename(text: &str, names: &HashMap<String, String>) -> String {
    let is_part = |character: char| character.is_alphanumeric() || character == '_' || character == '$';
    let mut renamed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(is_part) {
        let (before, word) = rest.split_at(begin);
        let (word, after) = word.split_at(word.find(|character| !is_part(character)).unwrap_or(word.len()));
        renamed.push_str(before);
        renamed.push_str(names.get(word).map_or(word, String::as_str));
        rest = after;
    }
    renamed.push_str(rest);
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_are_renamed() {
        let names = HashMap::from([("__a".to_owned(), "$0".to_owned())]);
        assert_eq!(rename("wasm.__a(__ab, x__a); '__a'", &names), "wasm.$0(__ab, x__a); '$0'");
        assert_eq!(rename("__a", &names), "$0");
        assert_eq!(rename("é __a€", &names), "é $0€");
    }
}

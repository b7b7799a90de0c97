//! Each target with its corpus, and with mutations of it that are the same each time.

use std::path::Path;

use agb_protocol::random::SplitMix64;

agb_fuzz::helper_before_main!();

/// So many mutations of each target: together a few seconds.
const ROUNDS: u64 = 10_000;

/// Pieces that parsers take for something.
const TOKENS: [&str; 26] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    ":",
    ",",
    "null",
    "-1",
    "1e999",
    "18446744073709551616",
    "\0",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "=",
    "#",
    "'",
    "$ID",
    "%00",
    "é",
    "\u{feff}",
    ".",
];

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], dice: &mut SplitMix64) {
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(input.len() + 1);
        match dice.roll(8) {
            0 if at < input.len() => input[at] ^= 1 << dice.roll(8),
            1 if at < input.len() => input[at] = u8::try_from(dice.roll(256)).expect("it is below"),
            2 if at < input.len() => drop(input.drain(at..(at + 1 + dice.roll(16)).min(input.len()))),
            3 => drop(input.splice(at..at, TOKENS[dice.roll(TOKENS.len())].bytes())),
            4 => {
                let piece = input[at..(at + dice.roll(64)).min(input.len())].to_vec();
                input.splice(at..at, piece);
            }
            5 => {
                let other = &corpus[dice.roll(corpus.len())];
                let from = dice.roll(other.len() + 1);
                input.splice(at..at, other[from..(from + dice.roll(64)).min(other.len())].iter().copied());
            }
            6 => input.truncate(at),
            _ => {
                let count = dice.roll(300);
                let byte = TOKENS[dice.roll(TOKENS.len())].as_bytes()[0];
                input.splice(at..at, std::iter::repeat_n(byte, count));
            }
        }
    }
    input.truncate(1 << 16);
}

/// Shows the input when the target panics.
struct Shown<'a> {
    target: &'a str,
    input: &'a [u8],
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} broke with this input; put it into the corpus:\n{}", self.target, self.input.escape_ascii());
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

fn try_out(target: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("a corpus").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).expect("a file")).collect();
    assert!(!corpus.is_empty(), "{target} has no corpus");
    let (seed, rounds) = (number("AGB_FUZZ_SEED").unwrap_or(1), number("AGB_FUZZ_ROUNDS").unwrap_or(ROUNDS));
    println!("{target}: {} inputs, {rounds} mutations, AGB_FUZZ_SEED={seed}", corpus.len());
    let run = |input: &[u8]| {
        let _shown = Shown { target, input };
        agb_fuzz::run(target, input);
    };
    corpus.iter().for_each(|input| run(input));
    let mut dice = SplitMix64::new(seed);
    for _ in 0..rounds {
        let mut input = corpus[dice.roll(corpus.len())].clone();
        mutate(&mut input, &corpus, &mut dice);
        run(&input);
    }
}

macro_rules! targets {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            try_out(stringify!($name));
        })*

        #[test]
        fn every_target_is_tried_here_and_by_libfuzzer() {
            let here = [$(stringify!($name)),*];
            let known: Vec<_> = agb_fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(here.as_slice(), known.as_slice());
            let manifest = include_str!("../fuzz/Cargo.toml");
            for name in known {
                assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is no target of cargo fuzz");
            }
        }
    };
}

targets!(http, request, frames, incoming, control, proxy, allow, dotenv, image, keys, tar);

//! Each target with its corpus, and with mutations of it that are the same each time.

use std::path::Path;

agb_fuzz::helper_before_main!();

/// So many mutations of each target: together a few seconds.
const ROUNDS: u64 = 10_000;

/// A small generator: what matters is that a seed gives the same inputs on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(limit.max(1)).expect("it is small")).expect("it is below")
    }
}

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

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(input.len() + 1);
        match dice.below(8) {
            0 if at < input.len() => input[at] ^= 1 << dice.below(8),
            1 if at < input.len() => input[at] = u8::try_from(dice.below(256)).expect("it is below"),
            2 if at < input.len() => drop(input.drain(at..(at + 1 + dice.below(16)).min(input.len()))),
            3 => drop(input.splice(at..at, TOKENS[dice.below(TOKENS.len())].bytes())),
            4 => {
                let piece = input[at..(at + dice.below(64)).min(input.len())].to_vec();
                input.splice(at..at, piece);
            }
            5 => {
                let other = &corpus[dice.below(corpus.len())];
                let from = dice.below(other.len() + 1);
                input.splice(at..at, other[from..(from + dice.below(64)).min(other.len())].iter().copied());
            }
            6 => input.truncate(at),
            _ => {
                let count = dice.below(300);
                let byte = TOKENS[dice.below(TOKENS.len())].as_bytes()[0];
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
    let mut dice = Dice(seed);
    for _ in 0..rounds {
        let mut input = corpus[dice.below(corpus.len())].clone();
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

targets!(http, request, incoming, control, proxy, allow, dotenv, image, keys);

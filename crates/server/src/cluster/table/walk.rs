//! Random schedules of servers, a registry and a network, and what must hold in each: no time passes, nothing is sent.

mod world;

use self::world::World;

const SERVERS: usize = 4;
/// After the last fault: a beat, the silence of a lost server, its verdict, a beat of a zombie, and the wait of a joiner.
const CALM: u32 = 4 * 45;

/// A small generator, so that a seed says it all.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, limit: u64) -> bool {
        self.below(limit) == 0
    }
}

/// One thing that goes wrong, or right again. A failing schedule is shortened fault by fault.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill(usize),
    Start(usize),
    Freeze(usize),
    Thaw(usize),
    /// From the registry.
    Cut(usize),
    Join(usize),
    /// Between two servers.
    Part(usize, usize),
    Mend(usize, usize),
    /// The registry answers nobody.
    Away,
    Back,
    Wipe,
    /// Keeps a copy of the registry.
    Save,
    /// Puts the copy in its place.
    Restore,
    /// The next answer of the registry to this server is lost, its write is not.
    LoseAnswer(usize),
    /// An orderly end.
    Leave(usize),
}

/// The faults of a seed, each before a tick.
fn schedule(seed: u64) -> Vec<(u32, Fault)> {
    let mut random = Random(seed.max(1).wrapping_mul(0xD129_0D3B_3F8A_94C7) | 1);
    let mut faults = Vec::new();
    let mut tick = 60;
    for _ in 0..random.below(14) + 1 {
        let mut server = || usize::try_from(random.below(SERVERS as u64)).expect("small");
        let (one, other) = (server(), server());
        let fault = match random.below(16) {
            0 | 1 => Fault::Kill(one),
            2 | 3 => Fault::Start(one),
            4 => Fault::Freeze(one),
            5 => Fault::Thaw(one),
            6 => Fault::Cut(one),
            7 => Fault::Join(one),
            8 if one != other => Fault::Part(one, other),
            9 => Fault::Mend(one, other),
            10 => Fault::Away,
            11 => Fault::Back,
            12 => Fault::Wipe,
            13 => Fault::Save,
            14 => Fault::Restore,
            15 => Fault::Leave(one),
            _ => Fault::LoseAnswer(one),
        };
        faults.push((tick, fault));
        tick += u32::try_from(random.below(60)).expect("small");
    }
    faults
}

fn walk(seed: u64, faults: &[(u32, Fault)]) -> Result<(), String> {
    let mut world = World::new(seed);
    let last = faults.last().map_or(60, |(tick, _)| *tick);
    let mut faults = faults.iter().peekable();
    for tick in 0..=last {
        while let Some((_, fault)) = faults.next_if(|(at, _)| *at == tick) {
            world.fault(*fault);
        }
        world.tick()?;
    }
    world.calm();
    for _ in 0..CALM {
        world.tick()?;
    }
    world.is_settled()
}

/// The registry is away for longer than a silent server is waited for, and then it is an old copy, which does not know one
/// server and knows another by what it was before.
#[test]
fn an_old_copy_after_a_long_outage_ends_nobody() {
    let before = [
        (60, Fault::Leave(3)),
        (90, Fault::Save),
        (100, Fault::Kill(2)),
        (101, Fault::Start(2)),
        (150, Fault::Start(3)),
        (250, Fault::Away),
    ];
    for (seed, ticks) in (1..=15).flat_map(|seed| [20, 41, 60, 120].map(|ticks| (seed, ticks))) {
        let after = [(250 + ticks, Fault::Restore), (251 + ticks, Fault::Back)];
        let faults = [&before[..], &after[..]].concat();
        walk(seed, &faults).unwrap_or_else(|problem| panic!("seed {seed}, away for {ticks} ticks: {problem}"));
    }
}

#[test]
fn no_schedule_breaks_what_is_promised() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("AGB_WALK_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("AGB_WALK_SEEDS").unwrap_or(1000),
    };
    for seed in seeds {
        let mut faults = schedule(seed);
        let Err(mut problem) = walk(seed, &faults) else { continue };
        // Shrink: leave out what is not needed.
        let mut index = 0;
        while index < faults.len() {
            let mut fewer = faults.clone();
            fewer.remove(index);
            match walk(seed, &fewer) {
                Err(same) => (faults, problem) = (fewer, same),
                Ok(()) => index += 1,
            }
        }
        panic!("AGB_WALK_SEED={seed}: {problem}\n{faults:#?}");
    }
}

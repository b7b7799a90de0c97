//! Programs that try to get out of their interpreters' sandboxes, each language in its own way: in all four languages, at
//! every level that this machine offers, as the user who runs the tests and, if that is root, once more as each that a
//! server may have to be. What stops Python and system calls as such is in the test `battery` of `agb-sandbox`.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agb_kernel::{Cell, CellEvent, Kernel, KernelSpec, Outcome, find_interpreter};
use agb_sandbox::{Child, Command, Launcher, Level, Policy, main_if_helper};
use agb_testkit::escapes::{self, Escapes};
use agb_testkit::profile::PrivilegeProfile;

mod attempts;

use attempts::{Attempt, Program};

/// More than anything takes on a busy machine; who gets here hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// In the environment of this process: no program may see it.
const KEY: &str = "AGB_API_KEY";

fn main() {
    main_if_helper();
    let words: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let _results = escapes::begin();
    // SAFETY: there are no other threads yet. Interpreters are looked for where all users may read them.
    unsafe {
        std::env::set_var(KEY, "a-key-that-is-nobodys-business");
        std::env::set_var("PATH", "/usr/local/bin:/usr/bin:/bin");
    }
    let active = PrivilegeProfile::active();
    let profile = active.unwrap_or_else(PrivilegeProfile::of_this_process);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("there are threads").block_on(try_everything(profile, &words));
    println!("as {profile}: nothing got out");
    if active.is_none() {
        for profile in profile.others() {
            let status = profile.run_again(&words).unwrap_or_else(|error| panic!("as {profile}: {error}"));
            assert!(status.success(), "as {profile}: {status}");
        }
        let preface = "Written by the test `escape` of this crate, which runs a cell of each language with all attempts \
                       of it. What stops system calls as such is in `crates/sandbox/ESCAPES.md`.";
        let list = escapes::list_in(env!("CARGO_MANIFEST_DIR"));
        let attempts = attempts::all().iter().map(|(program, attempt)| title(program, attempt)).collect();
        Escapes { list, preface, attempts }.compare(words.is_empty());
        println!("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    }
}

fn title(program: &Program, attempt: &Attempt) -> String {
    format!("{}: {}", program.language, attempt.name)
}

async fn try_everything(profile: PrivilegeProfile, words: &[String]) {
    let launcher = Arc::new(Launcher::start("/proc/self/exe").expect("the launcher starts"));
    let report = launcher.probe();
    let offered = report.levels.iter().filter(|(_, offer)| offer.is_ok()).map(|(level, _)| *level);
    let world = Arc::new(World::new());
    let mut got_out = Vec::new();
    for level in offered {
        let mut running = Vec::new();
        for program in &attempts::PROGRAMS {
            if words.is_empty() || words.iter().any(|word| program.language.to_string().contains(word.as_str())) {
                let (launcher, world) = (Arc::clone(&launcher), Arc::clone(&world));
                running.push((program, tokio::spawn(run(launcher, world, level, program))));
            }
        }
        for (program, answers) in running {
            let answers = answers.await.expect("it says what is wrong");
            for (attempt, answer) in made(program, level).zip(answers) {
                println!("{profile}, {level}, {}: {answer}", title(program, attempt));
                if level == Level::None {
                    assert_eq!(answer, "WORKED", "without isolation this works: {}", title(program, attempt));
                    continue;
                }
                escapes::keep(level.name(), &title(program, attempt), &answer);
                if answer == "WORKED" || attempts::is_mistake(&answer) {
                    got_out.push(format!("{level}: {}: {answer}", title(program, attempt)));
                }
            }
        }
    }
    assert!(got_out.is_empty(), "as {profile}: {got_out:#?}");
}

/// The attempts that are made. Without isolation, where they work: those that change nothing.
fn made(program: &Program, level: Level) -> impl Iterator<Item = &Attempt> {
    program.attempts.iter().filter(move |attempt| level != Level::None || attempt.works_unisolated)
}

/// What the attempts are about.
struct World {
    dir: PathBuf,
    port: u16,
    _listeners: (TcpListener, UnixListener),
}

impl World {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("agb-escape-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("the temporary folder can be written");
        std::fs::create_dir(dir.join("other")).expect("it is ours");
        for file in ["secret", "other/file"] {
            std::fs::write(dir.join(file), "secret\n").expect("it is ours");
        }
        let tcp = TcpListener::bind("127.0.0.1:0").expect("there is a loopback device");
        let socket = UnixListener::bind(dir.join("socket")).expect("it is ours");
        // As open as can be: what stops the attempts is to be the sandbox.
        for path in ["", "other", "secret", "other/file", "socket"] {
            std::fs::set_permissions(dir.join(path), PermissionsExt::from_mode(0o777)).expect("it is ours");
        }
        Self { port: tcp.local_addr().expect("it is bound").port(), dir, _listeners: (tcp, socket) }
    }

    /// Not in the folder above, where anybody may write: nothing is started from such a place.
    fn cache(&self) -> PathBuf {
        self.dir.with_extension("cache")
    }

    /// A policy with folders of its own.
    fn policy(&self, level: Level, slot: u32) -> Policy {
        let folder = self.dir.join(format!("{level}-{slot}"));
        for part in ["work", "tmp"] {
            std::fs::create_dir_all(folder.join(part)).expect("it is ours");
        }
        let mut policy = Policy::new(level, folder.join("work"), slot);
        policy.tmp = Some(folder.join("tmp"));
        policy
    }

    /// A program's code with the names of what it is to try to reach.
    fn fill(&self, code: &str, other: &Child) -> String {
        let path = |name: &str| self.dir.join(name).display().to_string();
        [
            ("{SECRET}", path("secret")),
            ("{NEIGHBOUR}", path("other")),
            ("{SOCKET}", path("socket")),
            ("{PORT}", self.port.to_string()),
            ("{SERVER}", std::process::id().to_string()),
            ("{OTHER}", other.id().to_string()),
        ]
        .iter()
        .fold(code.to_owned(), |code, (name, value)| code.replace(name, value))
    }
}

impl World {
    /// An answer without what is different each time.
    fn general(&self, answer: &str) -> String {
        let (dir, port) = (self.dir.display().to_string(), self.port.to_string());
        answer.trim().trim_end_matches(':').replace(&dir, "...").replace(&port, "PORT")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for folder in [self.dir.clone(), self.cache()] {
            agb_sandbox::remove_tree(&folder).unwrap_or_else(|error| println!("{} is left: {error}", folder.display()));
        }
    }
}

/// Makes all attempts of a language in one cell. What became of each, in order.
async fn run(launcher: Arc<Launcher>, world: Arc<World>, level: Level, program: &'static Program) -> Vec<String> {
    let language = program.language;
    let slot = 2 * language as u32;
    let other = other(&launcher, &world.policy(level, slot + 1));
    let interpreter = find_interpreter(language, None).expect("interpreters are installed");
    let mut spec = KernelSpec::new(language, interpreter, launcher, world.policy(level, slot));
    spec.cache = world.cache();
    let kernel = Kernel::new(spec);
    let attempts: String = made(program, level).map(|attempt| (program.call)(attempt.name, attempt.code)).collect();
    let code = world.fill(&format!("{}\n{attempts}", program.prelude), &other);
    let mut execution = kernel.run(Cell::new(code, PATIENCE));
    let (mut stdout, mut all) = (String::new(), Vec::new());
    let outcome = loop {
        match execution.next().await.expect("there is an end") {
            CellEvent::End(end) => break end.outcome,
            CellEvent::Stdout(text) => stdout.push_str(&text),
            event => all.push(event),
        }
    };
    kernel.shutdown().await;
    let answers: Vec<String> =
        stdout.lines().filter_map(|line| Some(world.general(line.split_once('\t')?.1))).collect();
    let whole = outcome == Outcome::Finished && answers.len() == made(program, level).count();
    assert!(whole, "{level}, {language}: {outcome:?}\n{stdout}\n{all:#?}");
    answers
}

/// Another session's program.
fn other(launcher: &Launcher, policy: &Policy) -> Child {
    use std::os::fd::AsFd;
    let null = std::fs::File::options().read(true).write(true).open("/dev/null").expect("there is /dev/null");
    let sleep = Command::new("/usr/bin/sleep").args(["1000"]);
    launcher.spawn(policy, &sleep, [null.as_fd(); 5]).unwrap_or_else(|error| panic!("{error}"))
}

//! Measures how fast sessions start, for `cargo xtask bench start`: takes tasks from standard input, a line of JSON each,
//! and answers each with a line of figures. What a server is measured beside is started from here as well, so that all
//! of them have the same parent and the same clock.
//!
//! `starts ENDPOINT`, with the key in `AGB_API_KEY`. Tasks, by `do`:
//!
//! | `do` | with | answer |
//! | --- | --- | --- |
//! | `first` | `language`, `code` | `createMs`; `firstMs`: from the call to the first output; `deleteMs` |
//! | `spawn` | `command` | `firstMs`: from the start to the first byte; `exitMs` |
//! | `spawns` | `command`, `parallel`, `seconds` | `perSecond`: started, used and ended |
//! | `churn` | `parallel`, `seconds`, `language`, `code` | `perSecond`, `firstMs`: created, used and deleted |
//! | `hold` | `sessions`, `parallel`, `language`, `code` | `held`, `seconds`: created, used once and kept |
//! | `ask` | `parallel`, `language`, `code` | `answered`, `seconds`: each session that is held, once |
//! | `drop` | `parallel` | `deleted`, `seconds` |

use std::error::Error;
use std::io::{BufRead, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agb_client::{Agb, CreateSession, Options, RunEvent, Session};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint] = arguments.as_slice() else { return Err("usage: starts ENDPOINT".into()) };
    let key = std::env::var("AGB_API_KEY")?;
    let agb = Agb::new(&Options::new().api_key(key).endpoint(endpoint.as_str()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut held = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let task: Value = serde_json::from_str(&line?)?;
        let figures = match text(&task, "do")? {
            "first" => runtime.block_on(first(&agb, &Program::of(&task)?))?,
            "spawn" => spawn(&task)?,
            "spawns" => spawns(&task)?,
            "churn" => runtime.block_on(churn(&agb, &task))?,
            "hold" => {
                let begin = Instant::now();
                held = runtime.block_on(hold(&agb, &task))?;
                json!({ "held": held.len(), "seconds": begin.elapsed().as_secs_f64() })
            }
            "ask" => {
                let program = Program::of(&task)?;
                let ask = |session: Session| {
                    let program = program.clone();
                    async move { first_output(&session, &program).await.map(|_| ()) }
                };
                let asked = runtime.block_on(each(&held, &task, ask))?;
                json!({ "answered": asked.0, "seconds": asked.1 })
            }
            "drop" => {
                let delete = |session: Session| async move {
                    session.delete().await?;
                    Ok(())
                };
                let dropped = runtime.block_on(each(&held, &task, delete))?;
                held.clear();
                json!({ "deleted": dropped.0, "seconds": dropped.1 })
            }
            other => return Err(format!("no task: {other}").into()),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{figures}")?;
        out.flush()?;
    }
    Ok(())
}

/// What is run, and what it is to print.
#[derive(Clone)]
struct Program {
    language: String,
    code: String,
}

impl Program {
    fn of(task: &Value) -> Result<Self> {
        Ok(Self { language: text(task, "language")?.to_owned(), code: text(task, "code")?.to_owned() })
    }
}

/// One session, and how long each step takes.
async fn first(agb: &Agb, program: &Program) -> Result<Value> {
    let begin = Instant::now();
    let session = agb.create(new_session()).await?;
    let created = begin.elapsed();
    first_output(&session, program).await?;
    let first = begin.elapsed();
    let end = Instant::now();
    session.delete().await?;
    Ok(json!({ "createMs": ms(created), "firstMs": ms(first), "deleteMs": ms(end.elapsed()) }))
}

/// Runs the program to its end. Answers when its first output came; an error if there was none or it failed.
async fn first_output(session: &Session, program: &Program) -> Result<Instant> {
    let mut run = session.code().run(program.code.as_str(), program.language.as_str()).stream()?;
    let mut first = None;
    while let Some(event) = run.next().await {
        if matches!(event, RunEvent::Stdout(_)) {
            first.get_or_insert_with(Instant::now);
        }
    }
    let result = run.finish().await;
    first.filter(|_| result.success).ok_or_else(|| format!("no output: {}", result.error_message).into())
}

/// A program without any server: what everything is measured beside.
fn spawn(task: &Value) -> Result<Value> {
    let words = task["command"].as_array().ok_or("no command")?;
    let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
    let (program, args) = words.split_first().ok_or("an empty command")?;
    let begin = Instant::now();
    let mut command = Command::new(program);
    command.args(args).env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut stdout = child.stdout.take().ok_or("no pipe")?;
    let read = stdout.read(&mut [0; 64])?;
    let first = begin.elapsed();
    stdout.read_to_end(&mut Vec::new())?;
    let status = child.wait()?;
    if read == 0 || !status.success() {
        return Err(format!("{program} printed nothing ({status})").into());
    }
    Ok(json!({ "firstMs": ms(first), "exitMs": ms(begin.elapsed()) }))
}

/// Programs one after the other, in several rows at once, for some seconds: what the machine gives just now.
fn spawns(task: &Value) -> Result<Value> {
    let time = seconds(task)?;
    let parallel = number(task, "parallel")?;
    let begin = Instant::now();
    let row = || -> Result<usize> {
        let mut count = 0;
        while begin.elapsed() < time {
            spawn(task)?;
            count += 1;
        }
        Ok(count)
    };
    let counts: Vec<Result<usize>> = std::thread::scope(|scope| {
        let rows: Vec<_> = (0..parallel).map(|_| scope.spawn(row)).collect();
        rows.into_iter().map(|row| row.join().unwrap_or_else(|_| Err("a row broke off".into()))).collect()
    });
    let count: usize = counts.into_iter().collect::<Result<Vec<_>>>()?.iter().sum();
    Ok(json!({ "perSecond": count as f64 / begin.elapsed().as_secs_f64() }))
}

/// Sessions one after the other, in several rows at once, for some seconds.
async fn churn(agb: &Agb, task: &Value) -> Result<Value> {
    let program = Program::of(task)?;
    let time = seconds(task)?;
    let begin = Instant::now();
    let mut rows = JoinSet::new();
    for _ in 0..number(task, "parallel")? {
        let (agb, program) = (agb.clone(), program.clone());
        rows.spawn(async move {
            let mut taken = Vec::new();
            while begin.elapsed() < time {
                let start = Instant::now();
                let session = agb.create(new_session()).await?;
                let first = first_output(&session, &program).await?;
                session.delete().await?;
                taken.push(ms(first - start));
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(taken)
        });
    }
    let mut taken: Vec<f64> = rows.join_all().await.into_iter().collect::<Result<Vec<_>>>()?.concat();
    let seconds = begin.elapsed().as_secs_f64();
    taken.sort_unstable_by(f64::total_cmp);
    let median = taken.get(taken.len() / 2).copied().unwrap_or(f64::NAN);
    Ok(json!({ "perSecond": taken.len() as f64 / seconds, "firstMs": median }))
}

/// Sessions that stay.
async fn hold(agb: &Agb, task: &Value) -> Result<Vec<Session>> {
    let program = Program::of(task)?;
    let (count, next) = (number(task, "sessions")?, Arc::new(AtomicUsize::new(0)));
    let mut rows = JoinSet::new();
    for _ in 0..number(task, "parallel")? {
        let (agb, program, next) = (agb.clone(), program.clone(), Arc::clone(&next));
        rows.spawn(async move {
            let mut held = Vec::new();
            while next.fetch_add(1, Ordering::Relaxed) < count {
                let session = agb.create(new_session()).await?;
                first_output(&session, &program).await?;
                held.push(session);
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(held)
        });
    }
    Ok(rows.join_all().await.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// Does something with each session, several at once. Answers with how many it went well, and the seconds.
async fn each<F, R>(held: &[Session], task: &Value, act: F) -> Result<(usize, f64)>
where
    F: Fn(Session) -> R,
    R: Future<Output = Result<()>>,
{
    let begin = Instant::now();
    let acts = futures_util::stream::iter(held.iter().cloned()).map(act).buffer_unordered(number(task, "parallel")?);
    let results: Vec<Result<()>> = acts.collect().await;
    for error in results.iter().filter_map(|result| result.as_ref().err()).take(3) {
        eprintln!("starts: {error}");
    }
    Ok((results.iter().filter(|result| result.is_ok()).count(), begin.elapsed().as_secs_f64()))
}

fn new_session() -> CreateSession {
    CreateSession { image_id: "agb-code-space-1".into(), ..CreateSession::default() }
}

fn text<'a>(task: &'a Value, name: &str) -> Result<&'a str> {
    task[name].as_str().ok_or_else(|| format!("no {name} in {task}").into())
}

fn number(task: &Value, name: &str) -> Result<usize> {
    let number = task[name].as_u64().ok_or_else(|| format!("no {name} in {task}"))?;
    Ok(usize::try_from(number)?)
}

fn seconds(task: &Value) -> Result<Duration> {
    Ok(Duration::from_secs_f64(task["seconds"].as_f64().ok_or("no seconds")?))
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

//! Standard input in every form of node: each byte and the end, one request for each wait, and none before the text that
//! asks.

use std::time::Duration;

use agb_kernel::{Cell, CellEvent, Outcome};

use super::node;
use crate::random::Random;
use crate::support::{PATIENCE, Ran, Subject, finish, next};

/// Runs a program with these answers, then the end. Gives what was printed before each request as well.
async fn answered(node: &Subject, code: &str, answers: &[&str], pause: Duration) -> (Ran, Vec<String>) {
    let mut run = node.kernel.run(Cell { code: code.to_owned(), timeout: PATIENCE, stdin: true });
    let (mut events, mut printed, mut requests) = (Vec::new(), String::new(), Vec::new());
    let mut answers = answers.iter();
    loop {
        match next(&mut run).await.unwrap() {
            CellEvent::InputRequest { prompt, .. } => {
                assert_eq!(prompt, "", "node has no prompt of its own");
                requests.push(printed.clone());
                tokio::time::sleep(pause).await;
                // The run may have ended meanwhile.
                let _ = match answers.next() {
                    Some(answer) => run.control().write_stdin((*answer).to_owned()),
                    None => {
                        run.control().close_stdin();
                        Ok(())
                    }
                };
            }
            CellEvent::End(end) => return (Ran { events, end }, requests),
            event => {
                if let CellEvent::Stdout(text) = &event {
                    printed += text;
                }
                events.push((std::time::Instant::now(), event));
            }
        }
    }
}

/// An interface on standard input, as each program makes its own.
const PLAIN: &str = "var rl = require('readline').createInterface({ input: process.stdin });\n";
const PROMISES: &str = "var rl = require('readline/promises').createInterface({ input: process.stdin });\n";
const ECHOING: &str =
    "var rl = require('readline').createInterface({ input: process.stdin, output: process.stdout });\n";
const WAIT: &str = "await new Promise((done) => setTimeout(done, 20));";

/// A program, its answers, what it prints, and how often it waits.
type Case = (String, &'static [&'static str], &'static str, usize);

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut add = |before: &str, code: &str, answers, out, requests| {
        cases.push((format!("{before}{}", code.replace("WAIT;", WAIT)), answers, out, requests));
    };
    // Streams.
    add("", "let n = 0; for await (const c of process.stdin) n += c.length; console.log(n)", &["abc"], "4\n", 2);
    add(
        "",
        "for await (const c of process.stdin) { WAIT; console.log(String(c).trim()); break }",
        &["a", "b"],
        "a\n",
        1,
    );
    add(
        "",
        "process.stdin.once('data', (d) => { console.log(String(d).trim()); process.stdin.pause() }); 0",
        &["a", "b"],
        "a\n",
        1,
    );
    add(
        "",
        "process.stdin.on('data', (d) => console.log('d', String(d).trim())).on('end', () => console.log('end')); 0",
        &["a", "b"],
        "d a\nd b\nend\n",
        3,
    );
    add(
        "",
        "process.stdin.on('readable', () => { let c; while ((c = process.stdin.read()) !== null) console.log('r', String(c).trim()) }); process.stdin.on('end', () => console.log('end')); 0",
        &["a", "b"],
        "r a\nr b\nend\n",
        3,
    );
    add(
        "",
        "process.stdin.setEncoding('utf8'); process.stdin.on('data', (d) => { console.log(typeof d, d.trim()); if (d.trim() === 'q') process.exit() }); 0",
        &["ß", "q"],
        "string ß\nstring q\n",
        2,
    );
    add("", "process.stdin.on('end', () => console.log('over')).resume(); 0", &["a"], "over\n", 2);
    add("", "process.stdin.pipe(process.stdout); 0", &["a", "b"], "a\nb\n", 3);
    add(
        "",
        "console.log(JSON.stringify(await require('stream/consumers').text(process.stdin)))",
        &["a", "b"],
        "\"a\\nb\\n\"\n",
        3,
    );
    add(
        "",
        "await require('stream/promises').pipeline(process.stdin, async function* (s) { for await (const c of s) yield String(c).toUpperCase() }, require('fs').createWriteStream('up.txt')); console.log(require('fs').readFileSync('up.txt', 'utf8').trim())",
        &["a", "b"],
        "A\nB\n",
        3,
    );
    add(
        "",
        "for await (const line of process.stdin.map((c) => String(c).trim() + '!')) console.log(line)",
        &["a", "b"],
        "a!\nb!\n",
        3,
    );
    add(
        "",
        "console.log((await new Response(require('stream').Readable.toWeb(process.stdin)).text()).trim())",
        &["a"],
        "a\n",
        2,
    );
    add(
        "",
        "const { once } = require('events'); for (const i of [1, 2]) { const [d] = await once(process.stdin, 'data'); console.log(String(d).trim()); WAIT; } process.stdin.pause()",
        &["a", "b"],
        "a\nb\n",
        2,
    );
    add(
        "",
        "const t = setInterval(() => {}, 5); process.stdin.once('data', (d) => { console.log(String(d).trim()); clearInterval(t); process.stdin.pause() }); 0",
        &["a"],
        "a\n",
        1,
    );
    // Interfaces of readline.
    add(
        PROMISES,
        "console.log('got', await rl.question('')); console.log('and', await rl.question('')); rl.close()",
        &["a", "b"],
        "got a\nand b\n",
        2,
    );
    add(
        PROMISES,
        "WAIT; console.log('ask'); console.log('got', await rl.question('')); WAIT; console.log('and', await rl.question('')); rl.close()",
        &["a", "b"],
        "ask\ngot a\nand b\n",
        2,
    );
    add(
        PROMISES,
        "const stop = new AbortController(); setImmediate(() => setImmediate(() => setImmediate(() => stop.abort()))); try { await rl.question('', { signal: stop.signal }) } catch (e) { console.log(e.name) } rl.close()",
        &[],
        "AbortError\n",
        1,
    );
    add(PLAIN, "for await (const line of rl) console.log('l', line)", &["a", "b"], "l a\nl b\n", 3);
    add(
        PLAIN,
        "console.log('name?'); for await (const line of rl) { WAIT; console.log('hi', line); break }",
        &["a", "b"],
        "name?\nhi a\n",
        1,
    );
    add(
        PLAIN,
        "const lines = rl[Symbol.asyncIterator](); console.log((await lines.next()).value); WAIT; console.log((await lines.next()).value); rl.close()",
        &["a", "b"],
        "a\nb\n",
        2,
    );
    add(
        PLAIN,
        "rl.on('line', (l) => { console.log('l', l); if (l === 'b') rl.close() }); 0",
        &["a", "b", "c"],
        "l a\nl b\n",
        2,
    );
    add(PLAIN, "rl.once('line', (l) => { console.log('l', l); rl.close() }); 0", &["a", "b"], "l a\n", 1);
    add(
        ECHOING,
        "rl.question('q1? ', (a) => rl.question('q2? ', (b) => { console.log(a, b); rl.close() })); 0",
        &["x", "y"],
        "q1? q2? x y\n",
        2,
    );
    add(
        ECHOING,
        "const ask = require('util').promisify(rl.question).bind(rl); console.log(await ask('p? ')); rl.close()",
        &["x"],
        "p? x\n",
        1,
    );
    add(
        ECHOING,
        "rl.setPrompt('> '); rl.prompt(); rl.on('line', (l) => { if (l === 'q') return rl.close(); console.log('=', l); rl.prompt() }); 0",
        &["1", "q"],
        "> = 1\n> ",
        2,
    );
    add(
        "",
        "const rl2 = new (require('readline').Interface)({ input: process.stdin }); rl2.question('', (a) => { console.log(a); rl2.close() }); 0",
        &["a"],
        "a\n",
        1,
    );
    add(
        "",
        "import * as readline from 'node:readline/promises';\nimport { stdin as input, stdout as output } from 'node:process';\nvar rl = readline.createInterface({ input, output });\nconst answer = await rl.question('What? ');\nconsole.log(`Thanks: ${answer}`);\nrl.close();",
        &["ok"],
        "What? Thanks: ok\n",
        1,
    );
    add(
        "",
        "import { createInterface } from 'readline';\nvar rl = createInterface({ input: process.stdin, crlfDelay: Infinity });\nlet sum = 0; for await (const l of rl) sum += Number(l); console.log(sum)",
        &["1", "2", "3"],
        "6\n",
        4,
    );
    // Descriptor 0.
    add("", "console.log(require('fs').readFileSync(0, 'utf8').trim())", &["a", "b"], "a\nb\n", 3);
    add(
        "",
        "console.log(require('fs').readFileSync('/dev/stdin').toString().split('\\n'))",
        &["a b"],
        "[ 'a b', '' ]\n",
        2,
    );
    add(
        "",
        "const fs = require('fs'), b = Buffer.alloc(10); let n; while ((n = fs.readSync(0, b, 0, 10, null)) > 0) console.log(b.toString('utf8', 0, n).trim())",
        &["a", "b"],
        "a\nb\n",
        3,
    );
    add(
        "",
        "const fs = require('fs'), one = Buffer.alloc(1); let s = ''; while (!s.endsWith('\\n') && fs.readSync(process.stdin.fd, one)) s += one; console.log(s.trim())",
        &["slow"],
        "slow\n",
        1,
    );
    add(
        "",
        "require('fs').readFile(0, 'utf8', (e, d) => console.log(e, JSON.stringify(d))); 0",
        &["a"],
        "null \"a\\n\"\n",
        2,
    );
    add(
        "",
        "require('fs').read(0, (e, n, b) => console.log(e, n, b.toString('utf8', 0, n).trim())); 0",
        &["abc"],
        "null 4 abc\n",
        1,
    );
    add(
        "",
        "const { bytesRead } = await require('util').promisify(require('fs').read)(0, Buffer.alloc(2), 0, 2, null); console.log(bytesRead)",
        &["abc"],
        "2\n",
        1,
    );
    add("", "console.log((await require('fs').promises.readFile('/dev/stdin', 'utf8')).trim())", &["a"], "a\n", 2);
    let open = "const file = await require('fs/promises').open('/dev/stdin'); ";
    add(open, "console.log((await file.readFile('utf8')).trim()); await file.close()", &["a"], "a\n", 2);
    add(
        open,
        "const { bytesRead, buffer } = await file.read(); console.log(String(buffer.subarray(0, bytesRead)).trim()); await file.close()",
        &["a"],
        "a\n",
        1,
    );
    add(
        open,
        "for await (const line of file.readLines()) console.log('l', line); await file.close()",
        &["a", "b"],
        "l a\nl b\n",
        3,
    );
    add(
        "",
        "const b = Buffer.alloc(4), n = require('fs').readvSync(0, [Buffer.alloc(0), b]); console.log(n, String(b.subarray(0, n)).trim())",
        &["a"],
        "2 a\n",
        1,
    );
    add(
        "",
        "require('fs').readv(0, [Buffer.alloc(4)], (e, n, [b]) => console.log(e, n, String(b.subarray(0, n)).trim()))",
        &["a"],
        "null 2 a\n",
        1,
    );
    add(
        "",
        "let all = ''; for await (const c of require('fs').createReadStream('/dev/stdin')) all += c; console.log(JSON.stringify(all))",
        &["a", "b"],
        "\"a\\nb\\n\"\n",
        3,
    );
    add(
        "",
        "let all = ''; for await (const c of require('fs').createReadStream(null, { fd: 0, encoding: 'utf8' })) all += c; console.log(JSON.stringify(all))",
        &["a", "b"],
        "\"a\\nb\\n\"\n",
        3,
    );
    cases
}

#[tokio::test]
async fn every_way_to_read_sees_all_and_asks_once_for_each_wait() {
    let node = node();
    for (code, answers, out, requests) in cases() {
        for pause in [Duration::ZERO, Duration::from_millis(15)] {
            let pause = if answers.is_empty() { Duration::from_millis(60) } else { pause };
            let (ran, asked) = answered(&node, &code, answers, pause).await;
            assert_eq!(ran.end.outcome, Outcome::Finished, "{code}: {ran:#?}");
            assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), (out, ""), "{code}");
            assert_eq!(asked.len(), requests, "{code}: {asked:?}");
        }
    }
}

/// Programs of the forms above in any order in one session: none leaves anything to the next.
#[tokio::test]
async fn one_program_leaves_nothing_of_its_input_to_the_next() {
    let node = node();
    let cases = cases();
    let mut random = Random::new();
    for _ in 0..60 {
        let (code, answers, out, requests) = &cases[random.below(cases.len())];
        if random.below(3) == 0 && !code.contains("setInterval") {
            // Nobody is there: every program comes to its end.
            let ran = node.run(code).await;
            assert!(!ran.end.state_lost, "{code}: {ran:#?}");
            continue;
        }
        let pause =
            Duration::from_millis(if answers.is_empty() { 60 } else { u64::try_from(random.below(5)).unwrap() });
        let (ran, asked) = answered(&node, code, answers, pause).await;
        assert_eq!((ran.stdout().as_str(), asked.len()), (*out, *requests), "{code}: {ran:#?}");
    }
}

/// Questions in every form and order: each request comes after its text, and each answer goes to its question.
#[tokio::test]
async fn a_quiz_of_any_form_is_answered_in_order() {
    const WAYS: &[&str] = &[
        "const TAKEN = await rlp.question('Q')",
        "const TAKEN = await new Promise((done) => rl.question('Q', done))",
        "process.stdout.write('Q'); const TAKEN = await new Promise((done) => rl.once('line', done))",
        "process.stdout.write('Q'); const [TAKEN] = await require('events').once(rl, 'line')",
        "console.log('Q'); await new Promise((done) => setTimeout(done, 5)); const TAKEN = await rlp.question('')",
        "process.stdout.write('Q'); const TAKEN = await new Promise((done) => setTimeout(() => rl.question('', done), 5))",
    ];
    let node = node();
    let mut random = Random::new();
    for round in 0..25 {
        // One kind of interface for each program: two would share the lines, as in node.
        let promises = random.below(2) == 0;
        let ways: Vec<&str> = WAYS
            .iter()
            .copied()
            .filter(|way| !way.contains(if promises { "rl." } else { "rlp" }))
            .filter(|way| !promises || !way.contains("(rl,"))
            .collect();
        let mut code = if promises { PROMISES.replace("rl =", "rlp =") } else { PLAIN.to_owned() };
        let count = 1 + random.below(4);
        for i in 0..count {
            let way = random.pick(&ways).replace("Q", &format!("q{i}?")).replace("TAKEN", &format!("t{round}_{i}"));
            code += &format!("{way}\nconsole.log('=', t{round}_{i})\n");
        }
        code += if promises { "rlp.close()" } else { "rl.close()" };
        let answers: Vec<String> = (0..count).map(|i| format!("a{i}")).collect();
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        let (ran, asked) =
            answered(&node, &code, &answers, Duration::from_millis(u64::try_from(random.below(4)).unwrap())).await;
        assert_eq!(ran.end.outcome, Outcome::Finished, "{code}: {ran:#?}");
        assert_eq!(asked.len(), count, "{code}: {asked:?}");
        for (i, before) in asked.iter().enumerate() {
            assert!(
                !before.contains(&format!("= a{i}")) && (i == 0 || before.contains(&format!("= a{}\n", i - 1))),
                "{code}: {asked:?}"
            );
            assert!(ran.stdout().contains(&format!("= a{i}\n")), "{code}: {ran:#?}");
        }
    }
}

#[tokio::test]
async fn an_interface_of_an_earlier_run_reads_in_a_later_one() {
    let node = node();
    let (ran, asked) = answered(&node, PLAIN, &["lost"], Duration::ZERO).await;
    assert_eq!((ran.end.outcome, asked.len()), (Outcome::Finished, 0), "nobody waits");
    let code = "console.log(await new Promise((done) => rl.question('', done)))";
    for answer in ["one", "two"] {
        let (ran, asked) = answered(&node, code, &[answer, "lost"], Duration::ZERO).await;
        assert_eq!((ran.stdout(), asked.len()), (format!("{answer}\n"), 1), "{ran:#?}");
    }
}

#[tokio::test]
async fn several_lines_in_one_answer_are_kept_for_later_questions() {
    let node = node();
    let code =
        format!("{PROMISES}console.log(await rl.question('')); {WAIT} console.log(await rl.question('')); rl.close()");
    let (ran, asked) = answered(&node, &code, &["a\nb\nc"], Duration::ZERO).await;
    assert_eq!((ran.stdout().as_str(), asked.len()), ("a\nb\n", 1), "{ran:#?}");
}

#[tokio::test]
async fn a_read_that_blocks_can_be_stopped() {
    let node = node();
    node.run("var kept = 1").await;
    for code in [
        "require('fs').readFileSync(0)",
        "require('fs').readSync(0, Buffer.alloc(1))",
        "for await (const c of process.stdin) ;",
    ] {
        let timeout = Duration::from_millis(80);
        let ran = finish(node.kernel.run(Cell { code: code.to_owned(), timeout, stdin: true })).await;
        assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::TimedOut(timeout), false), "{code}: {ran:#?}");
        assert_eq!(node.value("kept").await.as_deref(), Some("1"), "{code}");
    }
}

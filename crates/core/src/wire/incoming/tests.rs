use super::*;
use crate::wire::scan;
use agb_protocol::random::SplitMix64 as Dice;

/// Reads a message without the scanner.
fn slowly(text: &str) -> Incoming<'static> {
    let text: &'static str = Box::leak(text.to_owned().into_boxed_str()); // some MB, gone with the test
    Object::parse(text).map_or(Incoming::Garbage, |envelope| parse_envelope(&envelope))
}

/// What a message means, with chunks read.
fn meaning(incoming: &Incoming<'_>) -> String {
    match incoming {
        Incoming::Run { invocation, origin, message: Message::Chunk(stream, text) } => {
            let mut chunk = String::new();
            let read = text.append_to(&mut chunk);
            format!("{invocation} {} {stream:?} {chunk:?} {read:?}", beside(origin))
        }
        Incoming::Run { invocation, origin, message } => format!("{invocation} {} {message:?}", beside(origin)),
        other => format!("{other:?}"),
    }
}

fn beside(origin: &Origin) -> String {
    let Origin { seq, time, background } = origin;
    let time = time.map_or_else(String::new, |time| format!(" at {time}"));
    format!("{seq:?}{time}{}", if *background { " background" } else { "" })
}

#[test]
fn a_chunk_is_scanned_and_not_parsed() {
    let text = r#"{"invocationId":"ab","source":"s","target":"SDK","data":{"phase":"event","eventType":"stdout","chunk":"x\n","seq":7}}"#;
    assert!(scan::chunk(text).is_some());
    assert_eq!(meaning(&parse(text)), r#"ab Some(7) Stdout "x\n" Ok(())"#);
}

#[test]
fn spaces_order_and_spelling_do_not_matter() {
    let text = " { \"data\" : { \"chunk\" : \"grün\" , \"eventType\" : \"stderr\", \"extra\" : -1.5e3, \"phase\":\"event\" } ,\n\"requestId\":\"r\", \"ok\":true } ";
    assert!(scan::chunk(text).is_some());
    assert_eq!(meaning(&parse(text)), r#"r None Stderr "grün" Ok(())"#);
    let nested = r#"{"invocationId":"i","meta":{"a":[1]},"data":"{\"phase\":\"event\",\"eventType\":\"stdout\",\"chunk\":\"c\"}"}"#;
    assert!(scan::chunk(nested).is_none());
    assert_eq!(meaning(&parse(nested)), r#"i None Stdout "c" Ok(())"#);
}

#[test]
fn the_scanner_agrees_with_the_parser() {
    // Bits of messages put together at random: whatever the scanner takes, the parser must read the same.
    const BITS: [&str; 34] = [
        "{",
        "}",
        "{",
        "}",
        ",",
        ":",
        "\"",
        "\\",
        "\"invocationId\":\"i\"",
        "\"requestId\":\"r\"",
        "\"data\":{",
        "\"phase\":\"event\"",
        "\"eventType\":\"stdout\"",
        "\"eventType\":\"stderr\"",
        "\"chunk\":\"a\\nb\"",
        "\"chunk\":\"\"",
        "\"chunk\":\"\\ud83e\\udd80\"",
        "\"seq\":12",
        "\"seq\":-1",
        "\"seq\":01",
        "\"error\":\"\"",
        "\"error\":\"e\"",
        "\"x\":null",
        "\"x\":[1]",
        "\"phase\":\"end\"",
        " ",
        "\n",
        "é",
        "漢",
        "\"invocationId\":\"\"",
        "\"ph\\u0061se\":\"event\"",
        "}}",
        ",",
        ",",
    ];
    let mut dice = Dice::new(1);
    let (mut scanned, rounds) = (0, 200_000);
    for _ in 0..rounds {
        let text = if dice.roll(4) == 0 {
            (0..dice.roll(14)).map(|_| BITS[dice.roll(BITS.len())]).collect::<String>()
        } else {
            let pick = |dice: &mut Dice, from: &[&str]| from[dice.roll(from.len())].to_owned();
            let mut outer = vec![pick(&mut dice, &BITS[8..10])];
            let mut inner = vec![BITS[11].to_owned(), pick(&mut dice, &BITS[12..14]), pick(&mut dice, &BITS[14..17])];
            if dice.roll(2) == 0 {
                inner.push(pick(&mut dice, &BITS[17..25]));
            }
            outer.push(format!("\"data\":{{{}}}", inner.join(",")));
            if dice.roll(2) == 0 {
                outer.push(pick(&mut dice, &BITS[8..25]).replace("\"data\":{", "\"y\":1"));
            }
            outer.rotate_left(1);
            format!("{{{}}}", outer.join(","))
        };
        let Some(found) = scan::chunk(&text) else { continue };
        let Ok(_) = serde_json::from_str::<serde_json::Value>(&text) else {
            // The scanner is lenient where nothing is lost: how a word or a number is spelt that nobody reads.
            assert!(text.contains("01"), "the scanner took what is not JSON: {text}");
            continue;
        };
        scanned += 1;
        let quickly = Incoming::Run {
            invocation: found.invocation.into(),
            origin: found.origin,
            message: Message::Chunk(found.stream, Text::Raw(found.chunk)),
        };
        // With a key given twice both take the last one; only a message with both ids may differ in nothing else.
        assert_eq!(meaning(&quickly), meaning(&slowly(&text)), "{text}");
    }
    assert!(scanned > rounds / 20, "only {scanned} were scanned");
}

#[test]
fn every_prefix_and_every_mutation_is_read_without_a_panic() {
    let texts = [
        r#"{"invocationId":"i","data":{"phase":"event","eventType":"stdout","chunk":"a\u00e9\n漢","seq":3}}"#,
        r#"{"invocationId":"i","data":{"phase":"event","eventType":"result","result":{"mime":{"text/plain":"1"},"isMainResult":true}}}"#,
        r#"{"requestId":"i","data":"{\"phase\":\"end\",\"status\":\"failed\",\"executionCount\":1e400}"}"#,
        r#"{"invocationId":"i","data":{"phase":"event","eventType":"error","error":{"code":1,"message":null,"traceId":[]}}}"#,
    ];
    let mut dice = Dice::new(2);
    for text in texts {
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let _ = meaning(&parse(&text[..end]));
        }
        for _ in 0..20_000 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..=dice.roll(3) {
                let at = dice.roll(bytes.len());
                bytes[at] = b"{}[]\",:\\u0 e9-ntf\x00\x7f"[dice.roll(19)];
            }
            let _ = meaning(&parse(&String::from_utf8_lossy(&bytes)));
        }
    }
    let deep = format!("{}{}", r#"{"invocationId":"i","data":"#, "[".repeat(100_000));
    assert_eq!(parse(&deep), Incoming::Garbage);
}

#[test]
fn odd_errors_still_say_something() {
    let error = |data: &str| match parse(&format!(r#"{{"invocationId":"i","data":{data}}}"#)) {
        Incoming::Run { message: Message::Event(StreamEvent::Error(error)), .. } => error,
        other => panic!("{other:?}"),
    };
    let plain = error(r#"{"phase":"event","eventType":"error","error":{"code":"C","message":"m","traceId":"t"}}"#);
    assert_eq!(plain.to_failure(), RunFailure { name: "C".into(), value: "m".into(), traceback: "traceId=t".into() });
    let ours = error(
        r#"{"phase":"event","eventType":"error","error":{"code":"C","message":"m","name":"ValueError","value":"v","traceback":"tb"}}"#,
    );
    assert_eq!(ours.to_failure(), RunFailure { name: "ValueError".into(), value: "v".into(), traceback: "tb".into() });
    assert_eq!(error(r#"{"phase":"event","eventType":"error","error":[1]}"#).message, "[1]");
    assert_eq!(error(r#"{"phase":"event","eventType":"error"}"#).message, "the run failed");
}

use serde_json::{Value, json};

use super::*;

fn read(text: &str) -> Execution {
    Execution::from_answer(String::from("r1"), &[text], false)
}

fn read_json(value: &Value) -> Execution {
    read(&value.to_string())
}

#[test]
fn shape_1_in_full() {
    let execution = read_json(&json!({
        "result": [
            {"text/plain": "<Figure>", "image/png": "iVBOR", "isMainResult": false},
            {"text/plain": "42", "text/html": "<b>42</b>", "text/markdown": "**42**", "image/jpeg": "/9j", "image/svg+xml": "<svg/>",
             "application/json": {"a": 1}, "text/latex": "$42$", "application/vnd.vegalite.v4+json": {"mark": "bar"}, "isMainResult": true},
        ],
        "stdout": ["a\n", "b\n"], "stderr": ["w"], "execution_count": 3, "execution_time": 0.25,
    }));
    assert!(execution.success);
    assert_eq!((execution.request_id.as_str(), execution.error_message.as_str()), ("r1", ""));
    assert_eq!((execution.execution_count, execution.execution_time), (Some(3), 0.25));
    assert_eq!(execution.logs.stdout, ["a\n", "b\n"]);
    assert_eq!(execution.logs.stderr, ["w"]);
    assert_eq!(execution.results.len(), 2);
    assert_eq!(execution.results[0].png.as_deref(), Some("iVBOR"));
    assert!(!execution.results[0].is_main);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        execution.main_result(),
        Some(&RichResult {
            text: text("42"),
            html: text("<b>42</b>"),
            markdown: text("**42**"),
            png: None,
            jpeg: text("/9j"),
            svg: text("<svg/>"),
            json: text(r#"{"a":1}"#),
            latex: text("$42$"),
            chart: text(r#"{"mark":"bar"}"#),
            is_main: true,
        })
    );
}

#[test]
fn shape_1_bundles_in_every_quoting() {
    let bundle = json!({"text/plain": "x", "isMainResult": true});
    let once = bundle.to_string();
    let twice = Value::String(once.clone()).to_string();
    for item in [bundle, json!(once), json!(twice), json!({"mime": {"text/plain": "x"}, "isMainResult": true})] {
        let execution = read_json(&json!({"result": [item.clone()]}));
        assert_eq!(execution.results, [RichResult::plain("x", true)], "{item}");
    }
}

#[test]
fn shape_1_plain_text_and_odd_items() {
    assert_eq!(read_json(&json!({"result": ["just text"]})).results, [RichResult::plain("just text", true)]);
    assert_eq!(
        read_json(&json!({"result": ["a", 7, null, [1, 2], {"k": 1}, "\"q\""]})).results,
        [
            RichResult::plain("a", false),
            RichResult::plain("7", false),
            RichResult::plain("[1,2]", false),
            RichResult::plain(r#"{"k":1}"#, false),
            RichResult::plain("\"q\"", false),
        ]
    );
    let unmarked = read_json(&json!({"result": [{"text/plain": "x", "isMainResult": false}]}));
    assert!(unmarked.main_result().is_none());
}

#[test]
fn shape_1_without_results_is_told_from_a_shell_answer() {
    let execution = read_json(&json!({"stdout": ["hi\n"], "stderr": [], "execution_count": 1}));
    assert_eq!(execution.logs.stdout, ["hi\n"]);
    assert!(execution.results.is_empty() && execution.success);
    let shell = json!({"stdout": "hi", "stderr": "", "exit_code": 0});
    assert_eq!(read_json(&shell).results, [RichResult::plain(shell.to_string(), true)]);
}

#[test]
fn shape_1_errors() {
    let traceback =
        "Traceback (most recent call last):\n  File \"<x>\", line 1, in <module>\nNameError: name 'y' is not defined\n";
    for (error, name, value, traced) in [
        (json!(traceback), "NameError", "name 'y' is not defined", true),
        (json!("ValueError: bad: worse"), "ValueError", "bad: worse", false),
        (json!("KeyboardInterrupt"), "KeyboardInterrupt", "", false),
        (json!("java.io.IOException: gone\n\tat Main.main(Main.java:3)"), "java.io.IOException", "gone", true),
        (json!("the kernel died: no memory"), "ExecutionError", "the kernel died: no memory", false),
        (json!({"name": "E", "value": 3, "traceback": ["a", "b"]}), "E", "3", true),
        (json!({"odd": 1}), "ExecutionError", r#"{"odd":1}"#, false),
        (json!(17), "ExecutionError", "17", false),
    ] {
        let execution = read_json(&json!({"result": [], "executionError": error.clone()}));
        let failure = execution.error.clone().unwrap_or_default();
        assert!(!execution.success && !execution.error_message.is_empty(), "{error}");
        assert_eq!((failure.name.as_str(), failure.value.as_str()), (name, value), "{error}");
        assert_eq!(!failure.traceback.is_empty(), traced, "{error}");
    }
    for nothing in [json!(null), json!(""), json!("  "), json!({}), json!(false)] {
        let execution = read_json(&json!({"result": [], "executionError": nothing.clone()}));
        assert!(execution.success && execution.error.is_none(), "{nothing}");
    }
}

#[test]
fn shape_2_in_full() {
    let execution = read_json(&json!({
        "logs": {"stdout": ["o"], "stderr": ["e"]},
        "results": [{"text": "t", "json": [1], "chart": "{\"mark\":1}", "is_main_result": true}, {"png": "p"}, "plain"],
        "error": {"name": "ZeroDivisionError", "value": "division by zero", "traceback": "tb"},
        "execution_count": 2.0, "execution_time": 1, "isError": false,
    }));
    assert_eq!((execution.execution_count, execution.execution_time), (Some(2), 1.0));
    assert_eq!((execution.logs.stdout.len(), execution.logs.stderr.len()), (1, 1));
    assert_eq!(execution.results.len(), 3);
    let main = execution.main_result().expect("one is marked");
    assert_eq!((main.json.as_deref(), main.chart.as_deref()), (Some("[1]"), Some("{\"mark\":1}")));
    assert_eq!(execution.results[1].png.as_deref(), Some("p"));
    assert_eq!(execution.results[2], RichResult::plain("plain", false));
    assert!(!execution.success);
    assert_eq!(execution.error_message, "ZeroDivisionError: division by zero");
    assert_eq!(execution.error.map(|error| error.traceback).as_deref(), Some("tb"));
}

#[test]
fn shape_2_flag_without_error() {
    let execution = read_json(&json!({"results": [], "isError": true}));
    assert!(!execution.success && execution.error.is_none());
    assert!(execution.error_message.contains("does not say why"));
}

#[test]
fn shape_3_plain_nested_and_failed() {
    let legacy = |text: &str, flag: bool| json!({"content": [{"type": "text", "text": text}], "isError": flag});
    let plain = read_json(&legacy("hello\n", false));
    assert_eq!(plain.logs.stdout, ["hello\n"]);
    assert_eq!(plain.results, [RichResult::plain("hello\n", true)]);
    assert!(plain.success);

    let nested = read_json(&legacy(r#"{"result":[{"text/plain":"9","isMainResult":true}],"stdout":["n"]}"#, false));
    assert_eq!(nested.results, [RichResult::plain("9", true)]);
    assert_eq!(nested.logs.stdout, ["n"]);

    let failed = read_json(&legacy("TypeError: no", true));
    assert_eq!((failed.success, failed.error_message.as_str()), (false, "TypeError: no"));
    assert!(failed.results.is_empty() && failed.logs.stdout.is_empty());
}

#[test]
fn shape_3_does_not_nest_in_itself() {
    let mut text = String::from("core");
    for _ in 0..4 {
        text = json!({"content": [{"text": text}]}).to_string();
    }
    let execution = read(&text);
    assert_eq!(execution.results.len(), 1);
    assert!(execution.results[0].text.as_deref().is_some_and(|text| text.starts_with('{')));
}

#[test]
fn shape_4_is_everything_else() {
    for text in
        ["hello", "", "12", "null", "{", "[1]", "{}", "{\"a\":1}", "<html>502</html>", "{\"result\":5}", "\u{0}"]
    {
        let execution = read(text);
        assert_eq!(execution.results, [RichResult::plain(text, true)], "{text}");
        assert_eq!(execution.logs.stdout, [text]);
        assert!(execution.success && execution.execution_count.is_none());
    }
    assert!(Execution::from_answer(String::new(), &[], false).results.is_empty());
    let several = Execution::from_answer(String::new(), &["a", "b"], false);
    assert_eq!(several.logs.stdout, ["a\nb"]);
    let second = Execution::from_answer(String::new(), &["note", r#"{"result":["x"]}"#], false);
    assert_eq!(second.results, [RichResult::plain("x", true)]);
}

#[test]
fn the_flag_beside_the_content_counts_in_every_shape() {
    for text in [r#"{"result":[]}"#, r#"{"results":[]}"#, r#"{"content":[]}"#, "sorry", ""] {
        let execution = Execution::from_answer(String::new(), &[text], true);
        assert!(!execution.success && !execution.error_message.is_empty(), "{text}");
    }
}

#[test]
fn hostile_answers_are_read_without_a_panic() {
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!("\"\""),
        json!([]),
        json!({}),
        json!([[[[]]]]),
        json!({"text/plain": {"a": []}}),
        json!("{\"text/plain\":null}"),
    ];
    let fields = [
        "result",
        "stdout",
        "stderr",
        "executionError",
        "execution_count",
        "execution_time",
        "logs",
        "results",
        "error",
        "isError",
        "content",
    ];
    for first in fields {
        for second in fields {
            for value in &odd {
                for other in [value, &json!([value.clone()]), &json!({"stdout": value, "text": value, "mime": value})] {
                    let execution = read_json(&json!({first: value, second: other}));
                    assert_eq!(execution.success, execution.error_message.is_empty());
                    assert!(execution.execution_time >= 0.0);
                }
            }
        }
    }
    for text in ["[".repeat(200_000), "{\"result\":".repeat(100_000), "\"".repeat(99_999), "\\ud800".repeat(9_999)] {
        assert_eq!(read(&text).results.len(), 1);
    }
    let lone = read(r#"{"result":[{"text/plain":"a\ud800"}],"stdout":["\udfff"]}"#);
    assert_eq!(lone.logs.stdout, ["\u{fffd}"]);
    assert_eq!(lone.results[0].text.as_deref(), Some("a\u{fffd}"));
}

#[test]
fn mime_values_of_every_kind() {
    let Value::Object(bundle) = json!({
        "text/plain": ["a\n", "b"], "text/html": 3, "image/png": null, "application/json": "word",
        "application/vnd.vegalite.v5+json": "[1]", "application/x-unknown": "u",
    }) else {
        unreachable!("an object literal")
    };
    let result = RichResult::from_mime(&bundle, true);
    assert_eq!(result.text.as_deref(), Some("a\nb"));
    assert_eq!(result.html.as_deref(), Some("3"));
    assert_eq!(result.png, None);
    assert_eq!(result.json.as_deref(), Some("\"word\""));
    assert_eq!(result.chart.as_deref(), Some("[1]"));
    assert_eq!(result.memory_size(), 3 + 1 + 6 + 3);
    assert!(!result.is_empty() && RichResult::default().is_empty());
}

#[test]
fn damaged_answers_are_read_without_a_panic() {
    let answers = [
        r#"{"result":["{\"text/plain\":\"\\ud83d\\ude00ä\",\"isMainResult\":true}"],"stdout":["ü\ud800"],"executionError":"E: x"}"#,
        r#"{"logs":{"stdout":["o"]},"results":[{"json":"[1]","is_main_result":true}],"error":{"name":"E","traceback":["t"]}}"#,
        r#"{"content":[{"type":"text","text":"{\"result\":[\"x\"],\"execution_count\":1e2}"}],"isError":true}"#,
    ];
    for answer in answers {
        for (at, c) in answer.char_indices() {
            let (before, after) = (&answer[..at], &answer[at + c.len_utf8()..]);
            let swapped = ['"', '{', '[', '\\', '9', '😀'].map(|other| [before, &String::from(other), after].concat());
            for text in swapped.into_iter().chain([before.to_owned(), [before, after].concat()]) {
                let execution = read(&text);
                assert_eq!(execution.success, execution.error_message.is_empty(), "{text}");
            }
        }
    }
}

//! What Java cells do.

use agb_kernel::{Cell, CellEvent, Language, Outcome, StdinError};

use crate::support::{PATIENCE, Subject, finish, kernel, next, until};

fn java() -> Subject {
    kernel(Language::Java)
}

#[tokio::test]
async fn state_is_kept_and_cells_are_counted() {
    let java = java();
    let first = java.run("import java.time.*;\nint x = 20;\nint twice(int n) {\n  return n * 2;\n}").await;
    assert_eq!((&first.end.outcome, first.end.execution_count, first.end.state_lost), (&Outcome::Finished, 1, false));
    assert!(first.results().is_empty(), "{first:#?}");
    let second = java.run("System.out.println(Duration.ofSeconds(61));\ntwice(x) + 2").await;
    assert_eq!(second.end.execution_count, 2, "{second:#?}");
    assert_eq!((second.stdout().as_str(), second.value().as_deref()), ("PT1M1S\n", Some("42")), "{second:#?}");
    assert_eq!(java.value("x = 5;\nx").await.as_deref(), Some("5"));
    assert_eq!(java.value("String x = \"another type\";\nx").await.as_deref(), Some("\"another type\""));
}

#[tokio::test]
async fn the_last_value_is_the_result() {
    let java = java();
    for (code, value) in [
        ("42;", Some("42")),
        ("42", Some("42")),
        ("\"Final result\"", Some("\"Final result\"")),
        ("'c'", Some("'c'")),
        ("int x = 5;", None),
        ("x = 6;", None),
        ("x += 1;", None),
        ("x * 2; // said", Some("14")),
        ("System.out.printf(\"%d%n\", x);", None),
        ("for (int i = 0; i < 3; i++) { }", None),
        ("String nothing = null;", None),
        ("nothing", Some("null")),
        ("", None),
        ("// nothing", None),
        ("new int[] {1, 2}", Some("int[2] { 1, 2 }")),
        ("new int[2][1]", Some("int[2][] { int[1] { 0 }, int[1] { 0 } }")),
        ("List.of(1, 2).stream().map(n -> n * 2).toList()", Some("[2, 4]")),
        ("Map.of(\"a\", 1)", Some("{a=1}")),
        ("record Point(int x, int y) {}\nnew Point(1, 2)", Some("Point[x=1, y=2]")),
        ("\"ß€😀\\n\"", Some("\"ß€😀\\n\"")),
        ("x; x + 1", Some("8")),
        ("void quiet() {}\nquiet();", None),
        ("new ArrayList<>(List.of(1)).add(2);", Some("true")),
    ] {
        let ran = java.run(code).await;
        assert_eq!((&ran.end.outcome, ran.value().as_deref()), (&Outcome::Finished, value), "{code}: {ran:#?}");
    }
    let value = java.value("class Plain {}\nnew Plain()").await.unwrap();
    assert!(value.starts_with("Plain@"), "{value}");
}

const PROGRAM: &str = r#"package com.example.demo;

import java.util.*;
import java.util.stream.*;

/** A box of anything. */
class Box<T extends Comparable<T>> {
    private final List<T> items = new ArrayList<>();

    void add(T item) {
        items.add(item);
    }

    Optional<T> largest() {
        return items.stream().max(Comparator.naturalOrder());
    }
}

sealed interface Shape {
    double area();
}

record Circle(double radius) implements Shape {
    public double area() { return Math.PI * radius * radius; }
}

record Square(double side) implements Shape {
    public double area() { return side * side; }
}

enum Colour { RED, GREEN }

public class Main {
    static int runs = 0;

    public static void main(String[] args) {
        Box<Integer> box = new Box<>();
        for (int i : new int[] {3, 9, 4}) box.add(i);
        System.out.println("largest: " + box.largest().get());
        List<Shape> shapes = List.of(new Circle(1), new Square(2));
        System.out.printf("%.2f%n", shapes.stream().mapToDouble(Shape::area).sum());
        System.out.println(Stream.of(Colour.values()).map(Enum::name).collect(Collectors.joining(", ")) + args.length + ++runs);
    }
}
"#;

#[tokio::test]
async fn a_class_with_main_is_run() {
    let java = java();
    let ran = java.run(PROGRAM).await;
    assert_eq!(
        (&ran.end.outcome, ran.stdout().as_str()),
        (&Outcome::Finished, "largest: 9\n7.14\nRED, GREEN01\n"),
        "{ran:#?}"
    );
    assert!(ran.results().is_empty(), "{ran:#?}");
    let error = java.run("Main.main(null);").await.error();
    assert_eq!(error.name, "java.lang.NullPointerException");
    assert_eq!(error.value, "Cannot read the array length because \"args\" is null");
    assert_eq!(java.output("Main.main(new String[] {\"a\"});").await.lines().last(), Some("RED, GREEN12"));
    assert!(java.output(PROGRAM).await.ends_with("01\n"), "declared anew");
    let ran = java.run("class A {\n  public static void main(String[] args) { System.out.print('a'); }\n}\npublic class B {\n  public static void main(String... args) { System.out.print('b'); }\n}").await;
    assert_eq!(ran.stdout(), "b", "the public one");
    assert_eq!(java.output("void main() { System.out.print('m'); }").await, "m");
    assert_eq!(
        java.output("class C { public static void main(String[] a) { System.out.print('c'); } }\nC.main(null);").await,
        "c"
    );
    // As `java` does: the threads that main has started belong to the program.
    let threads = "import java.util.concurrent.*;\npublic class Main {\n  public static void main(String[] args) {\n    ExecutorService pool = Executors.newFixedThreadPool(2);\n    for (int i = 0; i < 4; i++) pool.submit(() -> { Thread.sleep(50); System.out.print('x'); return 0; });\n    pool.shutdown();\n  }\n}";
    assert_eq!(java.output(threads).await, "xxxx");
}

#[tokio::test]
async fn imports_are_kept_and_the_usual_ones_are_there() {
    let java = java();
    assert_eq!(
        java.value("import java.time.LocalDate;\nimport static java.lang.Math.*;\nmax(1, 2)").await.as_deref(),
        Some("2")
    );
    assert_eq!(
        java.value("LocalDate.of(2024, 2, 29).plusYears(1).toString() + abs(-1)").await.as_deref(),
        Some("\"2025-02-281\"")
    );
    let usual = "new BigDecimal(\"0.10\").add(BigDecimal.ONE) + \" \" + Stream.of(1).collect(Collectors.toList()) + Pattern.matches(\"a+\", \"aa\") + new TreeMap<>(Map.of(1, 2)) + Path.of(\"x\") + TimeUnit.SECONDS";
    assert_eq!(java.value(usual).await.as_deref(), Some("\"1.10 [1]true{1=2}xSECONDS\""));
    // A program that imports another `Date` gets no second one.
    let java = kernel(Language::Java);
    assert_eq!(java.value("import java.sql.*;\nDate.valueOf(\"2024-01-02\")").await.as_deref(), Some("2024-01-02"));
}

#[tokio::test]
async fn a_compile_error_has_line_column_and_a_hint() {
    let java = java();
    let ran = java.run("System.out.println(1);\nint n = 1\nSystem.out.println(n);").await;
    let error = ran.error();
    assert_eq!((error.name.as_str(), error.value.as_str()), ("CompileError", "';' expected (line 2, column 10)"));
    assert_eq!(
        error.traceback,
        "cell-1.java:2:10: error: ';' expected\nint n = 1\n         ^\nhint: a statement ends with a semicolon\n"
    );
    assert_eq!(ran.stdout(), "", "nothing of it ran");
    for (code, value, hint) in [
        (
            "String s = \"a\";\ns.lenght()",
            "cannot find symbol: method lenght() (line 2, column 2)",
            "did you mean length?",
        ),
        ("Sytem.out.println(1);", "package Sytem does not exist (line 1, column 1)", "did you mean System?"),
        (
            "LocalDate.now()",
            "cannot find symbol: variable LocalDate (line 1, column 1)",
            "add: import java.time.LocalDate;",
        ),
        ("println(1);", "cannot find symbol: method println(int) (line 1, column 1)", "System.out.println(…) prints"),
        (
            "int n = \"1\";",
            "incompatible types: java.lang.String cannot be converted to int (line 1, column 9)",
            "Integer.parseInt(text)",
        ),
        (
            "int n = 1.5;",
            "incompatible types: possible lossy conversion from double to int (line 1, column 9)",
            "write (int) before",
        ),
        ("int f(int n) {\n  if (n > 0) return 1;\n}", "missing return statement (line 3, column 1)", "every way"),
        (
            "void r() {\n  Thread.sleep(1);\n}",
            "unreported exception java.lang.InterruptedException; must be caught or declared to be thrown (line 2, column 15)",
            "try { … }",
        ),
        (
            "class A {\n  int f() {\n    return 1;\n  }\n",
            "reached end of file while parsing (line 4, column 4)",
            "not closed",
        ),
        (
            "class A {\n  void f() {\n    string s = null;\n  }\n}",
            "cannot find symbol: class string (line 3, column 5)",
            "did you mean String?",
        ),
        (
            "for (int i = 0; i < 3; i++) {\n\tcount(i);\n}",
            "cannot find symbol: method count(int) (line 2, column 2)",
            "",
        ),
        (
            "public class Main {\n  public static void main(String[] args) {\n    System.out.println(\"x\");\n    missing();\n  }\n}",
            "cannot find symbol: method missing() (line 4, column 5)",
            "",
        ),
        (
            "// A header\n/* of two\n   kinds */\npackage a.b;\n\nimport java.util.*;\n\npublic class Main {\n  int n = \"\";\n}",
            "incompatible types: java.lang.String cannot be converted to int (line 9, column 11)",
            "",
        ),
        (
            "sealed interface Some { int f(boolean b); int g() { return 1; } }\nrecord One() implements Some {}",
            "interface abstract methods cannot have body (line 1, column 51)",
            "",
        ),
        ("x y z", "';' expected (line 1, column 4)", "semicolon"),
        ("System.out.println(\"a);", "unclosed string literal (line 1, column 20)", "the same quote"),
    ] {
        let ran = java.run(code).await;
        let error = ran.error();
        assert_eq!((error.name.as_str(), error.value.as_str()), ("CompileError", value), "{code}");
        assert!(error.traceback.contains(hint) && !error.traceback.contains("JShell"), "{code}: {}", error.traceback);
        assert_eq!((ran.stdout().as_str(), ran.end.state_lost), ("", false), "{code}");
    }
    // What one cell lacks, a later one may bring.
    assert!(java.run("int half(int n) { return whole(n) / 2; }").await.error().value.contains("whole(int)"));
    assert_eq!(java.value("int whole(int n) { return n; }\nhalf(4)").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn an_exception_has_name_value_and_the_users_frames() {
    let java = java();
    java.run("int divide(int a, int b) {\n  return a / b;\n}\nclass Calc {\n  static int half(int n) {\n    return divide(n, 0);\n  }\n}").await;
    let ran = java
        .run("System.out.print(\"before \");\nList.of(1).forEach(n ->\n  Calc.half(n));\nSystem.out.print(\"never\");")
        .await;
    let error = ran.error();
    assert_eq!((error.name.as_str(), error.value.as_str()), ("java.lang.ArithmeticException", "/ by zero"));
    assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("before ", ""));
    assert_eq!(
        error.traceback,
        "java.lang.ArithmeticException: / by zero\n\tat divide(cell-1.java:2)\n\tat Calc.half(cell-1.java:6)\n\
         \tat lambda(cell-2.java:3)\n\tat cell-2.java:2\n"
    );
    let own = "class Broken extends RuntimeException {\n  Broken(String why, Throwable cause) { super(why, cause); }\n}\ntry {\n  Integer.parseInt(\"x\");\n} catch (NumberFormatException e) {\n  throw new Broken(\"mine\", e);\n}";
    let error = java.run(own).await.error();
    assert_eq!((error.name.as_str(), error.value.as_str()), ("Broken", "mine"));
    assert_eq!(
        error.traceback,
        "Broken: mine\n\tat cell-3.java:7\nCaused by: java.lang.NumberFormatException: For input string: \"x\"\n\tat cell-3.java:5\n"
    );
    let error = java.run("int deep(int n) { return deep(n + 1) + 1; }\ndeep(0)").await.error();
    assert_eq!(error.name, "java.lang.StackOverflowError");
    assert!(error.traceback.lines().count() < 60 && error.traceback.contains(" more\n"), "{}", error.traceback);
    assert_eq!(
        java.run("String s = null;\ns.length()").await.error().value,
        "Cannot invoke \"String.length()\" because \"s\" is null"
    );
    let ran = java.run("try { divide(1, 0); } catch (Exception e) { e.printStackTrace(); }").await;
    assert_eq!(
        ran.stderr(),
        "java.lang.ArithmeticException: / by zero\n\tat divide(cell-1.java:2)\n\tat cell-6.java:1\n",
        "{ran:#?}"
    );
    let ran = java.run("Thread t = new Thread(() -> divide(1, 0), \"worker\");\nt.start();\nt.join();").await;
    assert_eq!(ran.end.outcome, Outcome::Finished);
    assert!(
        ran.stderr().starts_with(
            "Exception in thread \"worker\" java.lang.ArithmeticException: / by zero\n\tat divide(cell-1.java:2)\n"
        ),
        "{ran:#?}"
    );
    assert_eq!(java.run("throw new Error()").await.error().value, "");
}

#[tokio::test]
async fn output_arrives_when_it_is_written() {
    let java = java();
    for code in [
        "System.out.print(\"on\"); while (true) {}",
        "System.out.println(\"on\"); while (true) {}",
        "System.out.write('o'); System.out.write('n'); while (true) {}",
        "System.out.printf(\"o%s\", \"n\"); Thread.sleep(100_000);",
        "new ProcessBuilder(\"printf\", \"on\").inheritIO().start().waitFor(); while (true) {}",
        "public class Main { public static void main(String[] args) { System.out.print(\"on\"); while (true) {} } }",
    ] {
        let mut run = java.start(code);
        until(&mut run, "on").await;
        run.control().interrupt();
        let ran = finish(run).await;
        assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Cancelled, false), "{code}: {ran:#?}");
    }
    let mut run = java.start("System.err.print(\"on\"); while (true) {}");
    assert_eq!(next(&mut run).await, Some(CellEvent::Started));
    assert_eq!(next(&mut run).await, Some(CellEvent::Stderr("on".to_owned())));
}

#[tokio::test]
async fn what_children_write_is_caught() {
    let java = java();
    let ran = java.run("System.out.println(\"a\");\nint status = new ProcessBuilder(\"sh\", \"-c\", \"echo b; echo c >&2; exit 3\").inheritIO().start().waitFor();\nSystem.out.println(\"d\");\nstatus").await;
    assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("a\nb\nd\n", "c\n"), "{ran:#?}");
    assert_eq!(ran.value().as_deref(), Some("3"));
    assert_eq!(java.value("new String(new ProcessBuilder(\"pwd\").start().getInputStream().readAllBytes()).strip().equals(System.getProperty(\"user.dir\"))").await.as_deref(), Some("true"));
}

#[tokio::test]
async fn input_without_anybody_is_at_its_end() {
    let java = java();
    let ran = java.run("System.out.print(\"name? \");\nScanner in = new Scanner(System.in);\nSystem.out.println(in.hasNextLine());\nSystem.out.println(new BufferedReader(new InputStreamReader(System.in)).readLine());\nSystem.in.read()").await;
    assert_eq!((&ran.end.outcome, ran.stdout().as_str()), (&Outcome::Finished, "name? false\nnull\n"), "{ran:#?}");
    assert_eq!(ran.value().as_deref(), Some("-1"));
    assert_eq!(java.run("in.nextLine()").await.error().name, "java.util.NoSuchElementException");
}

#[tokio::test]
async fn input_asks_and_gets_its_answer() {
    let java = java();
    let asking = |code: &str| java.kernel.run(Cell { code: code.to_owned(), timeout: PATIENCE, stdin: true });
    let mut run = asking(
        "Scanner in = new Scanner(System.in);\nSystem.out.print(\"name? \");\nSystem.out.println(\"hi \" + in.nextLine());\nint a = in.nextInt(), b = in.nextInt();\na + b",
    );
    assert_eq!(until(&mut run, "name? ").await, "name? ");
    assert_eq!(next(&mut run).await, Some(CellEvent::InputRequest { prompt: String::new(), password: false }));
    let control = run.control();
    control.write_stdin("Ada \"ß\\😀\"".to_owned()).unwrap();
    assert_eq!(until(&mut run, "\n").await, "hi Ada \"ß\\😀\"\n");
    assert_eq!(next(&mut run).await, Some(CellEvent::InputRequest { prompt: String::new(), password: false }));
    control.write_stdin("1\n".to_owned()).unwrap();
    control.write_stdin("20".to_owned()).unwrap();
    assert_eq!(finish(run).await.value().as_deref(), Some("21"));
    let run = asking("new BufferedReader(new InputStreamReader(System.in)).lines().toList()");
    let control = run.control();
    control.write_stdin("one\ntwo\n".to_owned()).unwrap();
    control.write_stdin("three".to_owned()).unwrap();
    control.close_stdin();
    assert_eq!(control.write_stdin("late".to_owned()), Err(StdinError::Closed));
    let ran = finish(run).await;
    assert_eq!(ran.value().as_deref(), Some("[one, two, three]"), "{ran:#?}");
    let run = asking("System.in.read() + System.in.available() * 1000");
    run.control().write_stdin("ab".to_owned()).unwrap();
    assert_eq!(finish(run).await.value().as_deref(), Some("2097"), "what was not read is not for the next cell");
    let mut run = asking("in.nextLine() + in.nextLine()");
    while !matches!(next(&mut run).await, Some(CellEvent::InputRequest { .. })) {}
    run.control().interrupt();
    let ran = finish(run).await;
    assert_eq!((ran.end.outcome, ran.end.state_lost), (Outcome::Cancelled, false));
    assert_eq!(java.value("a").await.as_deref(), Some("1"));
}

//! What Java cells do.

use agb_kernel::{Language, Outcome};

use crate::support::{Subject, kernel};

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

sealed interface Shape permits Circle, Square {
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

//! Whole Java programs and cells of declarations: what javac takes as one file runs as one cell.

use agb_kernel::{Language, Outcome};

use crate::support::{Subject, kernel};

fn java() -> Subject {
    kernel(Language::Java)
}

/// Runs cells of one session; gives the output and the value of the last.
async fn last(java: &Subject, cells: &[&str]) -> (String, Option<String>) {
    let mut last = None;
    for code in cells {
        let ran = java.run(code).await;
        assert_eq!(ran.end.outcome, Outcome::Finished, "{code}: {ran:#?}");
        last = Some((ran.stdout(), ran.value()));
    }
    last.expect("there is a cell")
}

#[tokio::test]
async fn declarations_of_a_cell_come_in_any_order() {
    let java = java();
    for (code, output) in [
        (
            "public class Main { public static void main(String[] a) { System.out.println(new Dog().sound()); } }\n\
             class Dog extends Animal { @Override String sound() { return \"w\"; } }\n\
             class Animal { String sound() { return \"?\"; } }",
            "w\n",
        ),
        (
            "class Cat extends Pet implements Comparable<Cat> {\n  static final Map<String, Cat> ALL = new HashMap<>();\n  \
             Cat(String n) { super(n); ALL.put(n, this); }\n  \
             @Override public String speak() { return super.speak() + twice(2); }\n  \
             public int compareTo(Cat o) { return name.compareTo(o.name); }\n  static Cat of(String n) { return new Cat(n); }\n}\n\
             abstract class Pet {\n  protected final String name;\n  Pet(String n) { name = n; }\n  public String speak() { return name; }\n}\n\
             int twice(int n) { return n * base; }\nint base = 21;\n\
             System.out.println(Cat.of(\"Tom\").speak() + Cat.ALL.size());",
            "Tom421\n",
        ),
        (
            "class A { B b; A() { b = new B(this); } }\nclass B { A a; B(A a) { this.a = a; } }\nSystem.out.print(new A().b.a != null);",
            "true",
        ),
        (
            "interface Visitor<R> { R visit(Node n); }\nclass Node { Node next; <R> R accept(Visitor<R> v) { return v.visit(this); } }\n\
             enum Op { PLUS { int apply(int a, int b) { return a + b; } }, TIMES { int apply(int a, int b) { return a * b; } };\n  \
             abstract int apply(int a, int b); }\n@interface Mark { String value() default \"m\"; }\n@Mark class Marked {}\n\
             System.out.print(new Node().accept(n -> n.next == null ? \"leaf\" : \"node\") + Op.TIMES.apply(3, 4));",
            "leaf12",
        ),
        (
            "class Stack<T> extends Base<T> { T pop() { return items.remove(items.size() - 1); } }\n\
             class Base<T> { protected final List<T> items = new ArrayList<>(); Base<T> push(T t) { items.add(t); return this; } }\n\
             var s = new Stack<String>(); s.push(\"x\").push(\"y\"); System.out.print(s.pop());",
            "y",
        ),
        (
            "static int fact(int n) { return n <= 1 ? 1 : n * fact(n - 1); }\npublic static void main(String[] args) { System.out.print(fact(5)); }",
            "120",
        ),
        // JShell makes a record public, which its constructor then has to be.
        (
            "record V(double x, double y) {\n  static final V ZERO = new V(0, 0);\n  V { x = x + 1; }\n  V(double v) { this(v, v); }\n}\n\
             record G<T>(T a, List<T> l) { G(T a, List<T> l) { this.a = a; this.l = List.copyOf(l); } }\n\
             System.out.print(new V(1) + \"\" + V.ZERO + new G<>(\"x\", List.of(\"y\")));",
            "V[x=2.0, y=1.0]V[x=1.0, y=0.0]G[a=x, l=[y]]",
        ),
        // Declared twice in a cell: then the order counts, as in a session.
        (
            "int f(int x) { return 1; }\nSystem.out.print(f(0));\nint f(int x) { return 2; }\nSystem.out.print(f(0));",
            "12",
        ),
    ] {
        assert_eq!(java.output(code).await, output, "{code}");
    }
}

#[tokio::test]
async fn sealed_families_of_every_form() {
    let java = java();
    for (code, output) in [
        (
            "sealed interface Shape permits Disc, Poly {}\nrecord Disc(int r) implements Shape {}\n\
             non-sealed class Poly implements Shape { int side = 2; }\nSystem.out.print(new Poly().side);",
            "2",
        ),
        (
            "sealed interface Expr {}\nrecord Num(double v) implements Expr {}\nrecord Add(Expr l, Expr r) implements Expr {}\n\
             double ev(Expr e) {\n  if (e instanceof Num n) return n.v();\n  if (e instanceof Add a) return ev(a.l()) + ev(a.r());\n  \
             throw new IllegalStateException();\n}\nSystem.out.print(ev(new Add(new Num(2), new Num(3))));",
            "5.0",
        ),
        (
            "sealed abstract class Vehicle permits Car, Truck {}\nfinal class Car extends Vehicle {}\n\
             sealed class Truck extends Vehicle permits Big {}\nnon-sealed class Big extends Truck {}\nclass Huge extends Big {}\n\
             Vehicle v = new Huge();\nSystem.out.print(v instanceof Truck);",
            "true",
        ),
        (
            "sealed interface Result<T> { record Ok<T>(T value) implements Result<T> {}\n  record Err<T>(String why) implements Result<T> {} }\n\
             Result<Integer> r = new Result.Ok<>(5);\nSystem.out.print(r);",
            "Ok[value=5]",
        ),
    ] {
        assert_eq!(java.output(code).await, output, "{code}");
    }
}

#[tokio::test]
async fn methods_of_one_name_know_each_other() {
    let java = java();
    let one = "int size(int i) { return 1; }";
    let other = "int size(String s) { return size(0) + s.length(); }";
    assert_eq!(last(&java, &[&format!("{one}\n{other}"), "size(\"ab\")"]).await.1.as_deref(), Some("3"));
    let java = kernel(Language::Java);
    assert_eq!(last(&java, &[one, other, "size(\"ab\")"]).await.1.as_deref(), Some("3"));
    for (cells, value) in [
        (
            &[
                "<T> String kind(T t) { return \"T\"; }\nString kind(int n) { return \"int\" + kind(\"s\"); }",
                "kind(5)",
            ][..],
            "\"intT\"",
        ),
        (
            &[
                "int add(int a, int b) { return a + b; }\ndouble add(double a, double b) { return a + b; }\n\
               int add(int... all) { return Arrays.stream(all).sum(); }",
                "add(1, 2) + \" \" + add(1.5, 2) + \" \" + add(1, 2, 3)",
            ],
            "\"3 3.5 6\"",
        ),
        // They stay together when what one of them uses is declared anew.
        (
            &[
                "int scale = 3;\nint area(int a) { return area(a, a) * scale; }\nint area(int a, int b) { return a * b; }",
                "int scale = 5;",
                "area(2)",
            ],
            "20",
        ),
        (&["int area(int a, int b) { return a * b + 1; }", "area(2)"], "25"),
    ] {
        assert_eq!(last(&java, cells).await.1.as_deref(), Some(value), "{cells:?}");
    }
}

#[tokio::test]
async fn a_cell_that_does_not_compile_runs_nothing() {
    let java = java();
    java.run("int base = 1;\nint twice(int n) { return n * base; }").await;
    for (code, name) in [
        ("void t() { count++; }\nSystem.out.println(\"later\");", "variable count"),
        ("System.out.println(\"first\");\nclass Bad { int x = \"s\"; }", "String cannot be converted"),
        ("System.out.println(\"first\");\nclass Worse extends Missing {}", "class Missing"),
        ("System.out.println(\"first\");\nint g(int n) { return twice(n, n); }", "twice"),
        ("int k = 3;\nSystem.out.println(k);\nint h() { return k.size(); }", "int cannot be dereferenced"),
    ] {
        let ran = java.run(code).await;
        assert!(ran.error().value.contains(name), "{code}: {ran:#?}");
        if !code.contains("int k") {
            assert_eq!(ran.stdout(), "", "{code}");
        }
    }
    let error = java.run("int half() { return helper() / 2; }").await.error();
    assert!(
        error.traceback.ends_with("note: half is kept, and works once a cell has declared what it needs\n"),
        "{error:?}"
    );
    assert_eq!(last(&java, &["int helper() { return 8; }", "half()"]).await.1.as_deref(), Some("4"));
    assert_eq!(last(&java, &["class Missing { int m = 4; }", "new Worse().m"]).await.1.as_deref(), Some("4"));
}

#[tokio::test]
async fn what_is_declared_anew_takes_its_place() {
    let java = java();
    for (cells, value) in [
        (
            &[
                "int q = 1;\nint useq() { return q + 1; }",
                "String q = \"s\";\nString useq() { return q.toUpperCase(); }",
                "useq() + q",
            ][..],
            "\"Ss\"",
        ),
        (
            &[
                "int base = 1;\nint by(int n) { return n * base; }",
                "String base = \"x\";\nString by(int n) { return base + n; }\nby(3)",
            ],
            "\"x3\"",
        ),
        // The values of variables stay, also where their declaration named a method that is another one now.
        (&["int ff(int a) { return a; }\nvar fl = List.of(ff(3));", "int ff(int a) { return a + 100; }", "fl"], "[3]"),
        (&["int x = 1;\nvar y = List.of(x, 2);", "int x = 5;", "y"], "[1, 2]"),
    ] {
        assert_eq!(last(&java, cells).await.1.as_deref(), Some(value), "{cells:?}");
    }
    java.run("record P(int a) {}\nvar old = new P(1);").await;
    let ran = java.run("record P(int a, int b) {}\nnew P(1, 2)").await;
    assert_eq!(ran.value().as_deref(), Some("P[a=1, b=2]"));
    assert_eq!(ran.stderr(), "note: the value of old is gone: its type was declared anew\n");
    // A trace names the text that was sent last.
    java.run("int f(int x) { return 10 / x; }").await;
    let ran = java.run("\n\nint f(int x) { return 10 / x; }\nf(0)").await;
    let place = format!("\tat f(cell-{}.java:3)\n", ran.end.execution_count);
    assert!(ran.error().traceback.contains(&place), "{ran:#?}");
}

#[tokio::test]
async fn line_ends_and_a_mark_make_no_difference() {
    let java = java();
    let program = "int a = 1;\n// note\nString s = \"\"\"\n  x\n  y\n  \"\"\";\nSystem.out.print(a + s);";
    for code in
        [program.to_owned(), program.replace('\n', "\r\n"), program.replace('\n', "\r"), format!("\u{feff}{program}\r")]
    {
        assert_eq!(java.output(&code).await, "1x\ny\n", "{code:?}");
    }
    for end in ["\n", "\r\n", "\r"] {
        let error = java.run(&format!("\u{feff}int b = 1;{end}{end}int c = \"s\";")).await.error();
        assert!(error.value.ends_with("(line 3, column 9)"), "{end:?}: {error:?}");
    }
}

/// In the same cell a program that has closed its output is silent, as with a pipe; the next begins with working streams.
#[tokio::test]
async fn every_run_begins_with_working_streams() {
    let java = java();
    for (code, output) in [
        ("PrintWriter out = new PrintWriter(System.out); out.print(1); out.close();", "1"),
        ("System.out.close(); System.err.close(); System.in.close();", ""),
        (
            "var o = new PrintWriter(new OutputStreamWriter(new FileOutputStream(FileDescriptor.out))); o.print(2); o.close();",
            "2",
        ),
        ("new FileOutputStream(FileDescriptor.err).close(); new FileInputStream(FileDescriptor.in).close();", ""),
        ("System.setOut(new PrintStream(new FileOutputStream(\"out.txt\")));", ""),
        ("System.setOut(null); System.setErr(null); System.setIn(null);", ""),
        (
            "System.setIn(new ByteArrayInputStream(\"own\".getBytes())); System.out.print(new Scanner(System.in).next());",
            "own",
        ),
        // What a stream of its own holds back is delivered with the run.
        (
            "System.setOut(new PrintStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out)))); System.out.print(3);",
            "3",
        ),
        (
            "System.setOut(new PrintStream(new BufferedOutputStream(System.out, 1 << 16), false)); System.out.print(4);",
            "4",
        ),
    ] {
        let ran = java.run(code).await;
        assert_eq!((&ran.end.outcome, ran.stdout().as_str()), (&Outcome::Finished, output), "{code}: {ran:#?}");
        let ran = java
            .run("System.out.print(\"a\"); System.err.print(\"b\"); new ProcessBuilder(\"sh\", \"-c\", \"printf c; printf d >&2\").inheritIO().start().waitFor(); \
                  var raw = new FileOutputStream(FileDescriptor.out); raw.write('e'); System.out.print(System.in.read());")
            .await;
        assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("ace-1", "bd"), "after {code}: {ran:#?}");
    }
    assert_eq!(std::fs::read_to_string(java.workdir.path().join("out.txt")).unwrap(), "");
}

/// The program's exception stays the one that is named, and what cannot be shown is shown as a text that says why.
#[tokio::test]
async fn exceptions_and_values_of_any_kind_are_described() {
    let java = java();
    java.run("int kept = 5;").await;
    for (code, name, value) in [
        (
            "Exception e = null;\nfor (int i = 0; i < 100_000; i++) e = new Exception(\"c\" + i, e);\nthrow e;",
            "java.lang.Exception",
            "c99999",
        ),
        (
            "class A extends RuntimeException { public String getMessage() { throw new IllegalStateException(\"m\"); } }\nthrow new A();",
            "A",
            "",
        ),
        (
            "class B extends RuntimeException { B() { super(\"b\"); } public Throwable getCause() { throw new IllegalStateException(); } }\nthrow new B();",
            "B",
            "b",
        ),
        (
            "class C extends RuntimeException { public Throwable getCause() { return new C(); } }\nthrow new C();",
            "C",
            "",
        ),
        (
            "class D extends RuntimeException { D() { super(\"d\"); } public StackTraceElement[] getStackTrace() { return null; } }\nthrow new D();",
            "D",
            "d",
        ),
        (
            "class E extends RuntimeException { public String toString() { return toString(); } }\nthrow new E();",
            "E",
            "",
        ),
        ("class F extends Error { F() { super(\"f\"); } }\nthrow new F();", "F", "f"),
        ("throw new Exception(\"m\".repeat(1_000_000));", "java.lang.Exception", ""),
        ("Throwable s = new Exception(\"s\"); s.addSuppressed(new Exception(s)); throw s;", "java.lang.Exception", "s"),
    ] {
        let ran = java.run(code).await;
        let error = ran.error();
        assert_eq!((error.name.as_str(), ran.end.state_lost), (name, false), "{code}: {error:?}");
        assert!(value.is_empty() || error.value == value, "{code}: {error:?}");
        assert!(error.traceback.len() < 600_000, "{code}: {}", error.traceback.len());
    }
    for (code, text) in [
        (
            "class T { public String toString() { throw new IllegalStateException(\"no\"); } }\nnew T()",
            "T (cannot be shown: java.lang.IllegalStateException: no)",
        ),
        (
            "class U { public String toString() { return toString(); } }\nnew U()",
            "U (cannot be shown: java.lang.StackOverflowError)",
        ),
        ("class V { public String toString() { return null; } }\nnew V()", "null"),
        ("Object[] a = new Object[1]; Object[] b = {a}; a[0] = b; a", "java.lang.Object[1] { "),
        (
            "Object nest = \"x\"; for (int i = 0; i < 100_000; i++) nest = new Object[] {nest}; nest",
            "java.lang.Object[1] { ",
        ),
        ("int[][] g = new int[2000][2000]; g", "int[2000][] { int[2000] { 0, "),
    ] {
        let value = java.value(code).await.unwrap();
        assert!(value.starts_with(text) && value.len() < 100_000, "{code}: {value:.300}");
    }
    // A method that does not come to an end is stopped by the run's own time limit.
    let timeout = std::time::Duration::from_secs(2);
    let ran = java
        .run_for(
            "class W extends RuntimeException { public String getMessage() { while (true) { } } }\nthrow new W();",
            timeout,
        )
        .await;
    assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::TimedOut(timeout), false), "{ran:#?}");
    assert_eq!(java.value("kept").await.as_deref(), Some("5"));
}

/// javac takes semicolons between types for nothing.
#[tokio::test]
async fn a_lone_semicolon_changes_nothing() {
    let java = java();
    let main = "class Main { public static void main(String[] a) { System.out.println(new P(1)); } }";
    for (before, between, after) in
        [("", "", ";"), ("", ";", "\n;;\n"), ("import java.util.List;;\n", "\n; // x\n", ""), (";", "", "")]
    {
        let code = format!("{before}{main}{between}record P(int x) {{}}{after}");
        assert_eq!(java.output(&code).await, "P[x=1]\n", "{code}");
    }
    assert_eq!(java.value("int n = 5;;\nn").await.as_deref(), Some("5"));
    assert_eq!(java.run(";").await.end.outcome, Outcome::Finished);
}

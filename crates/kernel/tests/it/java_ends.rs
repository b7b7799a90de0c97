//! How Java cells end, what they leave behind, and what Java is started from.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use agb_kernel::{
    Cell, CellEvent, Death, Kernel, KernelSpec, Language, Outcome, StartError, Stream, interpreter_lacks,
};

use crate::support::{
    PATIENCE, Subject, Workdir, cache, eventually, finish, kernel, kernel_with, processes_in, spec, until,
};

fn java() -> Subject {
    kernel(Language::Java)
}

#[tokio::test]
async fn a_loop_stops_at_its_timeout_and_keeps_the_state() {
    let java = java();
    java.run("String x = \"kept\";\nimport java.util.concurrent.locks.*;").await;
    for code in [
        "while (true) {}",
        "Thread.sleep(100_000);",
        "new ProcessBuilder(\"sleep\", \"100\").start().waitFor();",
        "Runtime.getRuntime().exec(new String[] {\"sh\", \"-c\", \"sleep 100; true\"}).getInputStream().read();",
        "while (true) { try { throw new Exception(); } catch (Exception e) { } }",
        "while (true) { try { Thread.sleep(10); } catch (InterruptedException e) { } }",
        "LockSupport.park(); LockSupport.park(); synchronized (x) { x.wait(); }",
        "Thread worker = new Thread(() -> { while (true) { } }); worker.start(); worker.join();",
        "IntStream.iterate(0, n -> n + 1).parallel().filter(n -> n < 0).findFirst()",
        "long fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }\nfib(90)",
        "try { while (true) { } } catch (Throwable caught) { }\nwhile (true) { }",
        "while (true) System.out.println(\"more\");",
        "public class Main { public static void main(String[] args) { new Thread(() -> { while (true) { } }).start(); } }",
    ] {
        // Compiling is a part of it.
        let timeout = Duration::from_millis(1000);
        let ran = java.run_for(code, timeout).await;
        assert_eq!(
            (&ran.end.outcome, ran.end.state_lost),
            (&Outcome::TimedOut(timeout), false),
            "{code}: {:#?}",
            ran.end
        );
        assert!(!ran.events.iter().any(|(_, event)| matches!(event, CellEvent::Error(_))), "{code}");
    }
    assert_eq!(java.value("x").await.as_deref(), Some("\"kept\""));
    assert!(processes_in(java.workdir.path()).len() <= 1);
}

/// A class whose initializer is broken off can never be used again: the library's own would be lost with it.
#[tokio::test]
async fn a_librarys_class_is_not_stopped_while_it_is_initialized() {
    let java = java();
    let slow = "public class Slow { static { System.out.println(\\\"on\\\"); long end = System.nanoTime() + 400_000_000L; while (System.nanoTime() < end) { } } public static int n() { return 7; } }";
    let code = format!(
        "import javax.tools.*;\nFiles.writeString(Path.of(\"Slow.java\"), \"{slow}\");\n\
         ToolProvider.getSystemJavaCompiler().run(null, null, null, \"Slow.java\");\n\
         var slow = new URLClassLoader(new URL[] {{ Path.of(\"\").toUri().toURL() }}).loadClass(\"Slow\").getMethod(\"n\");"
    );
    assert_eq!(java.run(&code).await.end.outcome, Outcome::Finished);
    let mut run = java.start("slow.invoke(null);\nwhile (true) { }");
    until(&mut run, "on").await; // it is being initialized: just before, nobody can see that it will be
    run.control().interrupt();
    let ran = finish(run).await;
    assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Cancelled, false), "{ran:#?}");
    assert_eq!(java.value("slow.invoke(null)").await.as_deref(), Some("7"));
}

#[tokio::test]
async fn what_catches_everything_is_killed_after_the_grace() {
    let java = kernel_with(Language::Java, |limits| limits.interrupt_grace = Duration::from_millis(500));
    java.run("int x = 1;").await;
    let mut run =
        java.start("System.out.print(\"on\");\nwhile (true) { try { while (true) { } } catch (Throwable caught) { } }");
    until(&mut run, "on").await;
    run.control().interrupt();
    let ran = finish(run).await;
    assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Cancelled, true), "{ran:#?}");
    assert_eq!(processes_in(java.workdir.path()), []);
    let ran = java.run("x").await;
    assert_eq!((ran.error().name.as_str(), ran.end.execution_count), ("CompileError", 3), "a fresh process");
}

#[tokio::test]
async fn exit_ends_the_kernel_with_its_code() {
    let java = java();
    java.run("int x = 1;").await;
    for (code, status) in [
        ("System.out.print(\"bye\");\nSystem.exit(3);", 3),
        (
            "public class Main { public static void main(String[] args) { System.out.print(\"bye\"); System.exit(0); } }",
            0,
        ),
        ("System.out.print(\"bye\");\nRuntime.getRuntime().halt(4);", 4),
        ("Thread t = new Thread(() -> System.exit(5)); System.out.print(\"bye\"); t.start(); t.join();", 5),
        ("Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.print(\"bye\"))); System.exit(0);", 0),
    ] {
        let ran = java.run(code).await;
        assert_eq!((ran.stdout().as_str(), ran.end.state_lost), ("bye", true), "{ran:#?}");
        if status == 0 {
            assert_eq!(ran.end.outcome, Outcome::Finished, "{ran:#?}");
        } else {
            let error = ran.error();
            assert_eq!(error.name, "ProcessExit");
            assert_eq!(error.value, format!("the program ended with exit status {status}"));
        }
    }
    let ran = java.run("x").await;
    assert_eq!((ran.error().name.as_str(), ran.end.execution_count), ("CompileError", 7));
    let ran = java.run("new ProcessBuilder(\"kill\", \"-9\", \"\" + ProcessHandle.current().pid()).start().waitFor();\nThread.sleep(100_000);").await;
    assert_eq!(ran.end.outcome, Outcome::Killed(Death::Signalled(9)));
}

#[tokio::test]
async fn out_of_memory_is_an_error_and_the_state_is_kept() {
    let java = kernel_with(Language::Java, |limits| limits.java_heap = 64 << 20);
    java.run("int x = 1;").await;
    let error = java.run("byte[] large = new byte[1 << 30];").await.error();
    assert_eq!(error.name, "java.lang.OutOfMemoryError");
    assert!(error.value.starts_with("Java heap space (a program may hold about 6"), "{error:?}");
    let error = java
        .run("{\n  List<byte[]> all = new ArrayList<>();\n  while (true) all.add(new byte[1 << 16]);\n}")
        .await
        .error();
    assert!(error.traceback.ends_with("\tat cell-3.java:3\n"), "{}", error.traceback);
    assert_eq!(java.value("x").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn what_threads_write_later_belongs_to_no_run() {
    let java = java();
    let ran = java.run("Thread late = new Thread(() -> {\n  try { while (!Files.exists(Path.of(\"go\"))) Thread.sleep(2); } catch (InterruptedException e) { }\n  System.out.println(\"late\");\n  new File(\"done\").mkdir();\n});\nlate.start();\nSystem.out.println(\"first\");").await;
    assert_eq!(ran.stdout(), "first\n");
    std::fs::write(java.workdir.path().join("go"), "").unwrap();
    eventually("the thread has written", || java.workdir.path().join("done").exists()).await;
    let ran = java.run("System.out.println(\"second\");").await;
    assert_eq!(ran.stdout(), "second\n");
    let late = CellEvent::Background { stream: Stream::Stdout, text: "late\n".to_owned() };
    assert!(ran.events.iter().any(|(_, event)| *event == late), "{ran:#?}");
}

#[tokio::test]
async fn all_statements_of_a_cell_run_in_one_thread() {
    let java = java();
    let ran = java.run("import java.util.concurrent.locks.*;\nReentrantLock lock = new ReentrantLock();\nlock.lock();\nThreadLocal<Integer> local = new ThreadLocal<>();\nlocal.set(7);").await;
    assert_eq!(ran.end.outcome, Outcome::Finished, "{ran:#?}");
    assert_eq!(java.value("lock.unlock();\nlocal.get()").await.as_deref(), Some("7"));
    assert_eq!(java.value("Thread.currentThread().getName()").await.as_deref(), Some("\"main\""));
}

#[tokio::test]
async fn a_result_above_the_limit_says_so() {
    let java = kernel_with(Language::Java, |limits| limits.max_control_frame = 10_000);
    let value = java.value("\"x\".repeat(20000)").await.unwrap();
    assert_eq!(value, "java.lang.String of 20002 characters: too large to show");
    assert!(java.value("new int[1_000_000]").await.unwrap().starts_with("int[1000000] { 0, 0, "));
    assert!(java.value("new long[2000]").await.unwrap().ends_with(", … }"));
    assert_eq!(java.value("1").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn images_html_and_what_display_shows_are_results() {
    let java = java();
    let picture =
        "import java.awt.image.BufferedImage;\nvar image = new BufferedImage(2, 3, BufferedImage.TYPE_INT_RGB);\n";
    let ran = java.run(&format!("{picture}image.setRGB(0, 0, 0xff0000);\nimage")).await;
    let [image] = ran.results().try_into().unwrap_or_else(|_| panic!("{ran:#?}"));
    assert!(image.is_main && image.data["image/png"].as_str().unwrap().starts_with("iVBORw0KGgo"), "{image:#?}");
    assert!(image.data["text/plain"].as_str().unwrap().contains("BufferedImage"), "{image:#?}");

    let table = "class Table {\n  public String toHtml() { return \"<table></table>\"; }\n  public String toString() { return \"a table\"; }\n}\n";
    let ran =
        java.run(&format!("{table}System.out.println(1);\ndisplay(new Table());\ndisplay(image);\nnew Table()")).await;
    assert_eq!((ran.stdout().as_str(), &ran.end.outcome), ("1\n", &Outcome::Finished), "{ran:#?}");
    let shown: Vec<_> = ran.results().into_iter().map(|result| (result.is_main, result.data)).collect();
    let [(false, first), (false, second), (true, last)] = shown.as_slice() else { panic!("{ran:#?}") };
    assert_eq!((&first["text/html"], &first["text/plain"]), (&"<table></table>".into(), &"a table".into()));
    assert!(second.contains_key("image/png") && last == first, "{ran:#?}");

    let ran = java
        .run("for (int i = 0; i < 2; i++) display(\"<b>\" + i + \"</b>\", \"text/html\");\nmarkdown(\"# x\")")
        .await;
    let shown: Vec<_> = ran.results().into_iter().map(|result| result.data).collect();
    assert_eq!((&shown[1]["text/html"], &shown[2]["text/markdown"]), (&"<b>1</b>".into(), &"# x".into()), "{ran:#?}");
    let broken = java
        .run("class Broken {\n  public String toHtml() { throw new IllegalStateException(\"no\"); }\n}\nnew Broken()")
        .await;
    assert_eq!(
        (broken.error().name.as_str(), broken.error().value.as_str()),
        ("java.lang.IllegalStateException", "no")
    );
    assert!(broken.error().traceback.contains("Broken.toHtml(cell-4.java:2)"), "{broken:#?}");
    // A program's own method of the name is the one that is called.
    assert_eq!(
        java.value("int html(String text) { return text.length(); }\nhtml(\"four\")").await.as_deref(),
        Some("4")
    );
    assert!(java.run("display(new Table());").await.results()[0].data.contains_key("text/html"));
}

#[tokio::test]
async fn what_display_shows_in_a_thread_that_outlives_its_cell_is_text() {
    let java = java();
    let code = "var go = Path.of(\"go\");\nvar late = new Thread(() -> {\n  while (!Files.exists(go)) Thread.onSpinWait();\n  \
                display(42);\n  try { Files.delete(go); } catch (IOException e) { }\n});\nlate.start();";
    assert_eq!(java.run(code).await.end.outcome, Outcome::Finished);
    let go = java.workdir.path().join("go");
    std::fs::write(&go, "").unwrap();
    eventually("the thread has shown its value", || !go.exists()).await;
    let ran = java.run("1;").await;
    let said: Vec<_> = ran.events.iter().filter(|(_, event)| matches!(event, CellEvent::Background { .. })).collect();
    let [(_, CellEvent::Background { stream: Stream::Stdout, text })] = said.as_slice() else { panic!("{ran:#?}") };
    assert_eq!(text, "42\n");
}

#[tokio::test]
async fn what_later_cells_may_name_survives_what_is_forgotten() {
    let java = java();
    java.run("int a = 1, b = 2;\nint sum() { return a + b; }\nsealed interface Shape {}\nrecord Circle(int r) implements Shape { record Inner(int x) {} }").await;
    for round in 0..3 {
        java.run("Strng x;").await;
        java.run("for (int i = 0; i < 2; i++) { int j = i; Runnable r = new Runnable() { public void run() { } }; r.run(); }").await;
        assert_eq!(
            java.value("sum() + new Circle(4).r() + new Circle.Inner(1).x()").await,
            Some((8 + round).to_string())
        );
        java.run(&format!("a = {};", round + 2)).await;
    }
    // What is declared again takes what uses it along.
    java.run("int a = 40;").await;
    assert_eq!(java.value("sum()").await.as_deref(), Some("42"));
    java.run("int b() { return 1; }\nint sum() { return a + b(); }").await;
    assert_eq!(java.value("sum()").await.as_deref(), Some("41"));
    assert_eq!(java.value("b").await.as_deref(), Some("2"));
    java.run("Runnable later = () -> System.out.println(sum());").await;
    java.run("record Circle(int r, int s) implements Shape {}").await;
    assert_eq!(java.output("later.run();\nSystem.out.println(new Circle(1, 2));").await, "41\nCircle[r=1, s=2]\n");
}

#[tokio::test]
async fn what_is_no_text_does_not_break_the_channel() {
    let java = java();
    assert_eq!(java.output("System.out.print(\"\\u0001\\0\\t\");").await, "\u{1}\0\t");
    assert_eq!(java.value("\"\\ud83d\"").await.as_deref(), Some("\"\u{fffd}\""));
    let error = java.run("throw new Exception(\"\\1\\\"\\\\\\udc00ß\");").await.error();
    assert_eq!(error.value, "\u{1}\"\\\u{fffd}ß");
    assert_eq!(java.run("System.out.write(new byte[] {(byte) 0xff});").await.stdout(), "\u{fffd}");
}

#[tokio::test]
async fn temporary_files_go_with_the_kernel() {
    let java = java();
    let dir = java.output("System.out.print(File.createTempFile(\"abc\", \"b\").getParent());").await;
    // One directory in the session's: the program sees that one as /tmp where it has a file system of its own.
    let name = PathBuf::from(dir).file_name().unwrap().to_owned();
    let dir = java.workdir.root().join("tmp").join(name);
    assert!(dir.exists(), "{dir:?}");
    let ran = java.run("new ProcessBuilder(\"setsid\", \"sleep\", \"1000\").start();\nSystem.exit(0);").await;
    assert_eq!(ran.end.outcome, Outcome::Finished);
    eventually("the directory is gone", || !dir.exists()).await;
    assert_eq!(processes_in(java.workdir.path()), []);
    java.run("1").await;
    assert_eq!(std::fs::read_dir(java.workdir.path()).unwrap().count(), 0, "nothing is left in the working directory");
}

#[tokio::test]
async fn cells_are_quick() {
    let java = java();
    java.run("1").await;
    let start = Instant::now();
    for _ in 0..20 {
        java.run("1").await;
    }
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_cannot_compile_is_said_to_be_no_jdk() {
    let dir = std::env::temp_dir().join(format!("agb-no-jdk-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let fake = |name: &str, modules: &str| {
        let path = dir.join(name);
        std::fs::write(&path, format!("#!/bin/sh\nprintf '{modules}'\n")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        path
    };
    let workdir = Workdir::new();
    for (interpreter, needle) in [
        (PathBuf::from("/absent/java"), "/absent/java could not be run"),
        ("/bin/false".into(), "/bin/false is no Java of version 17 or later; install a JDK"),
        (fake("old", "java.base@11.0.1\\njdk.jshell@11.0.1\\n"), "old is Java 11, and version 17 or later is needed"),
        (
            fake("runtime", "java.base@21.0.1\\njava.desktop@21.0.1\\n"),
            "(module jdk.jshell): it is a runtime only; install a JDK (on Debian: apt-get install openjdk-17-jdk-headless)",
        ),
    ] {
        let spec = KernelSpec { cache: cache(), ..spec(Language::Java, &interpreter, workdir.root()) };
        let outcome = finish(Kernel::new(spec).run(Cell::new("1", PATIENCE))).await.end.outcome;
        let Outcome::NotStarted(error @ StartError::Prepare { .. }) = outcome else { panic!("{outcome:?}") };
        assert!(error.to_string().contains(needle), "{error}");
        assert!(interpreter_lacks(Language::Java, &interpreter).unwrap().contains(needle));
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn a_cache_that_others_can_write_to_is_refused() {
    let dir = std::env::temp_dir().join(format!("agb-open-cache-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let workdir = Workdir::new();
    let java = agb_kernel::find_interpreter(Language::Java, None).unwrap();
    let mut spec = spec(Language::Java, java, workdir.root());
    spec.cache = dir.clone();
    let outcome = finish(Kernel::new(spec).run(Cell::new("1", PATIENCE))).await.end.outcome;
    std::fs::remove_dir_all(&dir).unwrap();
    let Outcome::NotStarted(error @ StartError::Prepare { .. }) = outcome else { panic!("{outcome:?}") };
    assert!(error.to_string().contains("others can write to it"), "{error}");
}

#[tokio::test]
async fn a_handler_gets_what_main_throws() {
    let java = kernel(Language::Java);
    let main = |handler: &str, thrown: &str| {
        format!(
            "public class Main {{ public static void main(String[] a) {{\n\
             Thread.setDefaultUncaughtExceptionHandler({handler});\n throw {thrown}; }} }}"
        )
    };
    let ran = java
        .run(&main("(t, e) -> System.out.println(t.getName() + \" \" + e.getMessage())", "new Error(\"why\")"))
        .await;
    assert_eq!((ran.stdout().as_str(), ran.error().value.as_str()), ("main why\n", "why"), "{ran:#?}");
    let ran = java.run(&main("(t, e) -> { throw new RuntimeException(\"mine\"); }", "new Error(\"why\")")).await;
    assert_eq!(ran.error().value, "why", "{ran:#?}");
    let ran = java.run(&main("null", "new Error(\"why\")")).await;
    assert_eq!((ran.stdout().as_str(), ran.error().value.as_str()), ("", "why"), "{ran:#?}");
}

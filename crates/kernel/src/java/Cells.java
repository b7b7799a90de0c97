package agb.kernel;

import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import jdk.jshell.JShell;
import jdk.jshell.MethodSnippet;
import jdk.jshell.Snippet;
import jdk.jshell.Snippet.SubKind;
import jdk.jshell.SnippetEvent;
import jdk.jshell.TypeDeclSnippet;
import jdk.jshell.UnresolvedReferenceException;
import jdk.jshell.VarSnippet;
import jdk.jshell.spi.ExecutionControl.StoppedException;
import jdk.jshell.spi.SPIResolutionException;

/** Runs cells, one at a time. */
final class Cells {
    private final Channel channel;
    private final Engine engine = new Engine();
    private final JShell shell;
    private final Declarations declarations;
    private final Variables variables;
    private final Places places;
    private final Problems problems;
    private final Leftovers leftovers;
    private final DefaultImports imports = new DefaultImports();
    private final Input input = new Input(this);
    private final Hooks hooks = new Hooks();
    /** What prints the errors of threads, unless the program has put another in its place. */
    private final Thread.UncaughtExceptionHandler ownHandler = Thread.getDefaultUncaughtExceptionHandler();

    /** The cell that runs; null between two. */
    private Cell cell;

    private static final class Cell {
        final String nonce;
        /** What stack traces call it. */
        final String file;
        /** What {@code main} gets, as literals. */
        final String arguments;
        final String code;
        final boolean hasInput;
        /** It is a whole program: the threads that Java waits for are waited for. */
        final boolean ends;
        final int maxFrame;
        volatile boolean isInterrupted;
        /** It has had its time to clean up. */
        volatile boolean isStopped;
        boolean hasRunMain;

        Cell(Map<String, Object> message) {
            nonce = (String) message.get("nonce");
            var program = (String) message.get("program");
            file = program == null || program.equals("-") ? "cell-" + ((Double) message.get("count")).intValue() + ".java" : program;
            int given = ((Double) message.getOrDefault("arguments", 0.0)).intValue();
            arguments = IntStream.range(0, given).mapToObj(at -> Json.literal((String) message.get("argument" + at))).collect(Collectors.joining(", "));
            // A source file may begin with a mark and have any line ends.
            code = ((String) message.get("code")).replaceFirst("\\A\ufeff", "").replaceAll("\r\n?", "\n");
            hasInput = (Boolean) message.get("stdin");
            ends = (Boolean) message.get("ends");
            maxFrame = ((Double) message.get("maxFrame")).intValue();
        }
    }

    Cells(Channel channel) {
        this.channel = channel;
        shell = JShell.builder().executionEngine(engine.provider(), Map.of()).compilerOptions("-g").build();
        Indexing.stop(shell.sourceCodeAnalysis());
        declarations = new Declarations(shell);
        variables = new Variables(shell, engine.loader());
        places = new Places(shell);
        problems = new Problems(shell);
        leftovers = new Leftovers(shell);
        Traces.use(places);
        Notebook.use(this);
        Stdin.use(input);
        System.setIn(input);
    }

    // Called by the thread that reads the control channel.

    /** Interrupts the cell of this nonce. A program that has caught that, or cleans up, is stopped when it comes again. */
    void interrupt(String nonce, boolean isAgain) {
        synchronized (this) {
            if (cell == null || !cell.nonce.equals(nonce)) return;
            cell.isInterrupted = true;
            cell.isStopped = isAgain;
        }
        if (isAgain) {
            engine.stopAll();
        } else {
            hooks.start();
            engine.interrupt(hooks.started());
        }
    }

    void answer(String nonce, String data, boolean isEnd) {
        synchronized (this) {
            if (cell == null || !cell.nonce.equals(nonce)) return;
        }
        // Without the lock: who reads holds the input's and waits for this one.
        input.answer(data, isEnd);
    }

    // Called by the program, in any thread.

    /** Asks for what `System.in` reads; false if nobody answers. */
    synchronized boolean askForInput() {
        if (cell == null || !cell.hasInput) return false;
        channel.send("{\"type\":\"input\",\"nonce\":" + Json.quote(cell.nonce) + ",\"prompt\":\"\"}");
        return true;
    }

    /** Shows a value now; between two cells there is nobody to show more than text to. */
    void display(Values.Shown shown) {
        synchronized (this) {
            if (cell != null) {
                channel.send(shown.json(cell.nonce, false, cell.maxFrame));
                return;
            }
        }
        System.out.println(shown.text());
    }

    // Called by the main thread.

    /** Does what makes a first cell slow. The compiler keeps what it has loaded; the program sees nothing of it. */
    void warm() {
        execute(new Cell(Map.of("nonce", "", "count", 0.0, "code", "System.out.print(\"\");", "stdin", false, "ends", false, "maxFrame", 1e6)));
        places.endCell();
    }

    void run(Map<String, Object> message) {
        var cell = new Cell(message);
        // Whatever earlier cells have put there or closed.
        Output.install();
        System.setIn(input);
        engine.beginCell();
        hooks.beginCell();
        synchronized (this) {
            this.cell = cell;
        }
        long start = System.nanoTime();
        Report failure;
        try {
            failure = execute(cell);
        } catch (Throwable error) {
            // Of the compiler: a program that is nested too deep, or no memory left.
            failure = Report.of(error);
        }
        if (cell.ends && !cell.hasRunMain) engine.worker().awaitStarted(() -> cell.isInterrupted);
        if (cell.hasRunMain || cell.ends || cell.isInterrupted) {
            hooks.start();
            if (!hooks.started().isEmpty()) engine.worker().retire();
            hooks.await(() -> cell.isStopped);
        }
        if (cell.isInterrupted) engine.stopAll(); // what it has started
        if (Output.isReplaced() && !cell.isInterrupted) {
            Report flushing = flush();
            if (failure == null) failure = flushing;
        }
        double seconds = (System.nanoTime() - start) / 1e9;
        places.endCell();
        if (failure != null && !cell.isInterrupted) channel.send(failure.json(cell.nonce));
        synchronized (this) {
            this.cell = null;
            channel.send("{\"type\":\"done\",\"nonce\":" + Json.quote(cell.nonce) + ",\"failed\":" + (failure != null) + ",\"seconds\":" + seconds + "}");
        }
        input.endCell();
        leftovers.clear();
    }

    /** What the program has written is in this run's output, whatever it has put around the streams. */
    private Report flush() {
        try {
            engine.worker().run(Output::flushAll);
            return null;
        } catch (InvocationTargetException error) {
            return describe(error.getCause());
        } catch (StoppedException interrupted) {
            return null;
        }
    }

    private Report execute(Cell cell) {
        var cut = new Cut(shell.sourceCodeAnalysis(), cell.file, cell.arguments, cell.code);
        var declared = new ArrayList<Snippet>();
        engine.shown = null;
        // Nothing of a cell runs that does not parse.
        Piece broken = cut.broken();
        if (broken != null) {
            Report failure = evaluate(broken, false, declared, cut.names);
            if (failure != null) return failure;
        }
        for (String place : imports.neededBy(cell.code)) shell.eval("import " + place + ".*;");
        Report failure = evaluateImports(cut, declared);
        Set<Piece> hoisted = failure == null ? declareTogether(cut, declared) : Set.of();
        Report early = failure == null ? early(cut, declared) : failure;
        if (early != null) return early;
        Piece last = null;
        for (Piece piece : cut.pieces) {
            if (cell.isInterrupted || failure != null) break;
            if (piece == broken || piece.kind() == Piece.Kind.IMPORT) continue; // the broken one parsed after all
            last = piece;
            if (hoisted.contains(piece)) continue;
            failure = evaluate(cut.renews(piece) ? renewed(piece) : piece, piece == cut.pieces.get(cut.pieces.size() - 1), declared, cut.names);
        }
        // What follows from a declaration that is not complete is told as that.
        Report incomplete = incomplete(declared, Set.of());
        if (incomplete != null) return incomplete;
        if (failure != null || cell.isInterrupted) return failure;
        if (cut.mainCall != null) return runMain(cut.mainCall, cell);
        if (last != null) show(cell, last);
        return null;
    }

    private Report evaluateImports(Cut cut, List<Snippet> declared) {
        Report failure = null;
        for (Piece piece : cut.pieces) {
            if (failure == null && piece.kind() == Piece.Kind.IMPORT) failure = evaluate(piece, false, declared, cut.names);
        }
        return failure;
    }

    /** Declares the cell's types and methods before anything runs; answers which those are. */
    private Set<Piece> declareTogether(Cut cut, List<Snippet> declared) {
        if (!declarations.isAvailable()) return Set.of();
        List<Piece> pieces = cut.declarations().stream().map(piece -> cut.renews(piece) ? renewed(piece) : piece).toList();
        if (pieces.isEmpty()) return Set.of();
        variables.save();
        var changed = new ArrayList<VarSnippet>();
        List<String> variables = declarations.overload(cut.methods) ? newVariables(cut) : List.of();
        var sources = new ArrayList<>(variables);
        pieces.forEach(piece -> sources.add(piece.source()));
        List<Snippet> snippets = declarations.declare(sources, changed).subList(variables.size(), sources.size());
        restore(changed);
        var hoisted = new HashSet<Piece>(cut.declarations());
        for (int i = 0; i < snippets.size(); i++) {
            Snippet snippet = snippets.get(i);
            places.add(snippet, pieces.get(i));
            // One that uses a variable as this cell declares it may not fit the variable of that name that is there.
            boolean isForLater = shell.status(snippet) == Snippet.Status.REJECTED && pieces.get(i).names(cut.variables);
            if (isForLater) hoisted.remove(cut.declarations().get(i));
            else declared.add(snippet);
        }
        return hoisted;
    }

    /**
     * Of methods of one name JShell loses some when one of them names a variable that is not there yet. So for those the
     * variables of the cell come with them, and get their values in their place.
     */
    private List<String> newVariables(Cut cut) {
        Set<String> there = shell.variables().map(VarSnippet::name).collect(Collectors.toSet());
        return cut.plainVariables.entrySet().stream().filter(variable -> !there.contains(variable.getKey())).map(Map.Entry::getValue).toList();
    }

    private void restore(List<VarSnippet> changed) {
        Set<String> lost = variables.restore(changed);
        if (lost.isEmpty()) return;
        System.err.println("note: the value of " + String.join(", ", lost) + " is gone: its type was declared anew");
    }

    /** What is wrong with declarations whatever the rest of the cell does: nothing of it runs then. */
    private Report early(Cut cut, List<Snippet> declared) {
        for (Snippet snippet : declared) {
            if (shell.status(snippet) == Snippet.Status.REJECTED) return problems.of(snippet, places.of(snippet), cut.variables);
        }
        if (!declarations.isAvailable()) return null;
        var expected = new HashSet<String>(cut.variables);
        for (Snippet snippet : declared) {
            boolean isPending = snippet instanceof TypeDeclSnippet && shell.status(snippet) != Snippet.Status.VALID;
            if (isPending) expected.add(((TypeDeclSnippet) snippet).name());
        }
        return incomplete(declared, expected);
    }

    /** JShell leaves a class that is declared again as it is, with its static fields; a program starts with fresh ones. */
    private Piece renewed(Piece piece) {
        return shell.snippets().anyMatch(other -> other.source().equals(piece.source()) && shell.status(other).isActive()) ? piece.moved() : piece;
    }

    /** Of declarations that name what is not there, and is not expected to come. */
    private Report incomplete(List<Snippet> declared, Set<String> expected) {
        for (Snippet snippet : declared) {
            Report report = problems.ofIncomplete(snippet, places.of(snippet), expected);
            if (report != null) return report;
        }
        return null;
    }

    /** Evaluates a piece; answers what is wrong with it. */
    private Report evaluate(Piece piece, boolean isLast, List<Snippet> declared, Set<String> names) {
        places.begin(piece);
        engine.shown = null;
        engine.wantsValue = isLast && (piece.kind() == Piece.Kind.CALL || piece.kind() == Piece.Kind.EXPRESSION);
        Report failure = null;
        var updated = new HashSet<MethodSnippet>();
        var changed = new ArrayList<VarSnippet>();
        if (piece.isDeclaration()) variables.save();
        for (SnippetEvent event : shell.eval(piece.source())) {
            Snippet snippet = event.snippet();
            if (event.causeSnippet() != null) { // an earlier one that depends on this one
                if (snippet instanceof MethodSnippet method && shell.status(method).isActive()) updated.add(method);
                if (snippet instanceof VarSnippet variable && shell.status(variable) != Snippet.Status.OVERWRITTEN) changed.add(variable);
                continue;
            }
            places.add(snippet, piece);
            if (event.status() == Snippet.Status.REJECTED) {
                failure = problems.of(snippet, piece, names);
            } else {
                declared.add(snippet);
                failure = failure(event, failure);
            }
            // Its value would stay for ever.
            if (snippet.subKind() == SubKind.TEMP_VAR_EXPRESSION_SUBKIND && shell.status(snippet).isActive()) shell.drop(snippet);
        }
        restore(changed);
        if (declarations.isAvailable()) declarations.rejoin(updated);
        places.begin(null);
        return failure;
    }

    private Report failure(SnippetEvent event, Report earlier) {
        if (event.exception() == null) return earlier;
        if (event.exception() instanceof UnresolvedReferenceException unresolved) {
            Snippet culprit = unresolved.getSnippet();
            Report report = places.of(culprit) == null ? null : problems.ofIncomplete(culprit, places.of(culprit), Set.of());
            if (report != null) return report;
        }
        return describe(engine.thrown == null ? event.exception() : engine.thrown);
    }

    /** In the program's thread, because it runs the program's own methods: they can be stopped there. */
    private Report describe(Throwable thrown) {
        var made = new AtomicReference<Report>();
        try {
            engine.worker().run(() -> made.set(Report.of(thrown)));
        } catch (InvocationTargetException | StoppedException error) {
            return Report.ofName(thrown);
        }
        return made.get() == null ? Report.ofName(thrown) : made.get();
    }

    private Report runMain(String call, Cell cell) {
        places.begin(null);
        engine.wantsValue = false;
        cell.hasRunMain = true;
        Report failure = null;
        for (SnippetEvent event : shell.eval(call)) failure = failure(event, failure);
        if (failure != null && engine.thrown != null) failure = offered(failure, engine.thrown, cell);
        engine.worker().awaitStarted(() -> cell.isInterrupted);
        return failure;
    }

    /** Gives what {@code main} has thrown to the program's handler, if it has one, as {@code java} does: its thread's, or that of all. */
    private Report offered(Report failure, Throwable thrown, Cell cell) {
        var own = engine.worker().handler();
        var handler = own == null ? Thread.getDefaultUncaughtExceptionHandler() : own;
        boolean isTheirs = handler != null && handler != ownHandler;
        if (!isTheirs || thrown instanceof ThreadDeath || thrown instanceof SPIResolutionException) return failure;
        try {
            engine.worker().run(() -> handler.uncaughtException(Thread.currentThread(), thrown));
        } catch (InvocationTargetException | StoppedException error) {
            return failure;
        }
        // A blank traceback says that the program itself has told of it.
        return cell.ends ? new Report(failure.name(), failure.value(), "\n") : failure;
    }

    /** Sends the value of the last expression. */
    private void show(Cell cell, Piece last) {
        var shown = engine.shown;
        if (shown == null || shown.isNull() && last.kind() == Piece.Kind.CALL) return;
        channel.send(shown.json(cell.nonce, true, cell.maxFrame));
    }
}

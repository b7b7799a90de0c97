package agb.kernel;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import jdk.jshell.JShell;
import jdk.jshell.Snippet;
import jdk.jshell.Snippet.SubKind;
import jdk.jshell.SnippetEvent;
import jdk.jshell.UnresolvedReferenceException;

/** Runs cells, one at a time. */
final class Cells {
    /** A signal that comes sooner is the one that goes with the message. */
    private static final long REMINDER_NS = 200_000_000;

    private final Channel channel;
    private final Engine engine = new Engine();
    private final JShell shell;
    private final Places places;
    private final Problems problems;
    private final Leftovers leftovers;
    private final DefaultImports imports = new DefaultImports();
    private final Input input = new Input(this);

    /** The cell that runs; null between two. */
    private Cell cell;

    private static final class Cell {
        final String nonce;
        final int count;
        final String code;
        final boolean hasInput;
        final int maxFrame;
        volatile boolean isInterrupted;
        long interruptedAt;

        Cell(Map<String, Object> message) {
            nonce = (String) message.get("nonce");
            count = ((Double) message.get("count")).intValue();
            code = (String) message.get("code");
            hasInput = (Boolean) message.get("stdin");
            maxFrame = ((Double) message.get("maxFrame")).intValue();
        }
    }

    Cells(Channel channel) {
        this.channel = channel;
        shell = JShell.builder().executionEngine(engine.provider(), Map.of()).compilerOptions("-g").build();
        places = new Places(shell);
        problems = new Problems(shell);
        leftovers = new Leftovers(shell);
        Traces.use(places);
        Notebook.use(this);
        System.setIn(input);
    }

    // Called by the thread that reads the control channel.

    /** Interrupts the cell of this nonce. */
    void interrupt(String nonce) {
        synchronized (this) {
            if (cell == null || !cell.nonce.equals(nonce)) return;
            cell.isInterrupted = true;
            cell.interruptedAt = System.nanoTime();
        }
        engine.stopAll();
    }

    /** Another SIGINT: a program that has caught the first stop gets a second. */
    void remind() {
        synchronized (this) {
            if (cell == null || !cell.isInterrupted || System.nanoTime() - cell.interruptedAt < REMINDER_NS) return;
        }
        engine.stopAll();
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
        execute(new Cell(Map.of("nonce", "", "count", 0.0, "code", "System.out.print(\"\");", "stdin", false, "maxFrame", 1e6)));
        places.endCell();
    }

    void run(Map<String, Object> message) {
        var cell = new Cell(message);
        engine.worker().beginCell();
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

    private Report execute(Cell cell) {
        var cut = new Cut(shell.sourceCodeAnalysis(), cell.count, cell.code);
        var declared = new ArrayList<Snippet>();
        // Nothing of a cell runs that does not parse.
        Piece broken = cut.broken();
        if (broken != null) {
            Report failure = evaluate(broken, false, declared, cut.names);
            if (failure != null) return failure;
        }
        for (String place : imports.neededBy(cell.code)) shell.eval("import " + place + ".*;");
        Report failure = null;
        Piece last = null;
        for (Piece piece : cut.pieces) {
            if (cell.isInterrupted || failure != null) break;
            if (piece == broken) continue; // it was none
            last = piece;
            boolean isRenewed = cut.mainCall != null && piece.kind() == Piece.Kind.STATEFUL_TYPE;
            failure = evaluate(isRenewed ? renewed(piece) : piece, piece == cut.pieces.get(cut.pieces.size() - 1), declared, cut.names);
        }
        // What follows from a declaration that is not complete is told as that.
        Report incomplete = incomplete(declared);
        if (incomplete != null) return incomplete;
        if (failure != null || cell.isInterrupted) return failure;
        if (cut.mainCall != null) return runMain(cut.mainCall, cell);
        if (last != null) show(cell, last);
        return null;
    }

    /** JShell leaves a class that is declared again as it is, with its static fields; a program starts with fresh ones. */
    private Piece renewed(Piece piece) {
        return shell.snippets().anyMatch(other -> other.source().equals(piece.source()) && shell.status(other).isActive()) ? piece.moved() : piece;
    }

    private Report incomplete(List<Snippet> declared) {
        for (Snippet snippet : declared) {
            Report report = problems.ofIncomplete(snippet, places.of(snippet));
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
        for (SnippetEvent event : shell.eval(piece.source())) {
            Snippet snippet = event.snippet();
            if (event.causeSnippet() != null) continue; // an earlier one that depends on this one
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
        places.begin(null);
        return failure;
    }

    private Report failure(SnippetEvent event, Report earlier) {
        if (event.exception() == null) return earlier;
        if (event.exception() instanceof UnresolvedReferenceException unresolved) {
            Snippet culprit = unresolved.getSnippet();
            Report report = places.of(culprit) == null ? null : problems.ofIncomplete(culprit, places.of(culprit));
            if (report != null) return report;
        }
        return Report.of(engine.thrown == null ? event.exception() : engine.thrown);
    }

    private Report runMain(String call, Cell cell) {
        places.begin(null);
        engine.wantsValue = false;
        Report failure = null;
        for (SnippetEvent event : shell.eval(call)) failure = failure(event, failure);
        // As `java` itself does it.
        for (Thread thread : engine.worker().started()) {
            if (thread.isDaemon()) continue;
            try {
                while (!cell.isInterrupted && thread.isAlive()) thread.join(20);
            } catch (InterruptedException nobodyDoes) {
                return failure;
            }
        }
        return failure;
    }

    /** Sends the value of the last expression. */
    private void show(Cell cell, Piece last) {
        var shown = engine.shown;
        if (shown == null || shown.isNull() && last.kind() == Piece.Kind.CALL) return;
        channel.send(shown.json(cell.nonce, true, cell.maxFrame));
    }
}

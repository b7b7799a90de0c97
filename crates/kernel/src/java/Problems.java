package agb.kernel;

import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import jdk.jshell.DeclarationSnippet;
import jdk.jshell.Diag;
import jdk.jshell.JShell;
import jdk.jshell.Snippet;

/** What is said of a program that does not compile: place, line, the compiler's word, and a hint where one helps. */
final class Problems {
    private static final String NAME = "CompileError";
    /** Problems that are told: the later ones mostly follow from the first. */
    private static final int SHOWN = 10;

    private final JShell shell;
    private final Hints hints;

    Problems(JShell shell) {
        this.shell = shell;
        hints = new Hints(shell);
    }

    /** One problem, at a position in the piece. */
    private record Problem(int position, String message, String hint) {}

    /** Of a snippet that was rejected; that it uses what the cell declares further down is none of its problems. */
    Report of(Snippet snippet, Piece piece, Set<String> names) {
        var errors = shell.diagnostics(snippet).filter(Diag::isError).toList();
        var own = errors.stream().filter(diag -> !isAbout(diag, names)).toList();
        var problems = (own.isEmpty() ? errors : own).stream().map(this::problem).toList();
        return report(problems.isEmpty() ? List.of(new Problem(piece.prefix(), "this is no Java", null)) : problems, piece);
    }

    private Problem problem(Diag diag) {
        String message = clean(diag.getMessage(Locale.ROOT));
        // Of `Sytem.out` the compiler says that there is no such package, and points at the dot.
        boolean isPackage = diag.getCode().equals("compiler.err.doesnt.exist");
        long position = isPackage ? diag.getStartPosition() : diag.getPosition();
        return new Problem(Math.toIntExact(position), message, hints.of(diag.getCode(), message));
    }

    private static boolean isAbout(Diag diag, Set<String> names) {
        if (!diag.getCode().startsWith("compiler.err.cant.resolve")) return false;
        var symbol = Pattern.compile("symbol:\\s+\\w+ (\\w+)").matcher(diag.getMessage(Locale.ROOT));
        return symbol.find() && names.contains(symbol.group(1));
    }

    /** Of a declaration that names what is not there, other than what is expected to come; null if it is complete. */
    Report ofIncomplete(Snippet snippet, Piece piece, Set<String> expected) {
        if (!(snippet instanceof DeclarationSnippet declaration)) return null;
        switch (shell.status(snippet)) {
            case RECOVERABLE_DEFINED, RECOVERABLE_NOT_DEFINED -> {}
            default -> {
                return null;
            }
        }
        var symbols = shell.unresolvedDependencies(declaration).filter(Objects::nonNull).toList();
        var missing = symbols.stream().filter(symbol -> !isExpected(symbol, expected)).toList();
        if (missing.isEmpty() && !symbols.isEmpty()) return null;
        var problems = missing.stream()
            .map(symbol -> {
                String message = "cannot find symbol\n  symbol:   " + Traces.withoutWrapper(symbol);
                return new Problem(find(symbol, piece), message, hints.of("compiler.err.cant.resolve", message));
            })
            .sorted((one, other) -> Integer.compare(one.position, other.position))
            .toList();
        if (problems.isEmpty()) problems = shell.diagnostics(snippet).filter(Diag::isError).map(this::problem).toList();
        if (problems.isEmpty()) return report(List.of(new Problem(piece.prefix(), "this declaration does not compile", null)), piece);
        String kept = "note: " + declaration.name() + " is kept, and works once a cell has declared what it needs\n";
        Report report = report(problems, piece);
        return new Report(report.name(), report.value(), report.traceback() + kept);
    }

    /** Methods are told by their parameters as well, so they are here or they are not. */
    private static boolean isExpected(String symbol, Set<String> expected) {
        String[] words = symbol.split(" ");
        return !words[0].equals("method") && expected.contains(words[words.length - 1].replaceFirst("<.*", ""));
    }

    /** The first place that names a symbol such as {@code method size(int)}: JShell does not tell. */
    private static int find(String symbol, Piece piece) {
        String name = symbol.replaceFirst("^\\w+ ", "").replaceFirst("[(<].*", "");
        String code = piece.source().replaceAll("//[^\n]*", "");
        var match = Pattern.compile("(?<![\\w\"])" + Pattern.quote(name) + "(?!\\w)").matcher(blankTexts(code));
        return match.find() ? match.start() : piece.prefix();
    }

    /** The source without what stands in quotes or comments; positions stay. */
    private static String blankTexts(String code) {
        var texts = Pattern.compile("\"(?:[^\"\\\\\n]|\\\\.)*+\"|/\\*(?s:.)*?\\*/").matcher(code);
        return texts.replaceAll(match -> " ".repeat(match.group().length()));
    }

    private static Report report(List<Problem> problems, Piece piece) {
        Problem first = problems.get(0);
        String headline = first.message.lines().findFirst().orElse("");
        String symbol = first.message.lines().filter(line -> line.startsWith("  symbol:")).findFirst().map(line -> ": " + line.substring(9).strip()).orElse("");
        String value = headline + symbol + " (line " + piece.line(first.position) + ", column " + piece.column(first.position) + ")";
        String trace = problems.stream().limit(SHOWN).map(problem -> text(problem, piece)).collect(Collectors.joining());
        if (problems.size() > SHOWN) trace += "and " + (problems.size() - SHOWN) + " more\n";
        return new Report(NAME, value, trace);
    }

    /** As javac prints it. */
    private static String text(Problem problem, Piece piece) {
        String[] lines = problem.message.split("\n", 2);
        String place = piece.file() + ":" + piece.line(problem.position) + ":" + piece.column(problem.position);
        String source = piece.lineText(problem.position);
        String margin = source.substring(0, Math.min(source.length(), piece.column(problem.position) - 1)).replaceAll("[^\t]", " ");
        String more = lines.length > 1 ? lines[1] + "\n" : "";
        String hint = problem.hint == null ? "" : "hint: " + problem.hint + "\n";
        return place + ": error: " + lines[0] + "\n" + source + "\n" + margin + "^\n" + more + hint;
    }

    /** Without JShell's class around the snippet, and without the line that is about nothing else. */
    private static String clean(String message) {
        return message.lines()
            .map(line -> Traces.withoutWrapper(line).replaceAll(" in class (REPL\\.\\$JShell\\$\\w+)? ?cannot", " cannot"))
            .filter(line -> !line.matches("\\s+location: class\\s*(REPL\\.\\$JShell\\$\\w+)?"))
            .collect(Collectors.joining("\n"));
    }
}

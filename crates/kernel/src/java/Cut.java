package agb.kernel;

import com.sun.source.tree.ClassTree;
import com.sun.source.tree.MethodTree;
import com.sun.source.tree.Tree;
import com.sun.source.tree.VariableTree;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import javax.lang.model.element.Modifier;
import jdk.jshell.SourceCodeAnalysis;
import jdk.jshell.SourceCodeAnalysis.Completeness;

/** A cell, cut into pieces. */
final class Cut {
    private static final String BLANKS = "(?:\\s|//[^\\n]*+(?:\\n|$)|/\\*(?s:.)*?\\*/)*+";
    private static final Pattern PACKAGE = Pattern.compile("\\A" + BLANKS + "(package\\s+[\\w.]+\\s*;)");
    private static final Pattern LEADING = Pattern.compile("\\A" + BLANKS);
    private static final Pattern NON_SEALED = Pattern.compile("(?<![\\w.])non-sealed(?=\\s)");
    /** Statements go to JShell together, up to this many characters: a method has a largest size. */
    private static final int TOGETHER = 16_000;

    final List<Piece> pieces = new ArrayList<>();
    /** What the cell declares. */
    final Set<String> names = new HashSet<>();
    /** Those of them that are variables. */
    final Set<String> variables = new HashSet<>();
    /** Variables without their initial values, by name: those that say their type. */
    final Map<String, String> plainVariables = new LinkedHashMap<>();
    /** The names of its methods, as often as they are declared. */
    final List<String> methods = new ArrayList<>();
    /** The call of the program's {@code main}, if the cell is a whole program. */
    String mainCall;

    private final String file;
    private final String arguments;
    private final String code;
    /** The same with other calls in it, as it is evaluated. */
    private final String evaluated;
    private final List<Piece> declarations = new ArrayList<>();
    private boolean isMainPublic;

    /** {@code file} is what stack traces call it, {@code arguments} what its {@code main} gets, as source. */
    Cut(SourceCodeAnalysis analysis, String file, String arguments, String code) {
        this.file = file;
        this.arguments = arguments;
        // Snippets are in a package already.
        var name = PACKAGE.matcher(code);
        if (name.find()) code = code.substring(0, name.end(1)).replaceAll("[^\r\n]", " ") + code.substring(name.end(1));
        this.code = code;
        evaluated = Stdin.rewrite(code);
        var parts = new ArrayList<Part>();
        // JShell 17 ends a piece in front of the minus; here it is a modifier as long as that one.
        String plain = NON_SEALED.matcher(evaluated).replaceAll("strictfp  ");
        for (String rest = plain; !rest.isEmpty(); ) {
            var found = analysis.analyzeCompletion(rest);
            if (found.completeness() == Completeness.EMPTY) break;
            boolean isWhole = found.completeness().isComplete();
            int start = code.length() - rest.length();
            String source = isWhole ? found.source() : rest;
            if (evaluated != plain) {
                // What may be longer than the text is a semicolon at its end.
                int length = Math.min(source.length(), rest.length());
                source = evaluated.substring(start, start + length) + source.substring(length);
            }
            // Blank lines in front would make an equal declaration another one, and JShell then drops what depends on it.
            var leading = LEADING.matcher(source);
            int skipped = leading.find() ? leading.end() : 0;
            parts.add(new Part(start + skipped, source.substring(skipped), isWhole));
            boolean isMore = isWhole && found.remaining() != null && found.remaining().length() < rest.length();
            rest = isMore ? found.remaining() : "";
        }
        Part.classify(parts);
        // A semicolon behind a type is nothing in a source file, and no statement that would make it a cell.
        if (parts.stream().allMatch(part -> part.isDeclaration() || part.isEmpty())) parts.removeIf(Part::isEmpty);
        parts.forEach(part -> part.permit(parts));
        parts.forEach(part -> names.addAll(part.names()));
        parts.stream().filter(Part::isVariable).forEach(part -> variables.addAll(part.names()));
        for (Part part : parts) {
            if (part.tree instanceof MethodTree method) methods.add(method.getName().toString());
            boolean isPlain = part.tree instanceof VariableTree variable && variable.getType() != null && part.names().size() == 1;
            if (isPlain) plainVariables.put(part.names().get(0), ((VariableTree) part.tree).getType() + " " + part.names().get(0) + ";");
        }
        List<Piece> separate = parts.stream().map(this::piece).toList();
        collectDeclarations(parts, separate);
        join(separate);
        if (parts.stream().allMatch(Part::isDeclaration)) parts.forEach(this::noteMain);
    }

    /** The part that does not parse, if there is one. */
    Piece broken() {
        return pieces.stream().filter(piece -> piece.kind() == Piece.Kind.BROKEN).findFirst().orElse(null);
    }

    /** The types and methods, which go to the compiler together; none if one is declared twice: then the order counts. */
    List<Piece> declarations() {
        return declarations;
    }

    /** Whether it is a type that a program which is run again has afresh. */
    boolean renews(Piece piece) {
        return mainCall != null && piece.kind() == Piece.Kind.STATEFUL_TYPE;
    }

    private void collectDeclarations(List<Part> parts, List<Piece> pieces) {
        var signatures = new HashSet<String>();
        for (int i = 0; i < parts.size(); i++) {
            Part part = parts.get(i);
            if (!part.isDeclaration() || part.kind == Piece.Kind.IMPORT) continue;
            if (!signatures.add(part.signature())) {
                declarations.clear();
                return;
            }
            declarations.add(pieces.get(i));
        }
    }

    private Piece piece(Part part) {
        return new Piece(file, code, part.start, 0, part.gap, part.gapLength, part.source, part.kind);
    }

    /** Puts statements that follow each other into one piece: every piece costs a compilation. */
    private void join(List<Piece> parts) {
        for (int i = 0; i < parts.size(); ) {
            Piece first = parts.get(i);
            int end = i + 1;
            if (isStatement(first, end == parts.size())) {
                while (end < parts.size() && isStatement(parts.get(end), end + 1 == parts.size())
                        && parts.get(end).start() - first.start() < TOGETHER) {
                    end++;
                }
            }
            Piece last = parts.get(end - 1);
            if (end - i > 1) {
                String source = "{" + evaluated.substring(first.start(), last.start()) + last.source() + "\n}";
                pieces.add(new Piece(file, code, first.start(), 1, 0, 0, source, Piece.Kind.STATEMENT));
            } else {
                pieces.add(first);
            }
            i = end;
        }
    }

    private static boolean isStatement(Piece piece, boolean isLast) {
        return piece.kind() == Piece.Kind.STATEMENT || piece.kind() == Piece.Kind.CALL && !isLast;
    }

    private void noteMain(Part part) {
        if (part.tree instanceof MethodTree method) noteMain(method, "", false);
        if (!(part.tree instanceof ClassTree type)) return;
        boolean isPublic = type.getModifiers().getFlags().contains(Modifier.PUBLIC);
        for (Tree member : type.getMembers()) {
            if (member instanceof MethodTree method && method.getModifiers().getFlags().contains(Modifier.STATIC)) {
                noteMain(method, type.getSimpleName() + ".", isPublic);
            }
        }
    }

    private void noteMain(MethodTree method, String owner, boolean isPublic) {
        if (!method.getName().contentEquals("main") || method.getModifiers().getFlags().contains(Modifier.PRIVATE)) return;
        var parameters = method.getParameters();
        boolean takesNone = parameters.isEmpty() && owner.isEmpty();
        boolean takesTexts = parameters.size() == 1 && isTexts(parameters.get(0));
        if (!takesNone && !takesTexts || mainCall != null && (isMainPublic || !isPublic)) return;
        mainCall = owner + (takesNone ? "main();" : "main(new String[] {" + arguments + "});");
        isMainPublic = isPublic;
    }

    private static boolean isTexts(VariableTree parameter) {
        return parameter.getType().toString().matches("(java\\.lang\\.)?String(\\[]|\\.\\.\\.)");
    }
}

package agb.kernel;

import com.sun.source.tree.AssignmentTree;
import com.sun.source.tree.ClassTree;
import com.sun.source.tree.CompoundAssignmentTree;
import com.sun.source.tree.ExpressionStatementTree;
import com.sun.source.tree.MethodTree;
import com.sun.source.tree.Tree;
import com.sun.source.tree.VariableTree;
import com.sun.source.util.JavacTask;
import java.io.IOException;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import javax.lang.model.element.Modifier;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;
import jdk.jshell.SourceCodeAnalysis;
import jdk.jshell.SourceCodeAnalysis.Completeness;

/** A cell, cut into pieces. */
final class Cut {
    private static final String BLANKS = "(?:\\s|//[^\\n]*+(?:\\n|$)|/\\*(?s:.)*?\\*/)*+";
    private static final Pattern PACKAGE = Pattern.compile("\\A" + BLANKS + "(package\\s+[\\w.]+\\s*;)");
    private static final Pattern LEADING = Pattern.compile("\\A" + BLANKS);
    private static final Pattern IMPORT = Pattern.compile("\\Aimport\\b");
    /** Statements go to JShell together, up to this many characters: a method has a largest size. */
    private static final int TOGETHER = 16_000;

    private static final JavaCompiler COMPILER = ToolProvider.getSystemJavaCompiler();

    final List<Piece> pieces = new ArrayList<>();
    /** The call of the program's {@code main}, if the cell is a whole program. */
    String mainCall;

    private final int cell;
    private final String code;
    private boolean isMainPublic;
    private boolean isProgram = true;

    Cut(SourceCodeAnalysis analysis, int cell, String code) {
        this.cell = cell;
        // Snippets are in a package already.
        var name = PACKAGE.matcher(code);
        if (name.find()) code = code.substring(0, name.end(1)).replaceAll("[^\r\n]", " ") + code.substring(name.end(1));
        this.code = code;
        var parts = new ArrayList<Piece>();
        for (String rest = code; !rest.isEmpty(); ) {
            var part = analysis.analyzeCompletion(rest);
            if (part.completeness() == Completeness.EMPTY) break;
            boolean isWhole = part.completeness().isComplete();
            String source = isWhole ? part.source() : rest;
            // Blank lines in front would make an equal declaration another one, and JShell then drops what depends on it.
            var leading = LEADING.matcher(source);
            int skipped = leading.find() ? leading.end() : 0;
            int start = code.length() - rest.length() + skipped;
            parts.add(piece(start, source.substring(skipped), isWhole));
            rest = isWhole && part.remaining() != null && part.remaining().length() < rest.length() ? part.remaining() : "";
        }
        join(parts);
        if (!isProgram) mainCall = null;
    }

    private Piece piece(int start, String source, boolean isWhole) {
        if (!isWhole) return new Piece(cell, code, start, 0, source, Piece.Kind.BROKEN);
        if (IMPORT.matcher(source).find()) {
            // JShell puts imports in front of all else: one with a line break would move every line of what is declared.
            int end = source.indexOf(';') + 1;
            String line = (end == 0 ? source : source.substring(0, end)).replaceAll("[\r\n]", " ");
            return new Piece(cell, code, start, 0, line, Piece.Kind.IMPORT);
        }
        var kind = kind(source);
        if (kind == Piece.Kind.EXPRESSION && kind(source + "\n;") != kind) {
            // A call without its semicolon.
            source += "\n;";
            kind = kind(source);
        }
        switch (kind) {
            case TYPE, STATEFUL_TYPE, METHOD -> {}
            default -> isProgram = false;
        }
        return new Piece(cell, code, start, 0, source, kind);
    }

    /** The part that does not parse, if there is one. */
    Piece broken() {
        return pieces.stream().filter(piece -> piece.kind() == Piece.Kind.BROKEN).findFirst().orElse(null);
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
                String source = "{" + code.substring(first.start(), last.start()) + last.source() + "\n}";
                pieces.add(new Piece(cell, code, first.start(), 1, source, Piece.Kind.STATEMENT));
            } else {
                pieces.add(first);
            }
            i = end;
        }
    }

    private static boolean isStatement(Piece piece, boolean isLast) {
        return piece.kind() == Piece.Kind.STATEMENT || piece.kind() == Piece.Kind.CALL && !isLast;
    }

    private Piece.Kind kind(String source) {
        Tree member = only("class $ {" + source + "\n}", false);
        if (member instanceof ClassTree type) {
            noteMain(type);
            return type.getMembers().stream().anyMatch(Cut::isStaticField) ? Piece.Kind.STATEFUL_TYPE : Piece.Kind.TYPE;
        }
        if (member instanceof MethodTree method) {
            noteMain(method, "", false);
            return Piece.Kind.METHOD;
        }
        if (member instanceof VariableTree) return Piece.Kind.VARIABLE;
        Tree statement = only("class $ { void $() {" + source + "\n} }", true);
        if (statement instanceof VariableTree) return Piece.Kind.VARIABLE;
        if (statement instanceof ExpressionStatementTree expression) {
            Tree tree = expression.getExpression();
            boolean isAssignment = tree instanceof AssignmentTree || tree instanceof CompoundAssignmentTree;
            // What these return is of no interest.
            boolean isPrint = tree.toString().startsWith("System.out.") || tree.toString().startsWith("System.err.");
            return isAssignment || isPrint ? Piece.Kind.STATEMENT : Piece.Kind.CALL;
        }
        if (statement != null) return Piece.Kind.STATEMENT;
        return only("class $ { Object $ = " + source + "\n; }", false) != null ? Piece.Kind.EXPRESSION : Piece.Kind.BROKEN;
    }

    /** The one member of the class, or the one statement of its method; null if it does not parse as such. */
    private static Tree only(String source, boolean inMethod) {
        var text = new SimpleJavaFileObject(URI.create("string:///$.java"), JavaFileObject.Kind.SOURCE) {
            @Override
            public CharSequence getCharContent(boolean ignoreEncodingErrors) {
                return source;
            }
        };
        var problems = new DiagnosticCollector<JavaFileObject>();
        try {
            var task = (JavacTask) COMPILER.getTask(null, null, problems, List.of("-proc:none"), null, List.of(text));
            for (var unit : task.parse()) {
                boolean isBroken = problems.getDiagnostics().stream().anyMatch(problem -> problem.getKind() == javax.tools.Diagnostic.Kind.ERROR);
                if (isBroken || unit.getTypeDecls().size() != 1) return null;
                var members = ((ClassTree) unit.getTypeDecls().get(0)).getMembers();
                if (members.size() < 1) return null;
                if (!inMethod) return members.get(0);
                if (members.size() != 1) return null;
                var statements = ((MethodTree) members.get(0)).getBody().getStatements();
                return statements.isEmpty() ? null : statements.get(0);
            }
        } catch (IOException impossible) {
            throw new AssertionError(impossible);
        }
        return null;
    }

    private static boolean isStaticField(Tree member) {
        return member instanceof VariableTree field && field.getModifiers().getFlags().contains(Modifier.STATIC);
    }

    private void noteMain(ClassTree type) {
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
        boolean takesTexts = parameters.size() == 1 && parameters.get(0).getType().toString().matches("(java\\.lang\\.)?String(\\[]|\\.\\.\\.)");
        if (!takesNone && !takesTexts || mainCall != null && (isMainPublic || !isPublic)) return;
        mainCall = owner + (takesNone ? "main();" : "main(new String[0]);");
        isMainPublic = isPublic;
    }
}

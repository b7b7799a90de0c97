package agb.kernel;

import com.sun.source.tree.AssignmentTree;
import com.sun.source.tree.ClassTree;
import com.sun.source.tree.CompilationUnitTree;
import com.sun.source.tree.CompoundAssignmentTree;
import com.sun.source.tree.ExpressionStatementTree;
import com.sun.source.tree.MethodTree;
import com.sun.source.tree.Tree;
import com.sun.source.tree.VariableTree;
import com.sun.source.util.JavacTask;
import com.sun.source.util.Trees;
import java.io.IOException;
import java.net.URI;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.ToIntFunction;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.lang.model.element.Modifier;
import javax.tools.Diagnostic;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;

/** A declaration, a statement or an expression of a cell, and what kind of these it is. */
final class Part {
    private static final Pattern IMPORT = Pattern.compile("\\Aimport\\b");
    /** What these return is of no interest. */
    private static final Pattern PRINT = Pattern.compile("System\\.(out|err)\\.");

    /** The begin of a constructor without parameters of its own, which only records have. */
    private static final Pattern COMPACT = Pattern.compile("(?:@[\\w.]+(?:\\([^)]*\\))?\\s*)*\\w+\\s*\\{");

    private static final JavaCompiler COMPILER = ToolProvider.getSystemJavaCompiler();
    private static final StandardJavaFileManager FILES = COMPILER.getStandardFileManager(null, null, null);

    /** Where it begins in the cell. */
    final int start;
    String source;
    Piece.Kind kind;
    /** Of a declaration. */
    Tree tree;
    private List<String> variables = List.of();
    /** Where something was put into the source, and how long it is. */
    int gap;
    int gapLength;

    Part(int start, String source, boolean isWhole) {
        this.start = start;
        this.source = source;
        if (!isWhole) {
            kind = Piece.Kind.BROKEN;
        } else if (IMPORT.matcher(source).find()) {
            kind = Piece.Kind.IMPORT;
            // JShell puts imports in front of all else: one with a line break would move every line of what is declared.
            int end = source.indexOf(';') + 1;
            this.source = (end == 0 ? source : source.substring(0, end)).replaceAll("[\r\n]", " ");
        }
    }

    /** Whether it is the empty statement. */
    boolean isEmpty() {
        return source.strip().equals(";");
    }

    boolean isDeclaration() {
        return switch (kind) {
            case IMPORT, TYPE, STATEFUL_TYPE, METHOD -> true;
            default -> false;
        };
    }

    boolean isVariable() {
        return kind == Piece.Kind.VARIABLE;
    }

    /** What tells a type or method from the others of a file. */
    String signature() {
        if (!(tree instanceof MethodTree method)) return String.valueOf(name());
        return method.getName() + method.getParameters().stream().map(one -> one.getType().toString()).toList().toString();
    }

    /** What it declares: one name, or the variables of {@code int a, b;}. */
    List<String> names() {
        if (!variables.isEmpty()) return variables;
        return Stream.ofNullable(name()).toList();
    }

    private String name() {
        if (tree instanceof ClassTree type) return type.getSimpleName().toString();
        if (tree instanceof MethodTree method) return method.getName().toString();
        if (tree instanceof VariableTree variable) return variable.getName().toString();
        return null;
    }

    /**
     * Finds out what they are, by parsing them as one thing and as another; all at once, because a compiler is dear, and
     * parsing is not.
     */
    static void classify(List<Part> parts) {
        var open = parts.stream().filter(part -> part.kind == null).toList();
        if (!open.isEmpty()) parse(open.stream().flatMap(part -> Stream.of(Form.values()).map(form -> new Attempt(part, form))).toList());
        for (Part part : open) {
            if (part.kind == null) part.kind = Piece.Kind.BROKEN;
        }
    }

    /** What a part may be; the first that fits is it. */
    private enum Form {
        /** In a method. */
        STATEMENT("class $ { void $() {", "\n} }"),
        /** Of a class. */
        MEMBER("class $ {", "\n}"),
        /** Without its semicolon. */
        OPEN_STATEMENT("class $ { void $() {", "\n;} }"),
        EXPRESSION("class $ { Object $ = ", "\n; }");

        final String before;
        final String after;

        Form(String before, String after) {
            this.before = before;
            this.after = after;
        }
    }

    /** A part in one form, as a source file. */
    private static final class Attempt extends SimpleJavaFileObject {
        final Part part;
        final Form form;
        final String text;

        Attempt(Part part, Form form) {
            super(URI.create("string:///$.java"), JavaFileObject.Kind.SOURCE);
            this.part = part;
            this.form = form;
            text = form.before + part.source + form.after;
        }

        @Override
        public CharSequence getCharContent(boolean ignoreEncodingErrors) {
            return text;
        }
    }

    private static void parse(List<Attempt> attempts) {
        // The compiler wraps what it is given, so it is told apart by its text: who is equal fails equally.
        Set<String> broken = new HashSet<>();
        var options = List.of("-proc:none", "-Xmaxerrs", "1000000");
        var task = (JavacTask) COMPILER.getTask(null, FILES, problem -> {
            if (problem.getKind() == Diagnostic.Kind.ERROR) broken.add(text(problem.getSource()));
        }, options, null, attempts);
        try {
            int at = 0;
            for (CompilationUnitTree unit : task.parse()) {
                Attempt attempt = attempts.get(at++);
                if (attempt.part.kind != null || broken.contains(attempt.text)) continue;
                attempt.part.take(attempt.form, unit);
                // What knows positions is dear to make, and is needed for few.
                attempt.part.publish(tree -> (int) Trees.instance(task).getSourcePositions().getStartPosition(unit, tree) - attempt.form.before.length());
            }
        } catch (IOException impossible) {
            throw new AssertionError(impossible);
        }
    }

    private static String text(JavaFileObject source) {
        try {
            return source.getCharContent(true).toString();
        } catch (IOException impossible) {
            throw new AssertionError(impossible);
        }
    }

    private void take(Form form, CompilationUnitTree unit) {
        if (unit.getTypeDecls().size() != 1) return;
        var members = ((ClassTree) unit.getTypeDecls().get(0)).getMembers();
        if (members.isEmpty()) return;
        Tree found = members.get(0);
        if (form == Form.STATEMENT || form == Form.OPEN_STATEMENT) {
            if (members.size() != 1) return;
            var statements = ((MethodTree) found).getBody().getStatements();
            if (statements.isEmpty()) return;
            takeStatement(form, statements.get(0));
            variables = variables(statements);
        } else if (form == Form.EXPRESSION) {
            kind = Piece.Kind.EXPRESSION;
        } else {
            takeDeclaration(found);
            variables = variables(members);
        }
    }

    /**
     * JShell makes every type public. A record's canonical constructor has to be as accessible as the record, so one that
     * has no modifier gets this one too.
     */
    private void publish(ToIntFunction<Tree> start) {
        if (!(tree instanceof ClassTree type) || type.getKind() != Tree.Kind.RECORD || gapLength > 0) return;
        var components = type.getMembers().stream().filter(member -> member instanceof VariableTree && !isStaticField(member)).map(Part::type).toList();
        for (Tree member : type.getMembers()) {
            if (!(member instanceof MethodTree method) || !method.getName().contentEquals("<init>")) continue;
            var access = method.getModifiers().getFlags();
            int at = start.applyAsInt(method);
            if (at < 0 || access.contains(Modifier.PUBLIC) || access.contains(Modifier.PROTECTED) || access.contains(Modifier.PRIVATE)) continue;
            boolean isCompact = COMPACT.matcher(source.substring(at)).lookingAt();
            if (!isCompact && !method.getParameters().stream().map(Part::type).toList().equals(components)) continue;
            insert(at, "public ");
            return;
        }
    }

    private static String type(Tree variable) {
        return ((VariableTree) variable).getType().toString();
    }

    private void insert(int at, String text) {
        gap = at;
        gapLength = text.length();
        source = source.substring(0, at) + text + source.substring(at);
    }

    private static List<String> variables(List<? extends Tree> trees) {
        return trees.stream().filter(VariableTree.class::isInstance).map(one -> ((VariableTree) one).getName().toString()).toList();
    }

    private void takeDeclaration(Tree found) {
        tree = found;
        if (found instanceof ClassTree type) {
            kind = type.getMembers().stream().anyMatch(Part::isStaticField) ? Piece.Kind.STATEFUL_TYPE : Piece.Kind.TYPE;
        } else if (found instanceof MethodTree) {
            kind = Piece.Kind.METHOD;
        } else if (found instanceof VariableTree) {
            kind = Piece.Kind.VARIABLE;
        }
    }

    private void takeStatement(Form form, Tree found) {
        if (found instanceof VariableTree || found instanceof ClassTree) {
            takeDeclaration(found);
            return;
        }
        kind = Piece.Kind.STATEMENT;
        if (found instanceof ExpressionStatementTree statement) {
            Tree tree = statement.getExpression();
            boolean isAssignment = tree instanceof AssignmentTree || tree instanceof CompoundAssignmentTree;
            if (!isAssignment && !PRINT.matcher(statement.toString()).lookingAt()) kind = Piece.Kind.CALL;
        }
        if (form == Form.OPEN_STATEMENT) source += "\n;";
    }

    /**
     * Names the subtypes of a sealed type that does not name them itself: for the compiler they would have to be in the
     * same file, and JShell gives every declaration one of its own.
     */
    void permit(List<Part> parts) {
        if (!(tree instanceof ClassTree type) || !type.getModifiers().getFlags().contains(Modifier.SEALED)) return;
        if (!type.getPermitsClause().isEmpty()) return;
        String name = type.getSimpleName().toString();
        var subtypes = new ArrayList<String>();
        for (Part part : parts) {
            if (part != this && part.tree instanceof ClassTree other && extendsType(other, name)) subtypes.add(other.getSimpleName().toString());
        }
        if (subtypes.isEmpty()) return;
        for (Tree member : type.getMembers()) {
            if (member instanceof ClassTree inner && extendsType(inner, name)) subtypes.add(name + "." + inner.getSimpleName());
        }
        var head = Pattern.compile("\\b(class|interface)\\s+" + Pattern.quote(name) + "\\b[^{]*").matcher(source);
        if (!head.find()) return;
        String clause = " permits " + String.join(", ", subtypes) + " ";
        insert(head.end(), clause);
    }

    private static boolean extendsType(ClassTree type, String name) {
        var supertypes = new ArrayList<Tree>(type.getImplementsClause());
        if (type.getExtendsClause() != null) supertypes.add(type.getExtendsClause());
        return supertypes.stream().anyMatch(tree -> tree.toString().replaceFirst("<.*", "").equals(name));
    }

    private static boolean isStaticField(Tree member) {
        return member instanceof VariableTree field && field.getModifiers().getFlags().contains(Modifier.STATIC);
    }
}

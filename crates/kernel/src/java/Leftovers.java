package agb.kernel;

import java.lang.reflect.Field;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import jdk.jshell.DeclarationSnippet;
import jdk.jshell.ImportSnippet;
import jdk.jshell.JShell;
import jdk.jshell.PersistentSnippet;
import jdk.jshell.Snippet;

/**
 * Takes from JShell what it would keep for ever of snippets that nothing can name any more: statements that have run,
 * declarations that others have replaced. It is made for sessions of hours and keeps about 10 KiB of each snippet.
 *
 * <p>There is no interface for that; these are the fields of Java 17 to 25 (the harness's jar opens their packages). A
 * Java that has others keeps what it keeps: sessions take more memory, and nothing else changes.
 */
final class Leftovers {
    /** Cells until the compilers start afresh, which takes some 50 ms: what they gather in so many is 300 KiB. */
    private static final int FRESH_COMPILERS = 100;

    private static final Pattern NUMBER = Pattern.compile("\\AREPL\\.\\$JShell\\$(\\d+)");
    /** No class has these bytes. */
    private static final byte[] GONE = {};

    /** Of the classes that JShell puts around the program's own. */
    private static final String PACKAGE = "REPL.";

    private final JShell shell;
    /** Null where Java has other fields. */
    private Collection<Snippet> snippets;
    /** The same; a snippet's number is its place. */
    private List<Snippet> numbered;
    /** By the names of classes: what is loaded, what the compiler reads, and the source. */
    private Map<String, ?> loaded;
    private Map<String, ?> compiled;
    private Map<String, ?> wrapped;
    private Map<?, ?> compilers;
    /** Of the classes that were loaded: their bytes. */
    private Field loadedBytes;
    private Field currentBytes;
    /** The numbers of declarations. One that is declared again begins to count its classes afresh. */
    private final Set<String> declarations = new HashSet<>();
    private int cells;

    Leftovers(JShell shell) {
        this.shell = shell;
        try {
            Object maps = field(shell, "maps");
            Object tasks = field(shell, "taskFactory");
            numbered = field(maps, "keyIndexToSnippet");
            Object tracker = field(shell, "classTracker");
            loaded = field(tracker, "map");
            Class<?> info = Class.forName("jdk.jshell.ClassTracker$ClassInfo");
            loadedBytes = accessible(info.getDeclaredField("loadedBytes"));
            currentBytes = accessible(info.getDeclaredField("currentBytes"));
            compiled = field(field(tasks, "fileManager"), "classObjects");
            wrapped = field(field(shell, "outerMap"), "classOuters");
            compilers = field(field(tasks, "javacTaskPool"), "options2Contexts");
            snippets = field(maps, "snippets");
        } catch (ReflectiveOperationException | RuntimeException otherJava) {
            // As it is said above.
        }
    }

    @SuppressWarnings("unchecked")
    private static <T> T field(Object of, String name) throws ReflectiveOperationException {
        return (T) accessible(of.getClass().getDeclaredField(name)).get(of);
    }

    private static Field accessible(Field field) {
        field.setAccessible(true);
        return field;
    }

    /** After a cell. */
    void clear() {
        if (snippets == null) return;
        Set<Snippet> dead = new HashSet<>();
        Set<String> needed = new HashSet<>();
        for (Snippet snippet : shell.snippets().toList()) {
            if (snippet instanceof DeclarationSnippet) declarations.add(number(shell.sourceCodeAnalysis().wrapper(snippet).fullClassName()));
            if (!(snippet instanceof PersistentSnippet) || !shell.status(snippet).isActive()) {
                dead.add(snippet);
            } else if (!(snippet instanceof ImportSnippet)) {
                // Several may share one: what a statement such as `int a, b;` declares.
                needed.add(shell.sourceCodeAnalysis().wrapper(snippet).fullClassName());
            }
        }
        snippets.removeAll(dead);
        numbered.replaceAll(snippet -> dead.contains(snippet) ? null : snippet);
        compiled.keySet().removeIf(name -> !isIn(name, needed));
        loaded.entrySet().removeIf(entry -> !isIn(entry.getKey(), needed) && !keepsName(entry.getKey(), entry.getValue()));
        wrapped.keySet().removeIf(name -> !needed.contains(PACKAGE + name));
        if (++cells % FRESH_COMPILERS == 0) compilers.clear();
    }

    /**
     * Whether the name of a class may be wanted again. JShell has to know then that such a class was loaded, though not
     * what was in it.
     */
    private boolean keepsName(String name, Object info) {
        if (!declarations.contains(number(name))) return false;
        try {
            loadedBytes.set(info, GONE);
            currentBytes.set(info, null);
        } catch (IllegalAccessException impossible) {
            throw new AssertionError(impossible);
        }
        return true;
    }

    /** The number of the snippet that a class is of: 12 of {@code REPL.$JShell$12B$Inner}. */
    private static String number(String name) {
        Matcher match = NUMBER.matcher(name);
        return match.find() ? match.group(1) : "";
    }

    /** Whether a class is one of these, or in one. */
    private static boolean isIn(String name, Set<String> classes) {
        for (int end = name.length(); end > 0; end = name.lastIndexOf('$', end - 1)) {
            if (classes.contains(name.substring(0, end))) return true;
        }
        return false;
    }
}

package agb.kernel;

import java.lang.reflect.Field;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
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
    private int cells;

    Leftovers(JShell shell) {
        this.shell = shell;
        try {
            Object maps = field(shell, "maps");
            Object tasks = field(shell, "taskFactory");
            numbered = field(maps, "keyIndexToSnippet");
            loaded = field(field(shell, "classTracker"), "map");
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
        Field field = of.getClass().getDeclaredField(name);
        field.setAccessible(true);
        return (T) field.get(of);
    }

    /** After a cell. */
    void clear() {
        if (snippets == null) return;
        Set<Snippet> dead = new HashSet<>();
        Set<String> needed = new HashSet<>();
        for (Snippet snippet : shell.snippets().toList()) {
            if (!(snippet instanceof PersistentSnippet) || !shell.status(snippet).isActive()) {
                dead.add(snippet);
            } else if (!(snippet instanceof ImportSnippet)) {
                // Several may share one: what a statement such as `int a, b;` declares.
                needed.add(shell.sourceCodeAnalysis().wrapper(snippet).fullClassName());
            }
        }
        snippets.removeAll(dead);
        numbered.replaceAll(snippet -> dead.contains(snippet) ? null : snippet);
        for (var classes : List.of(loaded, compiled)) classes.keySet().removeIf(name -> !isIn(name, needed));
        wrapped.keySet().removeIf(name -> !needed.contains(PACKAGE + name));
        if (++cells % FRESH_COMPILERS == 0) compilers.clear();
    }

    /** Whether a class is one of these, or in one. */
    private static boolean isIn(String name, Set<String> classes) {
        for (int end = name.length(); end > 0; end = name.lastIndexOf('$', end - 1)) {
            if (classes.contains(name.substring(0, end))) return true;
        }
        return false;
    }
}

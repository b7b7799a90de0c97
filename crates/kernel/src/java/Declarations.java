package agb.kernel;

import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import jdk.jshell.JShell;
import jdk.jshell.MethodSnippet;
import jdk.jshell.Snippet;
import jdk.jshell.VarSnippet;

/**
 * Declares types and methods together, as javac takes those of one file: in any order, each of them may need every other.
 *
 * <p>JShell's interface takes one declaration at a time. One that extends what comes later has no supertype then, and a
 * method hides those of its name that other snippets declare. Inside, JShell compiles a set of snippets at once, to bring
 * dependents up to date; this gives it such a set. The methods used are those of Java 17 to 25 (the harness's jar opens
 * their package). With a Java that has others, declarations are evaluated one by one.
 */
final class Declarations {
    private final JShell shell;
    /** Of each declaration: how often its class has changed. */
    private final Map<Integer, Integer> sequences = new HashMap<>();
    /** Null where Java has other methods. */
    private Object eval;
    private Method parse;
    private Method compile;
    private Constructor<?> unit;
    private Method snippetOf;
    private Method prepare;
    private Method wrap;
    private Field sequence;
    private Method key;
    private Method index;
    private Method sequenceNumber;
    private Method setSequenceNumber;
    private Constructor<?> noProblems;
    private Method ownProblems;
    private Object maps;
    private Method install;
    private Method setProblems;
    private Method problems;
    private Method unresolved;

    Declarations(JShell shell) {
        this.shell = shell;
        try {
            Class<?> list = Class.forName("jdk.jshell.DiagList");
            Class<?> units = Class.forName("jdk.jshell.Unit");
            maps = field(shell, "maps");
            install = method(maps.getClass(), "installSnippet", Snippet.class);
            ownProblems = method(Snippet.class, "syntheticDiags");
            setProblems = method(Snippet.class, "setDiagnostics", list);
            problems = method(Snippet.class, "diagnostics");
            unresolved = method(Snippet.class, "unresolved");
            noProblems = accessible(list.getDeclaredConstructor());
            unit = accessible(units.getDeclaredConstructor(JShell.class, Snippet.class, Snippet.class, list));
            snippetOf = method(units, "snippet");
            prepare = method(units, "initialize");
            wrap = method(units, "setWrap", Collection.class, Collection.class);
            sequence = units.getDeclaredField("seq");
            sequence.setAccessible(true);
            key = method(Snippet.class, "key");
            index = method(Class.forName("jdk.jshell.Key"), "index");
            sequenceNumber = method(Snippet.class, "sequenceNumber");
            setSequenceNumber = method(Snippet.class, "setSequenceNumber", int.class);
            Object found = field(shell, "eval");
            parse = method(found.getClass(), "sourceToSnippets", String.class);
            compile = method(found.getClass(), "compileAndLoad", Set.class);
            eval = found;
        } catch (ReflectiveOperationException | RuntimeException otherJava) {
            // As it is said above.
        }
    }

    boolean isAvailable() {
        return eval != null;
    }

    /**
     * Declares these, which are of different names or parameters; the snippets are in the order of the sources. Earlier
     * variables that are compiled anew with them are added to {@code changed}.
     */
    List<Snippet> declare(List<String> sources, Collection<VarSnippet> changed) {
        var snippets = new ArrayList<Snippet>();
        var set = new LinkedHashSet<Object>();
        for (String source : sources) {
            // One source is one declaration.
            Snippet snippet = (Snippet) ((List<?>) call(parse, eval, source)).get(0);
            snippets.add(snippet);
            if (snippet.kind() == Snippet.Kind.ERRONEOUS) {
                call(install, maps, snippet);
            } else {
                Object made = create(unit, shell, snippet, null, call(ownProblems, snippet));
                continueSequence(made, snippet);
                set.add(made);
            }
        }
        for (Snippet snippet : snippets) {
            if (snippet instanceof MethodSnippet method) overloads(method).forEach(other -> addDependent(set, other, method));
        }
        // They import each other, by the names of the classes around them.
        for (Object each : set) call(prepare, each);
        for (Object each : set) call(wrap, each, set, List.of(each));
        // Methods of one name share a class: what imports them needs the name of that one.
        for (Object each : set) call(wrap, each, set, set);
        compile(set, snippets);
        for (Object each : set) {
            if (call(snippetOf, each) instanceof VarSnippet variable && shell.status(variable) != Snippet.Status.OVERWRITTEN) changed.add(variable);
        }
        for (Snippet snippet : snippets) {
            if (snippet.kind() != Snippet.Kind.ERRONEOUS) sequences.merge(number(snippet), (Integer) call(sequenceNumber, snippet), Math::max);
        }
        return snippets;
    }

    /**
     * The classes around a declaration are numbered each time it changes. After one that did not compile JShell would
     * begin at the first again, and try all those that are loaded.
     */
    private void continueSequence(Object made, Snippet snippet) {
        Integer last = sequences.get(number(snippet));
        if (last == null || (Integer) call(sequenceNumber, snippet) >= last) return;
        call(setSequenceNumber, snippet, last);
        try {
            sequence.set(made, last);
        } catch (IllegalAccessException impossible) {
            throw new AssertionError(impossible);
        }
    }

    private Integer number(Snippet snippet) {
        return (Integer) call(index, call(key, snippet));
    }

    /** Compiles methods anew that JShell has compiled without others of their name. */
    void rejoin(Set<MethodSnippet> methods) {
        var set = new LinkedHashSet<Object>();
        for (MethodSnippet method : methods) {
            List<MethodSnippet> others = overloads(method);
            if (others.isEmpty()) continue;
            addDependent(set, method, method);
            others.forEach(other -> addDependent(set, other, method));
        }
        if (!set.isEmpty()) compile(set, List.of());
    }

    /** Whether one of these names is of several methods, with those that are there. */
    boolean overload(List<String> names) {
        return names.stream().distinct().count() < names.size()
            || shell.methods().anyMatch(method -> names.contains(method.name()) && shell.status(method).isActive());
    }

    /** The other active methods of a name. */
    List<MethodSnippet> overloads(MethodSnippet method) {
        return shell.methods()
            .filter(other -> other != method && other.name().equals(method.name()) && shell.status(other).isActive())
            .filter(other -> !other.parameterTypes().equals(method.parameterTypes()))
            .toList();
    }

    private void addDependent(Set<Object> set, Snippet snippet, Snippet cause) {
        set.add(create(unit, shell, snippet, cause, create(noProblems)));
    }

    private void compile(Set<Object> set, List<Snippet> snippets) {
        if (set.isEmpty()) return;
        call(compile, eval, set);
        for (Snippet snippet : snippets) {
            boolean isSilent = !shell.status(snippet).isDefined() && ((List<?>) call(problems, snippet)).isEmpty()
                && ((List<?>) call(unresolved, snippet)).isEmpty();
            if (!isSilent) continue;
            // It did not compile because of another one, which has the reason.
            Object all = create(noProblems);
            for (Snippet other : snippets) addAll(all, (List<?>) call(problems, other));
            call(setProblems, snippet, all);
        }
    }

    @SuppressWarnings("unchecked")
    private static void addAll(Object list, List<?> more) {
        ((List<Object>) list).addAll(more);
    }

    private static Object field(Object of, String name) throws ReflectiveOperationException {
        Field field = of.getClass().getDeclaredField(name);
        field.setAccessible(true);
        return field.get(of);
    }

    private static Method method(Class<?> of, String name, Class<?>... parameters) throws ReflectiveOperationException {
        Method method = of.getDeclaredMethod(name, parameters);
        method.setAccessible(true);
        return method;
    }

    private static Constructor<?> accessible(Constructor<?> constructor) {
        constructor.setAccessible(true);
        return constructor;
    }

    private static Object call(Method method, Object on, Object... arguments) {
        try {
            return method.invoke(on, arguments);
        } catch (InvocationTargetException error) {
            throw unchecked(error.getCause());
        } catch (IllegalAccessException impossible) {
            throw new AssertionError(impossible);
        }
    }

    private static Object create(Constructor<?> constructor, Object... arguments) {
        try {
            return constructor.newInstance(arguments);
        } catch (InvocationTargetException error) {
            throw unchecked(error.getCause());
        } catch (ReflectiveOperationException impossible) {
            throw new AssertionError(impossible);
        }
    }

    /** The compiler's own failure, such as a stack overflow: a cell reports it. */
    private static RuntimeException unchecked(Throwable error) {
        if (error instanceof Error serious) throw serious;
        return error instanceof RuntimeException plain ? plain : new IllegalStateException(error);
    }
}

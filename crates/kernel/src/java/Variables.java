package agb.kernel;

import java.lang.reflect.Field;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import jdk.jshell.JShell;
import jdk.jshell.Snippet;
import jdk.jshell.VarSnippet;

/**
 * Keeps the values of variables while JShell compiles them anew, as it does when something that their declaration names has
 * changed: of {@code var all = List.of(first())} that is the method too. JShell itself leaves them empty.
 */
final class Variables {
    private final JShell shell;
    private final Loader loader;
    private final Map<String, Object> values = new HashMap<>();

    Variables(JShell shell, Loader loader) {
        this.shell = shell;
        this.loader = loader;
    }

    /** Takes down what is in the variables. */
    void save() {
        values.clear();
        shell.variables().filter(this::isValid).forEach(variable -> {
            try {
                values.put(variable.name(), field(variable).get(null));
            } catch (ReflectiveOperationException | LinkageError unknown) {
                // It was never loaded, so there is nothing in it.
            }
        });
    }

    /** Puts back what was in these. Answers the names of those that do not take it: their type is another one now. */
    Set<String> restore(Collection<VarSnippet> changed) {
        var lost = new TreeSet<String>();
        for (VarSnippet variable : changed) {
            if (!values.containsKey(variable.name())) continue;
            Object value = values.get(variable.name());
            try {
                if (isValid(variable)) field(variable).set(null, value);
                else if (value != null) lost.add(variable.name());
            } catch (ReflectiveOperationException | IllegalArgumentException | LinkageError otherType) {
                if (value != null) lost.add(variable.name());
            }
        }
        values.clear();
        return lost;
    }

    private boolean isValid(VarSnippet variable) {
        return shell.status(variable) == Snippet.Status.VALID;
    }

    private Field field(VarSnippet variable) throws ReflectiveOperationException {
        Field field = loader.findClass(shell.sourceCodeAnalysis().wrapper(variable).fullClassName()).getDeclaredField(variable.name());
        field.setAccessible(true);
        return field;
    }
}

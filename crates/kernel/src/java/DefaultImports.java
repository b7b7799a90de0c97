package agb.kernel;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The packages that need no import, as in JShell's own tool. Each is imported when a cell first names one of its
 * classes: all at once would double the time to the first output.
 */
final class DefaultImports {
    private static final List<String> PACKAGES = List.of(
        "java.util", "java.io", "java.math", "java.net", "java.nio.file", "java.util.concurrent", "java.util.function",
        "java.util.prefs", "java.util.regex", "java.util.stream");
    private static final String NOTEBOOK = "static agb.kernel.Notebook";
    /** A call of what is in there. */
    private static final Pattern NOTEBOOK_CALL = Pattern.compile("(?<![.\\w])(?:display|render|html|markdown)\\s*\\(");
    private static final Pattern NAME = Pattern.compile("\\b[A-Z]\\w*");
    private static final Pattern IMPORT = Pattern.compile("\\bimport\\s+([\\w.]+)\\.\\*\\s*;");

    private final Set<String> left = new LinkedHashSet<>(PACKAGES);
    /** What the program has imported so itself. */
    private final Set<String> own = new LinkedHashSet<>();
    private final Set<String> seen = new HashSet<>();
    private final Map<String, Boolean> known = new HashMap<>();
    private boolean hasNotebook;

    /** The packages that this cell needs and that no other has needed. */
    List<String> neededBy(String code) {
        for (Matcher match = IMPORT.matcher(code); match.find(); ) {
            own.add(match.group(1));
            left.remove(match.group(1));
        }
        var needed = new ArrayList<String>();
        for (Matcher match = NAME.matcher(code); match.find(); ) {
            String name = match.group();
            // One package of the program's own that has it is enough; a second would make the name ambiguous.
            if (!seen.add(name) || own.stream().anyMatch(place -> exists(place + "." + name))) continue;
            left.stream().filter(place -> exists(place + "." + name)).toList().forEach(place -> {
                needed.add(place);
                left.remove(place);
            });
        }
        if (!hasNotebook && NOTEBOOK_CALL.matcher(code).find()) {
            hasNotebook = true;
            needed.add(NOTEBOOK);
        }
        return needed;
    }

    private boolean exists(String name) {
        return known.computeIfAbsent(name, DefaultImports::isClass);
    }

    static boolean isClass(String name) {
        try {
            Class.forName(name, false, ClassLoader.getPlatformClassLoader());
            return true;
        } catch (ClassNotFoundException | LinkageError none) {
            return false;
        }
    }
}

package agb.kernel;

import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What is said of exceptions: the program's own names and lines, nothing of JShell or of this harness. */
final class Traces {
    /** Frames of one exception that are shown, from both ends: an endless recursion has a thousand alike. */
    private static final int FRAMES = 40;

    /** Exceptions of a chain of causes that are shown: the first ones, which say what went wrong last. */
    private static final int SHOWN = 50;

    private static final Pattern WRAPPER = Pattern.compile("REPL\\.\\$JShell\\$\\w+([.$])");
    private static final Pattern TRACE_LINE = Pattern.compile("\\tat (?:\\S+/)?(REPL\\.\\$JShell\\$\\w+)((?:\\$[\\w$]+)?)\\.([\\w$<>]+)\\(.*?:(\\d+)\\)");
    private static final Pattern FOREIGN = Pattern.compile("\\tat (?:app//)?(?:agb\\.kernel\\.|jdk\\.jshell/|java\\.base/(?:jdk\\.internal\\.reflect|java\\.lang\\.reflect)\\.).*");

    private static Places places;

    private Traces() {}

    static void use(Places known) {
        places = known;
    }

    /** Without the names of the classes that JShell puts around the program's own. */
    static String withoutWrapper(String text) {
        return text.contains("REPL.$JShell$") ? WRAPPER.matcher(text).replaceAll("") : text;
    }

    /** A line as {@code printStackTrace} prints it; null for one that is none of the program's business. */
    static String clean(String line) {
        if (!line.startsWith("\tat ")) return withoutWrapper(line);
        if (FOREIGN.matcher(line).matches()) return null;
        Matcher match = TRACE_LINE.matcher(line);
        if (!match.matches()) return line;
        return frame(match.group(1), match.group(2), match.group(3), Integer.parseInt(match.group(4)));
    }

    /** What Java prints of an exception that nobody caught: bounded, whatever hangs on it, and whatever its methods do. */
    static String of(Throwable thrown) {
        var text = new StringBuilder();
        append(text, thrown, "", "", Collections.newSetFromMap(new IdentityHashMap<>()));
        return text.toString();
    }

    private static void append(StringBuilder text, Throwable first, String indent, String caption, Set<Throwable> seen) {
        Throwable thrown = first;
        while (thrown != null) {
            text.append(indent).append(caption);
            if (seen.size() >= SHOWN) {
                text.append("...\n");
                return;
            }
            if (!seen.add(thrown)) {
                text.append("[circular: ").append(headline(thrown)).append("]\n");
                return;
            }
            text.append(headline(thrown)).append('\n');
            appendFrames(text, frames(thrown), indent);
            for (Throwable suppressed : attempt(thrown::getSuppressed, new Throwable[0])) append(text, suppressed, indent + "\t", "Suppressed: ", seen);
            thrown = attempt(thrown::getCause, null);
            caption = "Caused by: ";
        }
    }

    private static void appendFrames(StringBuilder text, List<String> frames, String indent) {
        for (int i = 0; i < frames.size(); i++) {
            if (i == FRAMES / 2 && frames.size() > FRAMES) {
                int left = frames.size() - FRAMES;
                text.append(indent).append("\t... ").append(left).append(" more\n");
                i += left;
            }
            text.append(indent).append(frames.get(i)).append('\n');
        }
    }

    /** What a method of the program's own answers, or this if it fails. */
    static <T> T attempt(Supplier<T> method, T otherwise) {
        try {
            T answer = method.get();
            return answer == null ? otherwise : answer;
        } catch (Throwable error) {
            if (error instanceof ThreadDeath stopped) throw stopped;
            return otherwise;
        }
    }

    /** The class and message; a program's own method for it may fail. */
    static String headline(Throwable thrown) {
        return withoutWrapper(attempt(thrown::toString, name(thrown)));
    }

    static String name(Throwable thrown) {
        return withoutWrapper(thrown.getClass().getName());
    }

    private static List<String> frames(Throwable thrown) {
        var lines = new ArrayList<String>();
        for (StackTraceElement frame : attempt(thrown::getStackTrace, new StackTraceElement[0])) {
            String name = frame.getClassName();
            // The program's classes and those of its libraries are in no module.
            if (frame.getModuleName() != null || name.startsWith("agb.kernel.")) continue;
            if (!name.startsWith("REPL.$JShell$")) {
                lines.add("\tat " + frame);
                continue;
            }
            int inner = name.indexOf('$', "REPL.$JShell$".length());
            String wrapper = inner < 0 ? name : name.substring(0, inner);
            String line = frame(wrapper, inner < 0 ? "" : name.substring(inner), frame.getMethodName(), frame.getLineNumber());
            if (line != null) lines.add(line);
        }
        return lines;
    }

    /** One frame; null for one that only calls the program's own. */
    private static String frame(String wrapper, String inner, String method, int line) {
        String place = places == null ? null : places.find(wrapper, line);
        if (inner.isEmpty() && method.equals("do_it$")) return place == null ? null : "\tat " + place;
        String name = inner.isEmpty() ? "" : inner.substring(1) + ".";
        if (method.startsWith("lambda$do_it$")) method = "lambda";
        return "\tat " + name + method + "(" + (place == null ? "an earlier cell" : place) + ")";
    }
}

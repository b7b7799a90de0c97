package agb.kernel;

import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import jdk.jshell.DeclarationSnippet;
import jdk.jshell.JShell;

/** What to do about a problem, for people who see the compiler's word for the first time. */
final class Hints {
    /** Packages in which a class is looked for that is not imported. */
    private static final List<String> PACKAGES = List.of(
        "java.time", "java.time.format", "java.time.temporal", "java.text", "java.util.concurrent.atomic",
        "java.util.concurrent.locks", "java.nio.charset", "java.nio", "java.net.http", "java.lang.reflect", "java.sql",
        "java.security", "java.util.zip", "java.util.logging", "java.awt.image", "javax.crypto", "com.sun.net.httpserver");
    private static final List<String> CLASSES = List.of(
        "String", "System", "Integer", "Double", "Boolean", "Character", "Long", "Object", "Math", "StringBuilder", "List",
        "ArrayList", "Map", "HashMap", "Set", "HashSet", "Scanner", "Arrays", "Collections", "Random", "Optional", "Stream",
        "Collectors", "Thread", "Runnable", "Exception", "RuntimeException", "LinkedList", "TreeMap", "Iterator", "Override");
    private static final List<String> WORDS = List.of("true", "false", "null", "return", "static", "public", "class", "void", "int");
    private static final Pattern SYMBOL = Pattern.compile("symbol:\\s+(class|variable|method) (\\w+)");
    private static final Pattern OWNER = Pattern.compile("location: (?:class|interface|variable \\w+ of type) ([\\w.]+)");

    private final JShell shell;

    Hints(JShell shell) {
        this.shell = shell;
    }

    /** A hint for the compiler's code and message, or null. */
    String of(String code, String message) {
        if (code.startsWith("compiler.err.cant.resolve")) return forSymbol(message);
        if (code.equals("compiler.err.doesnt.exist")) return forPackage(message);
        return switch (code) {
            case "compiler.err.expected" -> message.startsWith("';'") ? "a statement ends with a semicolon" : null;
            case "compiler.err.premature.eof" -> "a bracket or brace that was opened is not closed";
            case "compiler.err.not.stmt" -> "an expression by itself does nothing; assign it, print it or call something with it";
            case "compiler.err.unclosed.str.lit" -> "a text ends with the same quote that it begins with, on the same line";
            case "compiler.err.unclosed.char.lit", "compiler.err.empty.char.lit" -> "single quotes are for one character; a text is in double quotes";
            case "compiler.err.missing.ret.stmt" -> "every way through the method must return a value";
            case "compiler.err.var.might.not.have.been.initialized" -> "give the variable a value where it is declared";
            case "compiler.err.unreported.exception.need.to.catch.or.throw" ->
                "put the call into try { … } catch (Exception e) { … }, or add `throws` to the method";
            case "compiler.err.prob.found.req" -> forTypes(message);
            case "compiler.err.non-static.cant.be.ref" -> "make it static, or create an object with `new` and use that";
            case "compiler.err.already.defined" -> "use another name, or leave the type away to assign to what is there";
            case "compiler.err.does.not.override.abstract" -> "implement the method with exactly that name and those parameters";
            default -> null;
        };
    }

    private static String forTypes(String message) {
        if (message.contains("possible lossy conversion")) {
            var types = Pattern.compile("from (\\w+) to (\\w+)").matcher(message);
            return types.find() ? "to drop what does not fit, write (" + types.group(2) + ") before the value" : null;
        }
        if (message.contains("String cannot be converted to int")) return "Integer.parseInt(text) makes a number of a text";
        if (message.contains("int cannot be converted to String")) return "String.valueOf(number) makes a text of a number";
        if (message.contains("int cannot be converted to boolean")) return "a condition is a comparison; equality is ==";
        return null;
    }

    private String forPackage(String message) {
        var name = Pattern.compile("package (\\w+) does not exist").matcher(message);
        if (!name.find()) return null;
        String nearest = nearest(name.group(1), candidates("variable", message));
        return nearest == null ? null : "did you mean " + nearest + "?";
    }

    private String forSymbol(String message) {
        Matcher symbol = SYMBOL.matcher(message);
        if (!symbol.find()) return null;
        String kind = symbol.group(1);
        String name = symbol.group(2);
        if (!kind.equals("method") && Character.isUpperCase(name.charAt(0))) {
            for (String place : PACKAGES) {
                if (DefaultImports.isClass(place + "." + name)) return "add: import " + place + "." + name + ";";
            }
        }
        boolean isPrint = kind.equals("method") && !message.contains("location:") && List.of("print", "println", "printf").contains(name);
        if (isPrint) return "System.out." + name + "(…) prints";
        String nearest = nearest(name, candidates(kind, message));
        if (nearest != null) return "did you mean " + nearest + "?";
        return kind.equals("class") ? "a class is declared with `class " + name + " { … }`, or imported" : null;
    }

    private Collection<String> candidates(String kind, String message) {
        var names = new ArrayList<String>();
        Matcher owner = OWNER.matcher(message);
        if (kind.equals("method") && owner.find() && DefaultImports.isClass(owner.group(1))) {
            try {
                for (Method method : Class.forName(owner.group(1)).getMethods()) names.add(method.getName());
            } catch (ReflectiveOperationException | LinkageError none) {
                return names;
            }
            return names;
        }
        shell.snippets().filter(snippet -> shell.status(snippet).isActive()).forEach(snippet -> {
            if (snippet instanceof DeclarationSnippet declaration) names.add(declaration.name());
        });
        if (!kind.equals("method")) {
            names.addAll(CLASSES);
            names.addAll(WORDS);
        }
        return names;
    }

    /** The name that is one or two slips of the keyboard away, or differs in case. */
    private static String nearest(String name, Collection<String> candidates) {
        String best = null;
        int least = name.length() < 4 ? 2 : 3;
        for (String candidate : candidates) {
            int distance = candidate.equalsIgnoreCase(name) ? 0 : distance(name, candidate);
            if (distance < least && !candidate.equals(name)) {
                least = distance;
                best = candidate;
            }
        }
        return best;
    }

    /** How many letters are wrong, missing, too many or swapped. */
    private static int distance(String one, String other) {
        int[][] cost = new int[one.length() + 1][other.length() + 1];
        for (int i = 0; i <= one.length(); i++) cost[i][0] = i;
        for (int j = 0; j <= other.length(); j++) cost[0][j] = j;
        for (int i = 1; i <= one.length(); i++) {
            for (int j = 1; j <= other.length(); j++) {
                int change = one.charAt(i - 1) == other.charAt(j - 1) ? 0 : 1;
                cost[i][j] = Math.min(Math.min(cost[i - 1][j], cost[i][j - 1]) + 1, cost[i - 1][j - 1] + change);
                boolean isSwapped = i > 1 && j > 1 && one.charAt(i - 1) == other.charAt(j - 2) && one.charAt(i - 2) == other.charAt(j - 1);
                if (isSwapped) cost[i][j] = Math.min(cost[i][j], cost[i - 2][j - 2] + 1);
            }
        }
        return cost[one.length()][other.length()];
    }
}

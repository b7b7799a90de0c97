package agb.kernel;

import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;
import jdk.jshell.JShell;
import jdk.jshell.PersistentSnippet;
import jdk.jshell.Snippet;
import jdk.jshell.SourceCodeAnalysis.SnippetWrapper;

/** Where the code of snippets stands in the cells that it came from. */
final class Places {
    private final JShell shell;
    private final Map<Snippet, Piece> pieces = new HashMap<>();
    /** What is evaluated now; its snippets are not known yet. */
    private Piece current;

    Places(JShell shell) {
        this.shell = shell;
    }

    /** From here on snippets that are not known are this piece's; nobody's if it is null. */
    synchronized void begin(Piece piece) {
        current = piece;
    }

    synchronized void add(Snippet snippet, Piece piece) {
        pieces.put(snippet, piece);
    }

    /** Forgets what nothing of later cells can call. */
    synchronized void endCell() {
        for (Iterator<Snippet> snippets = pieces.keySet().iterator(); snippets.hasNext(); ) {
            Snippet snippet = snippets.next();
            if (!(snippet instanceof PersistentSnippet) || !shell.status(snippet).isActive()) snippets.remove();
        }
    }

    synchronized Piece of(Snippet snippet) {
        return pieces.get(snippet);
    }

    /** The place of a line of a class that JShell has made, such as {@code cell-3.java:2}; null where it is unknown. */
    synchronized String find(String className, int line) {
        String nearest = null;
        for (Snippet snippet : shell.snippets().toList()) {
            Piece piece = pieces.getOrDefault(snippet, current);
            // An equal text that was sent later has taken the place of an overwritten one.
            if (piece == null || shell.status(snippet) == Snippet.Status.OVERWRITTEN) continue;
            var wrapper = shell.sourceCodeAnalysis().wrapper(snippet);
            if (!wrapper.fullClassName().equals(className)) continue;
            // Methods of one name share a class.
            String place = find(wrapper, line, piece);
            if (place != null) return place;
            if (nearest == null) nearest = piece.place(piece.prefix() + piece.source().length() - piece.source().stripLeading().length());
        }
        return nearest;
    }

    /** The place of a line in a wrapper that is the piece's own; null if it is not. */
    private static String find(SnippetWrapper wrapper, int line, Piece piece) {
        String wrapped = wrapper.wrapped();
        int at = 0;
        for (int n = 1; n < line && at >= 0; n++) at = wrapped.indexOf('\n', at) + 1;
        int end = wrapped.indexOf('\n', at);
        if (end < 0) end = wrapped.length();
        // A line may begin with something that is not the user's.
        for (; at < end; at++) {
            if (Character.isWhitespace(wrapped.charAt(at))) continue;
            int source = wrapper.wrappedToSourcePosition(at);
            boolean isOwn = source >= 0 && source < wrapper.source().length();
            if (isOwn && wrapper.sourceToWrappedPosition(source) == at) return piece.place(source);
        }
        return null;
    }
}

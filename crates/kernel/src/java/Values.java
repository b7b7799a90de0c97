package agb.kernel;

import java.lang.reflect.Array;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/** How values read. */
final class Values {
    /** Elements of arrays that are shown: what fills some screens. */
    private static final int ELEMENTS = 1000;
    /** Arrays in arrays, likewise. */
    private static final int DEPTH = 20;

    /** A value's text, and what else it is by media type. */
    record Shown(boolean isNull, String type, String text, Map<String, String> media) {
        /** The frame that shows it; one that would be too large says what it would have been. */
        String json(String nonce, boolean isMain, int maxFrame) {
            var data = new StringBuilder("\"text/plain\":").append(Json.quote(text));
            media.forEach((type, content) -> data.append(',').append(Json.quote(type)).append(':').append(Json.quote(content)));
            // The rest of the frame is short.
            if (data.toString().getBytes(StandardCharsets.UTF_8).length + 1000 > maxFrame) {
                String size = media.isEmpty() ? text.length() + " characters" : data.length() + " characters (" + String.join(", ", media.keySet()) + ")";
                data.setLength(0);
                data.append("\"text/plain\":").append(Json.quote(type + " of " + size + ": too large to show"));
            }
            return "{\"type\":\"result\",\"nonce\":" + Json.quote(nonce) + ",\"main\":" + isMain + ",\"data\":{" + data + "}}";
        }
    }

    private Values() {}

    static Shown show(Object value) {
        String type = value == null ? "null" : Traces.withoutWrapper(value.getClass().getTypeName());
        return new Shown(value == null, type, text(type, value), Media.of(value));
    }

    /** What cannot be shown is shown as a text that says why. */
    private static String text(String type, Object value) {
        try {
            return Traces.withoutWrapper(new Text().of(value));
        } catch (Throwable error) {
            if (error instanceof ThreadDeath stopped) throw stopped;
            return type + " (cannot be shown: " + Traces.headline(error) + ")";
        }
    }

    /** The text of one value; an array may hold arrays, and itself. */
    private static final class Text {
        private int elements;
        private int depth;

        String of(Object value) {
            if (value instanceof Notebook.Rendered rendered) {
                return rendered.content() instanceof String text ? text : rendered.type();
            }
            if (value instanceof String string) return quote(string, '"');
            if (value instanceof Character character) return quote(character.toString(), '\'');
            if (value != null && value.getClass().isArray()) return array(value);
            return String.valueOf(String.valueOf(value)); // `toString` may be null itself
        }

        /** As JShell has it: {@code int[3] { 1, 2, 3 }}. */
        private String array(Object array) {
            int length = Array.getLength(array);
            String type = Traces.withoutWrapper(array.getClass().getComponentType().getTypeName());
            int bracket = type.indexOf('[');
            var result = new StringBuilder(bracket < 0 ? type : type.substring(0, bracket)).append('[').append(length).append(']');
            if (bracket >= 0) result.append(type, bracket, type.length());
            result.append(" {");
            depth++;
            for (int i = 0; i < length; i++) {
                result.append(i == 0 ? " " : ", ");
                if (++elements > ELEMENTS || depth > DEPTH) {
                    result.append("…");
                    break;
                }
                Object element = Array.get(array, i);
                result.append(element == array ? "(this array)" : of(element));
            }
            depth--;
            return result.append(" }").toString();
        }
    }

    private static String quote(String text, char quote) {
        var result = new StringBuilder().append(quote);
        for (char c : text.toCharArray()) {
            switch (c) {
                case '\n' -> result.append("\\n");
                case '\t' -> result.append("\\t");
                case '\r' -> result.append("\\r");
                case '\b' -> result.append("\\b");
                case '\f' -> result.append("\\f");
                case '\\' -> result.append("\\\\");
                default -> {
                    if (c == quote) result.append('\\');
                    result.append(c);
                }
            }
        }
        return result.append(quote).toString();
    }
}

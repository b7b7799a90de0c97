package agb.kernel;

import java.lang.reflect.Array;

/** How values read. */
final class Values {
    /** Elements of an array that are shown: what fills some screens. */
    private static final int ELEMENTS = 1000;

    /** A value's text. */
    record Shown(boolean isNull, String type, String text) {}

    private Values() {}

    static Shown show(Object value) {
        String type = value == null ? "null" : Traces.withoutWrapper(value.getClass().getTypeName());
        return new Shown(value == null, type, Traces.withoutWrapper(text(value)));
    }

    private static String text(Object value) {
        if (value instanceof String string) return quote(string, '"');
        if (value instanceof Character character) return quote(character.toString(), '\'');
        if (value != null && value.getClass().isArray()) return array(value);
        return String.valueOf(value);
    }

    /** As JShell has it: {@code int[3] { 1, 2, 3 }}. */
    private static String array(Object array) {
        int length = Array.getLength(array);
        String type = Traces.withoutWrapper(array.getClass().getComponentType().getTypeName());
        int bracket = type.indexOf('[');
        var result = new StringBuilder(bracket < 0 ? type : type.substring(0, bracket)).append('[').append(length).append(']');
        if (bracket >= 0) result.append(type, bracket, type.length());
        result.append(" {");
        for (int i = 0; i < length; i++) {
            result.append(i == 0 ? " " : ", ");
            if (i == ELEMENTS) {
                result.append("…");
                break;
            }
            Object element = Array.get(array, i);
            // An array may hold itself.
            result.append(element == array ? "(this array)" : text(element));
        }
        return result.append(" }").toString();
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

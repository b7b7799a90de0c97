package agb.kernel;

import java.util.HashMap;
import java.util.Map;

/** The JSON that goes over the control channel. */
final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** Reads the one kind of object that comes: a flat one, of texts, numbers and booleans, without blanks. */
    static Map<String, Object> parse(String text) {
        var json = new Json(text);
        var fields = new HashMap<String, Object>();
        json.at++; // {
        while (json.text.charAt(json.at) != '}') {
            if (json.text.charAt(json.at) == ',') json.at++;
            String name = json.string();
            json.at++; // :
            fields.put(name, json.value());
        }
        return fields;
    }

    private Object value() {
        if (text.charAt(at) == '"') return string();
        int start = at;
        while (",}".indexOf(text.charAt(at)) < 0) at++;
        String word = text.substring(start, at);
        return switch (word) {
            case "true" -> true;
            case "false" -> false;
            case "null" -> null;
            default -> Double.valueOf(word);
        };
    }

    private String string() {
        var result = new StringBuilder();
        for (at++; text.charAt(at) != '"'; at++) {
            char c = text.charAt(at);
            if (c == '\\') {
                c = text.charAt(++at);
                switch (c) {
                    case 'n' -> c = '\n';
                    case 't' -> c = '\t';
                    case 'r' -> c = '\r';
                    case 'b' -> c = '\b';
                    case 'f' -> c = '\f';
                    case 'u' -> {
                        c = (char) Integer.parseInt(text, at + 1, at + 5, 16);
                        at += 4;
                    }
                    default -> {} // a quote, a slash: itself
                }
            }
            result.append(c);
        }
        at++;
        return result.toString();
    }

    /** A text as Java's source has it. */
    static String literal(String text) {
        var result = new StringBuilder("\"");
        for (char c : text.toCharArray()) result.append(c < ' ' || c == '"' || c == '\\' ? String.format("\\%03o", (int) c) : String.valueOf(c));
        return result.append('"').toString();
    }

    /** A text as JSON. Half a surrogate pair, which UTF-8 cannot hold, becomes a replacement character. */
    static String quote(String text) {
        var result = new StringBuilder(text.length() + 16).append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            switch (c) {
                case '"', '\\' -> result.append('\\').append(c);
                case '\n' -> result.append("\\n");
                case '\t' -> result.append("\\t");
                default -> {
                    if (c < ' ' || c == 0x7f) {
                        result.append(String.format("\\u%04x", (int) c));
                    } else if (!Character.isSurrogate(c)) {
                        result.append(c);
                    } else if (Character.isHighSurrogate(c) && i + 1 < text.length() && Character.isLowSurrogate(text.charAt(i + 1))) {
                        result.append(c).append(text.charAt(++i));
                    } else {
                        result.append('\ufffd');
                    }
                }
            }
        }
        return result.append('"').toString();
    }
}

package agb.kernel;

/**
 * What a cell may call without an import, under the names that Java's notebooks have made usual.
 *
 * <p>It is imported when a cell first names one of these; a method that the program declares itself wins.
 */
public final class Notebook {
    private static Cells cells;

    private Notebook() {}

    static void use(Cells running) {
        cells = running;
    }

    /** A value of which the program says what it is. */
    public record Rendered(Object content, String type) {}

    /** Shows a value at once, as the last one of a cell is shown. */
    public static void display(Object value) {
        cells.display(Values.show(value));
    }

    /** Shows a text as what it is, such as {@code "text/html"}; or bytes, as an {@code "image/png"}. */
    public static void display(Object content, String type) {
        display(render(content, type));
    }

    /** The same, to be the last value of a cell. */
    public static Rendered render(Object content, String type) {
        return new Rendered(content, type);
    }

    public static Rendered html(String text) {
        return render(text, "text/html");
    }

    public static Rendered markdown(String text) {
        return render(text, "text/markdown");
    }
}

package agb.kernel;

import java.io.InputStream;
import java.io.OutputStream;
import java.util.List;
import java.util.Map;

/** Does what first cells do, so that the classes which that takes are known; the archive of classes is made of these. */
final class Training {
    private static final List<String> CELLS = List.of(
        "int x = 1;\nSystem.out.println(x);\nx + 41;",
        "import java.util.stream.*;\nvar list = new ArrayList<>(List.of(3, 1, 2));\nfor (int n : list) System.out.println(n);\n"
            + "list.stream().map(n -> n * 2).collect(Collectors.toList());",
        "public class Main {\n  static int twice(int n) { return n * 2; }\n"
            + "  public static void main(String[] args) { System.out.printf(\"%d%n\", twice(2)); }\n}",
        "int half(int n) { return n / 2; }\nSystem.err.println(half(4));",
        "1 / 0;",
        "Strng s = \"a\"",
        "new java.util.Scanner(System.in).hasNext()");

    private Training() {}

    static void run() {
        var cells = new Cells(new Channel(InputStream.nullInputStream(), OutputStream.nullOutputStream()));
        for (String code : CELLS) {
            cells.run(Map.of("nonce", "", "count", 1.0, "code", code, "stdin", false, "ends", false, "maxFrame", 1e6));
        }
        System.exit(0);
    }
}

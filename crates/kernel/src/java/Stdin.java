package agb.kernel;

import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.CharBuffer;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * {@code new FileInputStream(FileDescriptor.in)} and its like, which programs use where input has to be fast. Nothing is to
 * be read from the descriptor: input comes over the control channel. So where such a call stands in a cell, it is one of
 * the methods here.
 */
public final class Stdin {
    /** A literal or a comment is matched as well, and stays what it is. */
    private static final Pattern CALL = Pattern.compile(
        "(?s)\"\"\".*?(?:(?<!\\\\)\"\"\"|\\z)|\"(?:\\\\.|[^\"\\\\\\n])*+\"|'(?:\\\\.|[^'\\\\\\n])*+'|//[^\\n]*|/\\*.*?(?:\\*/|\\z)"
            + "|(?<![\\w.])new\\s+(?:java\\.io\\.)?File(InputStream|Reader)\\s*\\(\\s*"
            + "(?:(?:java\\.io\\.)?FileDescriptor\\.in|\"/dev/stdin\"|\"/dev/fd/0\"|\"/proc/self/fd/0\")\\s*\\)");

    private static InputStream input;

    private Stdin() {}

    static void use(InputStream running) {
        input = running;
    }

    /** The text with those calls replaced; what follows stays at its line and, if no call is broken, its column. */
    static String rewrite(String code) {
        if (!code.contains("FileDescriptor.in") && !code.contains("/dev/stdin") && !code.contains("/fd/0")) return code;
        return CALL.matcher(code).replaceAll(match -> {
            String found = match.group();
            if (match.group(1) == null) return Matcher.quoteReplacement(found);
            String call = match.group(1).equals("Reader") ? "agb.kernel.Stdin.reader()" : "agb.kernel.Stdin.stream()";
            // All of them are longer.
            int breaks = (int) found.chars().filter(c -> c == '\n').count();
            return call + " ".repeat(found.length() - call.length() - breaks) + "\n".repeat(breaks);
        });
    }

    public static FileInputStream stream() {
        return new Stream();
    }

    public static FileReader reader() {
        return new Reader();
    }

    private static final class Stream extends FileInputStream {
        Stream() {
            super(FileDescriptor.in);
        }

        @Override
        public int read() throws IOException {
            return input.read();
        }

        @Override
        public int read(byte[] target) throws IOException {
            return input.read(target);
        }

        @Override
        public int read(byte[] target, int offset, int length) throws IOException {
            return input.read(target, offset, length);
        }

        @Override
        public byte[] readAllBytes() throws IOException {
            return input.readAllBytes();
        }

        @Override
        public byte[] readNBytes(int length) throws IOException {
            return input.readNBytes(length);
        }

        @Override
        public int readNBytes(byte[] target, int offset, int length) throws IOException {
            return input.readNBytes(target, offset, length);
        }

        @Override
        public long transferTo(OutputStream out) throws IOException {
            return input.transferTo(out);
        }

        @Override
        public long skip(long count) throws IOException {
            return input.skip(count);
        }

        @Override
        public int available() throws IOException {
            return input.available();
        }

        /** The descriptor stays open: it is not only this stream's. */
        @Override
        public void close() {}
    }

    private static final class Reader extends FileReader {
        private final InputStreamReader text = new InputStreamReader(input, StandardCharsets.UTF_8);

        Reader() {
            super(FileDescriptor.in);
        }

        @Override
        public int read() throws IOException {
            return text.read();
        }

        @Override
        public int read(char[] target, int offset, int length) throws IOException {
            return text.read(target, offset, length);
        }

        @Override
        public int read(CharBuffer target) throws IOException {
            return text.read(target);
        }

        @Override
        public boolean ready() throws IOException {
            return text.ready();
        }

        @Override
        public void close() {}
    }
}

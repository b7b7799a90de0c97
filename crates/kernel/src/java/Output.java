package agb.kernel;

import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.locks.LockSupport;

/**
 * Standard output and error: everything is in the pipe when a write returns. Every run has new streams, because a program
 * may have closed those of an earlier one.
 */
final class Output extends OutputStream {
    /** What a pipe takes whole or not at all. */
    private static final int ATOMIC = 4096;

    private final OutputStream pipe;

    private Output(OutputStream pipe) {
        this.pipe = pipe;
    }

    private static PrintStream out;
    private static PrintStream err;

    static void install() {
        Descriptors.restore();
        out = new PrintStream(new Output(Descriptors.out()), true, StandardCharsets.UTF_8);
        err = new ErrorStream(new Output(Descriptors.err()));
        System.setOut(out);
        System.setErr(err);
    }

    /** The compiler, which is needed for what the cell does next, takes it for granted that there is a stream. */
    static void replaceNull() {
        if (System.err == null) System.setErr(err);
    }

    /** Whether the program has put streams of its own there, which may hold something back. */
    static boolean isReplaced() {
        return System.out != out || System.err != err;
    }

    /** Called in the program's thread: a stream of its own runs its code. */
    static void flushAll() {
        if (System.out != null) System.out.flush();
        if (System.err != null) System.err.flush();
    }

    @Override
    public void write(int b) throws IOException {
        write(new byte[] {(byte) b}, 0, 1);
    }

    @Override
    public void write(byte[] data, int offset, int length) throws IOException {
        for (int end = offset + length; offset < end; ) {
            int count = Math.min(ATOMIC, end - offset);
            try {
                pipe.write(data, offset, count);
                offset += count;
            } catch (IOException error) {
                // A child process (node is one that does it) has made the pipe it shares with us non-blocking.
                if (!String.valueOf(error.getMessage()).contains("temporarily unavailable")) throw error;
                LockSupport.parkNanos(1_000_000);
            }
        }
    }

    /** The descriptor stays open: it is not only this stream's. */
    @Override
    public void close() {}

    /** Prints stack traces with the names and lines that the program's author knows. */
    private static final class ErrorStream extends PrintStream {
        ErrorStream(OutputStream out) {
            super(out, true, StandardCharsets.UTF_8);
        }

        @Override
        public void println(Object line) {
            // What `printStackTrace` calls for each line.
            String text = Traces.clean(String.valueOf(line));
            if (text != null) print(text + "\n");
        }

        @Override
        public void println(String line) {
            print(line + "\n");
        }
    }
}

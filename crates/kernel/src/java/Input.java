package agb.kernel;

import java.io.InputStream;
import java.io.InterruptedIOException;
import java.nio.charset.StandardCharsets;

/** {@code System.in}: asks over the control channel when the cell may, else is at its end. */
final class Input extends InputStream {
    private final Cells cells;
    private byte[] buffer = {};
    private int at;
    /** What came for the last question; null while nothing has. */
    private Answer answer;

    private record Answer(String data, boolean isEnd) {}

    Input(Cells cells) {
        this.cells = cells;
    }

    /** What a cell has not read is not for the next one; who still waits has waited in vain. */
    synchronized void endCell() {
        buffer = new byte[0];
        at = 0;
        answer("", true);
    }

    synchronized void answer(String data, boolean isEnd) {
        answer = new Answer(data, isEnd);
        notifyAll();
    }

    @Override
    public synchronized int read() throws InterruptedIOException {
        return fill() ? buffer[at++] & 0xff : -1;
    }

    @Override
    public synchronized int read(byte[] target, int offset, int length) throws InterruptedIOException {
        if (length == 0) return 0;
        if (!fill()) return -1;
        int count = Math.min(length, available());
        System.arraycopy(buffer, at, target, offset, count);
        at += count;
        return count;
    }

    @Override
    public synchronized int available() {
        return buffer.length - at;
    }

    /** Nothing to close: later cells may read. */
    @Override
    public void close() {}

    /** Asks until there is something to read; false at the end. */
    private boolean fill() throws InterruptedIOException {
        while (available() == 0) {
            answer = null;
            if (!cells.askForInput()) return false;
            try {
                while (answer == null) wait();
            } catch (InterruptedException stopped) {
                throw new InterruptedIOException("the run was interrupted");
            }
            String data = answer.data;
            // Who reads a line gets what one answer gave as a line.
            if (!data.isEmpty() && !data.endsWith("\n")) data += "\n";
            buffer = data.getBytes(StandardCharsets.UTF_8);
            at = 0;
            if (answer.isEnd && data.isEmpty()) return false;
        }
        return true;
    }
}

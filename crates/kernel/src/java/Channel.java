package agb.kernel;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/** The control channel: a length of four bytes, big-endian, and JSON. */
final class Channel {
    private final DataInputStream incoming;
    private final OutputStream outgoing;

    Channel(InputStream incoming, OutputStream outgoing) {
        this.incoming = new DataInputStream(incoming);
        this.outgoing = outgoing;
    }

    /** The next message; ends the process when nobody is there any more. */
    Map<String, Object> receive() {
        try {
            while (true) {
                byte[] frame = new byte[incoming.readInt()];
                incoming.readFully(frame);
                // The first frame is empty: other languages get their harness in it.
                if (frame.length > 0) return Json.parse(new String(frame, StandardCharsets.UTF_8));
            }
        } catch (IOException gone) {
            Runtime.getRuntime().halt(0);
            throw new AssertionError();
        }
    }

    /** Sends a message: a single write, so that a thread that is stopped here leaves no half of it. */
    synchronized void send(String json) {
        byte[] body = json.getBytes(StandardCharsets.UTF_8);
        byte[] frame = ByteBuffer.allocate(4 + body.length).putInt(body.length).put(body).array();
        try {
            outgoing.write(frame);
        } catch (IOException gone) {
            Runtime.getRuntime().halt(0);
        }
    }
}

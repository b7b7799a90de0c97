package agb.kernel;

import java.io.FileDescriptor;
import java.io.IOException;
import java.io.OutputStream;
import java.io.FileOutputStream;
import java.io.UncheckedIOException;
import java.lang.reflect.Field;
import java.lang.reflect.Method;

/**
 * Descriptors 1 and 2. A program that closes a stream on one of them ({@code new FileOutputStream(FileDescriptor.out)} is
 * usual where output has to be fast) has it replaced by {@code /dev/null} for good; here it is put back.
 *
 * <p>There is no interface for that. These are the fields and methods of Java 17 to 25 (the harness's jar opens their
 * packages). A Java that has others keeps the descriptor closed, and {@code System.out} works all the same.
 */
final class Descriptors {
    private static final FileOutputStream OUT = open(1);
    private static final FileOutputStream ERR = open(2);

    private Descriptors() {}

    /** Standard output by a descriptor of the harness's own, which nothing of the program's closes. */
    static OutputStream out() {
        return OUT;
    }

    /** Standard error, likewise. */
    static OutputStream err() {
        return ERR;
    }

    /** Puts back what was closed. */
    static void restore() {
        restore(FileDescriptor.out, 1, OUT);
        restore(FileDescriptor.err, 2, ERR);
    }

    private static FileOutputStream open(int number) {
        try {
            return new FileOutputStream("/dev/fd/" + number);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static void restore(FileDescriptor descriptor, int number, FileOutputStream kept) {
        if (descriptor.valid()) return;
        try {
            Field field = FileDescriptor.class.getDeclaredField("fd");
            field.setAccessible(true);
            field.setInt(descriptor, number);
            Class<?> dispatcher = Class.forName("sun.nio.ch.DatagramDispatcher");
            var constructor = dispatcher.getDeclaredConstructor();
            constructor.setAccessible(true);
            Method duplicate = duplicate(dispatcher);
            duplicate.setAccessible(true);
            duplicate.invoke(constructor.newInstance(), kept.getFD(), descriptor);
        } catch (ReflectiveOperationException | IOException | RuntimeException otherJava) {
            // As it is said above.
        }
    }

    private static Method duplicate(Class<?> dispatcher) throws NoSuchMethodException {
        for (Class<?> type = dispatcher; type != null; type = type.getSuperclass()) {
            try {
                return type.getDeclaredMethod("dup", FileDescriptor.class, FileDescriptor.class);
            } catch (NoSuchMethodException ofAnother) {
                // It has moved up in later versions.
            }
        }
        throw new NoSuchMethodException("dup");
    }
}

package agb.kernel;

import java.lang.reflect.Method;
import jdk.jshell.SourceCodeAnalysis;

/** JShell's index of the names in all libraries, which is for completing what somebody types. */
final class Indexing {
    private Indexing() {}

    /**
     * Stops it for good. It is made in the background and competes with the first cell for the processor.
     *
     * <p>There is no interface for that; the method is that of Java 17 to 25 (the harness's jar opens its package). With a
     * Java that has another, the index is made.
     */
    static void stop(SourceCodeAnalysis analysis) {
        try {
            Method suspend = analysis.getClass().getDeclaredMethod("suspendIndexing");
            suspend.setAccessible(true);
            suspend.invoke(analysis); // and never resumed
        } catch (ReflectiveOperationException | RuntimeException otherJava) {
            // As it is said above.
        }
    }
}

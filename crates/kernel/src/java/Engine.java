package agb.kernel;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.List;
import jdk.jshell.execution.LocalExecutionControl;
import jdk.jshell.spi.ExecutionControl;
import jdk.jshell.spi.ExecutionControlProvider;
import jdk.jshell.spi.ExecutionEnv;
import jdk.jshell.spi.SPIResolutionException;

/**
 * Where snippets run: in this process, all in one thread, which the program knows as {@code main}.
 *
 * <p>A snippet is stopped by {@code Thread.stop} where Java has it (up to 19), else by checks that JShell puts into the
 * snippets' loops and methods.
 */
final class Engine extends LocalExecutionControl {
    private static final boolean CAN_STOP_THREADS = Runtime.version().feature() < 20;

    private final Loader loader;
    private final Worker worker = new Worker();
    /** What {@link #relay} runs. */
    private Method relayed;
    private static Engine relaying;

    /** The cell was interrupted, perhaps while its next snippet was compiled: that one does not begin. */
    private volatile boolean isInterrupted;
    /** Whether the value of the next snippet is asked for. */
    boolean wantsValue;
    /** The value, and how it reads. */
    Values.Shown shown;
    /** What the last snippet has thrown. */
    Throwable thrown;

    Engine() {
        this(new Loader());
    }

    private Engine(Loader loader) {
        super(loader);
        this.loader = loader;
    }

    Loader loader() {
        return loader;
    }

    ExecutionControlProvider provider() {
        return new ExecutionControlProvider() {
            @Override
            public String name() {
                return "agb";
            }

            @Override
            public ExecutionControl generate(ExecutionEnv env, java.util.Map<String, String> parameters) {
                return Engine.this;
            }
        };
    }

    @Override
    protected String invoke(Method method) throws Exception {
        shown = null;
        thrown = null;
        try {
            if (CAN_STOP_THREADS) {
                run(method);
            } else {
                // Around this JShell keeps what its checks need.
                relayed = method;
                relaying = this;
                Method relay = Engine.class.getDeclaredMethod("relay");
                relay.setAccessible(true);
                super.invoke(relay);
            }
        } catch (InvocationTargetException error) {
            thrown = error.getCause();
            // JShell asks what it gets for its message and causes: the program's own is not for it.
            throw thrown instanceof SPIResolutionException ? error : new InvocationTargetException(new Throwable());
        } finally {
            Output.replaceNull();
        }
        return "";
    }

    static void relay() throws Throwable {
        try {
            relaying.run(relaying.relayed);
        } catch (InvocationTargetException error) {
            throw error.getCause();
        }
    }

    private void run(Method method) throws InvocationTargetException, StoppedException {
        boolean isAsked = wantsValue;
        worker.run(() -> {
            if (isInterrupted) return; // asked here, where an interrupt that comes later finds the thread at work
            method.setAccessible(true);
            Object value = method.invoke(null);
            // Here, because to show a value is to run the program's own methods.
            if (isAsked) shown = Values.show(value);
        });
    }

    void beginCell() {
        isInterrupted = false;
        worker.beginCell();
    }

    /** Interrupts what runs but some threads, and stops what does not notice. */
    void interrupt(List<Thread> spared) {
        isInterrupted = true;
        List<Thread> threads = worker.running();
        threads.removeAll(spared);
        stop(worker.interrupt(threads));
    }

    /** Stops all that runs. */
    void stopAll() {
        List<Thread> threads = worker.running();
        threads.forEach(Thread::interrupt);
        stop(threads);
    }

    private void stop(List<Thread> threads) {
        if (threads.isEmpty()) return;
        if (CAN_STOP_THREADS) {
            worker.stop(threads);
            return;
        }
        try {
            super.stop();
        } catch (EngineTerminationException | InternalException nothingRuns) {
            // What has ended needs no stop.
        }
    }

    Worker worker() {
        return worker;
    }
}

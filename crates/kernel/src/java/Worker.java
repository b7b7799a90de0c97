package agb.kernel;

import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.function.BooleanSupplier;
import jdk.jshell.spi.ExecutionControl.StoppedException;

/** The thread in which the program runs. One that was stopped is replaced. */
final class Worker {
    /**
     * How long a thread may take to notice that it is interrupted: one that waits does at once, by an
     * {@code InterruptedException}, and a loop that asks whether it is interrupted asks more often than this.
     */
    private static final long NOTICE_MS = 100;
    /** How long a library's class may take to be initialized; most do it within a few. */
    private static final long INITIALIZER_MS = 500;

    private final ThreadGroup group = new ThreadGroup("main");
    private Runner runner;
    /** The threads that were there before the cell. */
    private Set<Thread> earlier = Set.of();

    interface Work {
        void run() throws Throwable;
    }

    /** Runs it, and waits for its end. */
    void run(Work work) throws InvocationTargetException, StoppedException {
        Runner runner;
        synchronized (this) {
            if (this.runner == null || !this.runner.isAlive() || this.runner.isStopped) {
                this.runner = new Runner(group);
                this.runner.start();
            }
            runner = this.runner;
        }
        Throwable thrown = runner.execute(work);
        if (runner.isStopped) throw new StoppedException();
        if (thrown instanceof InvocationTargetException error) throw error;
        if (thrown != null) throw new InvocationTargetException(thrown);
    }

    /** From here on threads count as the cell's. */
    synchronized void beginCell() {
        earlier = Set.copyOf(threads());
        if (runner != null) runner.setUncaughtExceptionHandler(null);
    }

    /** What the cell has given its own thread for exceptions that nobody catches; null if nothing. */
    synchronized Thread.UncaughtExceptionHandler handler() {
        var handler = runner == null ? null : runner.getUncaughtExceptionHandler();
        return handler == group ? null : handler;
    }

    /** What the cell has started and still runs. */
    List<Thread> started() {
        List<Thread> threads = threads();
        threads.removeAll(earlier);
        threads.remove(runner);
        return threads;
    }

    /** Waits for those of them that Java waits for before it ends. */
    void awaitStarted(BooleanSupplier isOver) {
        try {
            List<Thread> waited;
            do {
                waited = started().stream().filter(thread -> !thread.isDaemon()).toList();
                for (Thread thread : waited) {
                    while (thread.isAlive() && !isOver.getAsBoolean()) thread.join(20);
                }
            } while (!waited.isEmpty() && !isOver.getAsBoolean());
        } catch (InterruptedException nobodyDoes) {
            Thread.currentThread().interrupt();
        }
    }

    private List<Thread> threads() {
        Thread[] threads = new Thread[group.activeCount() + 64];
        int count = group.enumerate(threads);
        return new ArrayList<>(Arrays.asList(threads).subList(0, count));
    }

    /** Ends the program's thread, so that who waits for its end goes on. What is run next gets another one. */
    void retire() {
        Runner runner;
        synchronized (this) {
            runner = this.runner;
            this.runner = null;
        }
        if (runner != null) runner.retire();
    }

    /** What runs: the program, and the threads that it has started. */
    List<Thread> running() {
        Runner runner;
        synchronized (this) {
            runner = this.runner;
        }
        List<Thread> threads = started();
        if (runner != null && runner.isBusy()) {
            runner.isStopped = true;
            threads.add(runner);
        }
        return threads;
    }

    /** Interrupts threads, which may clean up then; answers those that do not notice. */
    List<Thread> interrupt(List<Thread> threads) {
        threads.forEach(Thread::interrupt);
        long deadline = System.nanoTime() + NOTICE_MS * 1_000_000;
        for (Thread thread : threads) {
            while (isUnaware(thread) && System.nanoTime() < deadline) sleep();
        }
        return threads.stream().filter(Worker::isUnaware).toList();
    }

    private static boolean isUnaware(Thread thread) {
        return isRunning(thread) && thread.isInterrupted();
    }

    /** Stops threads by force. */
    void stop(List<Thread> threads) {
        for (Thread thread : threads) {
            long end = System.nanoTime() + INITIALIZER_MS * 1_000_000;
            while (isInitializing(thread) && isRunning(thread) && System.nanoTime() < end) sleep();
            try {
                if (isRunning(thread)) Thread.class.getMethod("stop").invoke(thread);
            } catch (ReflectiveOperationException error) {
                throw new IllegalStateException(error);
            }
        }
    }

    private static void sleep() {
        try {
            Thread.sleep(1);
        } catch (InterruptedException nobodyDoes) {
            throw new IllegalStateException(nobodyDoes);
        }
    }

    /** Whether it initializes a class that is not the program's: stopped there, the class would be broken for good. */
    private static boolean isInitializing(Thread thread) {
        for (StackTraceElement frame : thread.getStackTrace()) {
            if (frame.getMethodName().equals("<clinit>") && !frame.getClassName().startsWith("REPL.")) return true;
        }
        return false;
    }

    private static boolean isRunning(Thread thread) {
        return thread instanceof Runner runner ? runner.isBusy() : thread.isAlive();
    }

    private static final class Runner extends Thread {
        private Work work;
        private Throwable thrown;
        volatile boolean isStopped;

        Runner(ThreadGroup group) {
            super(group, "main");
            setDaemon(false); // what it starts would be the same
        }

        synchronized void retire() {
            isStopped = true;
            notifyAll();
        }

        synchronized boolean isBusy() {
            return work != null;
        }

        /** Called by another thread. */
        synchronized Throwable execute(Work next) {
            work = next;
            thrown = null;
            notifyAll();
            boolean wasInterrupted = false;
            while (work != null && isAlive()) {
                try {
                    // A thread that is stopped may die anywhere, without a word.
                    wait(isStopped ? 2 : 100);
                } catch (InterruptedException nobodyDoes) {
                    wasInterrupted = true;
                }
            }
            if (wasInterrupted) Thread.currentThread().interrupt();
            return thrown;
        }

        @Override
        public void run() {
            while (!isStopped) {
                Work next;
                synchronized (this) {
                    while ((next = work) == null) {
                        if (isStopped) return;
                        try {
                            wait();
                        } catch (InterruptedException stopped) {
                            // Of the program's own making, or in vain: the loop looks.
                        }
                    }
                }
                Throwable caught = null;
                try {
                    next.run();
                } catch (Throwable error) {
                    caught = error;
                }
                Thread.interrupted(); // what is left of it is not for the next piece
                synchronized (this) {
                    thrown = caught;
                    work = null;
                    notifyAll();
                }
            }
        }
    }
}

package agb.kernel;

import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import jdk.jshell.spi.ExecutionControl.StoppedException;

/** The thread in which the program runs. One that was stopped is replaced. */
final class Worker {
    /** How long a thread that waits may take to stop by itself, as {@code InterruptedException} asks it to. */
    private static final long GENTLE_MS = 10;
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
    void beginCell() {
        earlier = Set.copyOf(threads());
    }

    /** What the cell has started and still runs. */
    List<Thread> started() {
        List<Thread> threads = threads();
        threads.removeAll(earlier);
        threads.remove(runner);
        return threads;
    }

    private List<Thread> threads() {
        Thread[] threads = new Thread[group.activeCount() + 64];
        int count = group.enumerate(threads);
        return new ArrayList<>(Arrays.asList(threads).subList(0, count));
    }

    void stop(boolean byForce) {
        Runner runner;
        synchronized (this) {
            runner = this.runner;
        }
        List<Thread> threads = started();
        if (runner != null && runner.isBusy()) {
            runner.isStopped = true;
            threads.add(runner);
        }
        threads.forEach(Thread::interrupt);
        if (!byForce) return;
        long deadline = System.nanoTime() + GENTLE_MS * 1_000_000;
        for (Thread thread : threads) {
            boolean isWaiting = thread.getState() != Thread.State.RUNNABLE;
            try {
                while (isWaiting && isRunning(thread) && System.nanoTime() < deadline) Thread.sleep(1);
                long end = System.nanoTime() + INITIALIZER_MS * 1_000_000;
                while (isInitializing(thread) && isRunning(thread) && System.nanoTime() < end) Thread.sleep(1);
                if (isRunning(thread)) Thread.class.getMethod("stop").invoke(thread);
            } catch (InterruptedException | ReflectiveOperationException error) {
                throw new IllegalStateException(error);
            }
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

package agb.kernel;

import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BooleanSupplier;

/**
 * The program's shutdown hooks. A run that is interrupted, or whose {@code main} has ended, is a program that ends, but the
 * virtual machine lives on: so its hooks are run here.
 *
 * <p>No interface lists them. This is the field of Java 17 to 23; from 24 on Java warns of whoever reads a field in this
 * way, and hooks run at {@code System.exit} only.
 */
final class Hooks {
    private static final boolean IS_QUIET = Runtime.version().feature() < 24;

    /** What has registered them; its lock is theirs. Null where it cannot be had. */
    private Class<?> owner;
    private Map<Thread, Thread> registered = Map.of();
    /** Those that were there before the run, and those that it has registered and that were started. */
    private Set<Thread> earlier = Set.of();
    private final List<Thread> started = new ArrayList<>();

    @SuppressWarnings({"unchecked", "deprecation"})
    Hooks() {
        if (!IS_QUIET) return;
        try {
            Field unsafe = sun.misc.Unsafe.class.getDeclaredField("theUnsafe");
            unsafe.setAccessible(true);
            var memory = (sun.misc.Unsafe) unsafe.get(null);
            Class<?> hooks = Class.forName("java.lang.ApplicationShutdownHooks");
            Field field = hooks.getDeclaredField("hooks");
            registered = (Map<Thread, Thread>) memory.getObject(memory.staticFieldBase(field), memory.staticFieldOffset(field));
            owner = hooks;
        } catch (ReflectiveOperationException | RuntimeException otherJava) {
            // As it is said above.
        }
    }

    /** From here on hooks count as the run's. */
    synchronized void beginCell() {
        started.clear();
        earlier = all();
    }

    /** Starts those of the run, all at once, as the virtual machine does. */
    synchronized void start() {
        Set<Thread> hooks = all();
        hooks.removeAll(earlier);
        for (Thread hook : hooks) {
            // Java's own clean up after the virtual machine.
            if (hook.getClass() != Thread.class && hook.getClass().getClassLoader() == null) continue;
            try {
                if (!Runtime.getRuntime().removeShutdownHook(hook)) continue;
                hook.start();
                started.add(hook);
            } catch (IllegalStateException | IllegalThreadStateException ending) {
                // The virtual machine runs them itself, or the program has started this one.
            }
        }
    }

    synchronized List<Thread> started() {
        return List.copyOf(started);
    }

    /** Waits for those that were started. */
    void await(BooleanSupplier isOver) {
        for (Thread hook : started()) {
            try {
                while (hook.isAlive() && !isOver.getAsBoolean()) hook.join(20);
            } catch (InterruptedException nobodyDoes) {
                return;
            }
        }
    }

    private Set<Thread> all() {
        Set<Thread> all = Collections.newSetFromMap(new IdentityHashMap<>());
        if (owner == null) return all;
        synchronized (owner) {
            all.addAll(registered.keySet());
        }
        return all;
    }
}

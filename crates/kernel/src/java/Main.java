package agb.kernel;

import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.util.Map;
import java.util.concurrent.LinkedBlockingQueue;
import sun.misc.Signal;

/**
 * What runs inside a Java kernel: takes cells from descriptor 3, runs them with JShell, answers on descriptor 4.
 *
 * <p>Three threads: this one compiles and waits; {@link Worker}'s runs the program; {@code agb-control} reads the control
 * channel and stops what runs.
 */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws IOException, InterruptedException {
        if (arguments.length > 0) Training.run();
        Output.install();
        Thread.currentThread().setUncaughtExceptionHandler(Main::fail);
        Thread.setDefaultUncaughtExceptionHandler(Main::report);
        var channel = new Channel(new FileInputStream("/dev/fd/3"), new FileOutputStream("/dev/fd/4"));
        var cells = new Cells(channel);
        Signal.handle(new Signal("INT"), signal -> {}); // it goes with a message, which says what it means
        channel.send("{\"type\":\"ready\"}");

        var runs = new LinkedBlockingQueue<Map<String, Object>>();
        var control = new Thread(null, () -> {
            while (true) dispatch(channel.receive(), cells, runs);
        }, "agb-control");
        control.setUncaughtExceptionHandler(Main::fail);
        control.setDaemon(true);
        control.start();
        while (true) {
            var message = runs.take();
            if (message.get("type").equals("run")) {
                cells.run(message);
            } else {
                cells.warm();
                channel.send("{\"type\":\"ready\"}");
            }
        }
    }

    private static void dispatch(Map<String, Object> message, Cells cells, LinkedBlockingQueue<Map<String, Object>> runs) {
        String nonce = (String) message.get("nonce");
        switch ((String) message.get("type")) {
            case "run", "warm" -> runs.add(message);
            case "interrupt" -> cells.interrupt(nonce, (Boolean) message.get("again"));
            case "stdin" -> cells.answer(nonce, (String) message.get("data"), (Boolean) message.get("eof"));
            default -> throw new IllegalArgumentException(message.toString());
        }
    }

    /** A defect of this harness. */
    private static void fail(Thread thread, Throwable thrown) {
        try {
            System.err.print("The interpreter's thread " + thread.getName() + " failed: " + thrown + "\n");
            for (StackTraceElement frame : thrown.getStackTrace()) System.err.print("\tat " + frame + "\n");
        } finally {
            Runtime.getRuntime().halt(70);
        }
    }

    /** What nobody caught in a thread of the program's own. */
    private static void report(Thread thread, Throwable thrown) {
        if (!(thrown instanceof ThreadDeath)) System.err.print("Exception in thread \"" + thread.getName() + "\" " + Traces.of(thrown));
    }
}

package agb.kernel;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import jdk.jshell.execution.LoaderDelegate;
import jdk.jshell.spi.ExecutionControl.ClassBytecodes;
import jdk.jshell.spi.ExecutionControl.ClassInstallException;
import jdk.jshell.spi.ExecutionControl.InternalException;

/**
 * Where the classes of snippets are loaded.
 *
 * <p>Unlike JShell's own it does not keep their bytes, which take as much again as the classes.
 */
final class Loader implements LoaderDelegate {
    private final Snippets snippets = new Snippets();

    private static final class Snippets extends ClassLoader {
        /** Classes that nobody has asked for yet. */
        final Map<String, byte[]> undefined = new ConcurrentHashMap<>();

        Snippets() {
            super("snippets", Loader.class.getClassLoader());
        }

        @Override
        protected Class<?> findClass(String name) throws ClassNotFoundException {
            byte[] code = undefined.remove(name);
            if (code == null) throw new ClassNotFoundException(name);
            return defineClass(name, code, 0, code.length);
        }
    }

    @Override
    public void load(ClassBytecodes[] classes) throws ClassInstallException {
        // They may need each other.
        for (ClassBytecodes code : classes) snippets.undefined.put(code.name(), code.bytecodes());
        var isLoaded = new boolean[classes.length];
        try {
            for (int i = 0; i < classes.length; i++) {
                // What its methods name is looked for now, not in the middle of the program.
                findClass(classes[i].name()).getDeclaredMethods();
                isLoaded[i] = true;
            }
        } catch (ReflectiveOperationException | LinkageError error) {
            throw new ClassInstallException("load: " + error, isLoaded);
        }
    }

    @Override
    public void classesRedefined(ClassBytecodes[] classes) {}

    @Override
    public void addToClasspath(String path) throws InternalException {
        throw new InternalException("nothing is added to the class path");
    }

    @Override
    public Class<?> findClass(String name) throws ClassNotFoundException {
        return snippets.loadClass(name);
    }
}

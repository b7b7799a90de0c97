package agb.kernel;

import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.Base64;
import java.util.Map;

/** What values are besides text, by media type: images as PNG, and what says of itself how it reads as HTML. */
final class Media {
    private static final String IMAGE = "java.awt.image.BufferedImage";

    private Media() {}

    /** What the program's own methods throw on the way comes out as it is. */
    static Map<String, String> of(Object value) {
        try {
            return find(value);
        } catch (Throwable error) {
            throw Media.<RuntimeException>unchecked(error);
        }
    }

    @SuppressWarnings("unchecked")
    private static <T extends Throwable> T unchecked(Throwable error) throws T {
        throw (T) error;
    }

    private static Map<String, String> find(Object value) throws Throwable {
        if (value == null) return Map.of();
        if (value instanceof Notebook.Rendered rendered) return Map.of(rendered.type(), content(rendered.content()));
        if (isImage(value)) return Map.of("image/png", Base64.getEncoder().encodeToString(png(value)));
        String html = html(value);
        return html == null ? Map.of() : Map.of("text/html", html);
    }

    private static String content(Object content) throws Throwable {
        if (content instanceof byte[] bytes) return Base64.getEncoder().encodeToString(bytes);
        if (content != null && isImage(content)) return Base64.getEncoder().encodeToString(png(content));
        return String.valueOf(content);
    }

    private static boolean isImage(Object value) {
        for (Class<?> type = value.getClass(); type != null; type = type.getSuperclass()) {
            if (type.getName().equals(IMAGE)) return true;
        }
        return false;
    }

    /** Of an image. By reflection, because a Java may lack the module. */
    private static byte[] png(Object image) throws Throwable {
        Class<?> writer = Class.forName("javax.imageio.ImageIO");
        Method write = writer.getMethod("write", Class.forName("java.awt.image.RenderedImage"), String.class, OutputStream.class);
        var png = new ByteArrayOutputStream();
        writer.getMethod("setUseCache", boolean.class).invoke(null, false); // a file for what is in memory anyway
        call(write, null, image, "png", png);
        return png.toByteArray();
    }

    private static String html(Object value) throws Throwable {
        for (String name : new String[] {"toHtml", "toHTML"}) {
            try {
                Method method = value.getClass().getMethod(name);
                if (!CharSequence.class.isAssignableFrom(method.getReturnType())) continue;
                if (!method.trySetAccessible()) continue; // of a class that is its module's own business
                return String.valueOf(call(method, value));
            } catch (NoSuchMethodException none) {
                // Most have none.
            }
        }
        return null;
    }

    private static Object call(Method method, Object on, Object... arguments) throws Throwable {
        try {
            return method.invoke(on, arguments);
        } catch (InvocationTargetException error) {
            throw error.getCause();
        }
    }
}

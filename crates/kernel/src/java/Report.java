package agb.kernel;

/** An error as a frame has it. */
record Report(String name, String value, String traceback) {
    /** Of a message or traceback: nobody reads more, and frames stay small. */
    private static final int TEXT_LIMIT = 256 * 1024;

    Report {
        value = cut(value);
        traceback = cut(traceback);
    }

    static Report of(Throwable thrown) {
        String message = Traces.attempt(thrown::getLocalizedMessage, "");
        if (thrown instanceof OutOfMemoryError) {
            message += " (a program may hold about " + (Runtime.getRuntime().maxMemory() >> 20) + " MiB)";
        }
        return new Report(Traces.name(thrown), Traces.withoutWrapper(cut(message)), Traces.of(thrown));
    }

    /** Of an exception whose own methods do not come to an end. */
    static Report ofName(Throwable thrown) {
        String name = Traces.name(thrown);
        return new Report(name, "", name + "\n");
    }

    String json(String nonce) {
        return "{\"type\":\"error\",\"nonce\":" + Json.quote(nonce) + ",\"name\":" + Json.quote(name) + ",\"value\":" + Json.quote(value)
            + ",\"traceback\":" + Json.quote(traceback) + "}";
    }

    private static String cut(String text) {
        return text.length() <= TEXT_LIMIT ? text : text.substring(0, TEXT_LIMIT) + "…";
    }
}

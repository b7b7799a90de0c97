package agb.kernel;

import java.util.Set;
import java.util.regex.Pattern;

/**
 * What JShell gets at once: a part of a cell.
 *
 * @param file what stack traces call the cell
 * @param code the whole cell
 * @param start where the part begins in it
 * @param prefix how many characters of the source are not the cell's
 * @param gap where something else stands in the source that is not the cell's,
 * @param gapLength and how long it is
 * @param source the part as it is evaluated
 * @param kind what it is
 */
record Piece(String file, String code, int start, int prefix, int gap, int gapLength, String source, Kind kind) {
    enum Kind {
        IMPORT,
        TYPE,
        /** A type that has static fields. */
        STATEFUL_TYPE,
        METHOD,
        VARIABLE,
        STATEMENT,
        /** A statement that may have a value. */
        CALL,
        EXPRESSION,
        /** It does not parse. */
        BROKEN,
    }

    /** The same, but not to the letter. */
    Piece moved() {
        return new Piece(file, code, start, prefix + 1, gap + 1, gapLength, "\n" + source, kind);
    }

    /** Whether earlier declarations may be compiled anew for it. */
    boolean isDeclaration() {
        return switch (kind) {
            case IMPORT, TYPE, STATEFUL_TYPE, METHOD, VARIABLE -> true;
            default -> false;
        };
    }

    /** Whether its text has one of these words. */
    boolean names(Set<String> words) {
        return Pattern.compile("\\W+").splitAsStream(source).anyMatch(words::contains);
    }

    /** The position in the cell of one in the source. */
    int inCell(int position) {
        int skipped = prefix + Math.max(0, Math.min(gapLength, position - gap));
        return Math.max(0, Math.min(code.length(), start + Math.max(0, position - skipped)));
    }

    /** The line in the cell, from 1, of a position in the source. */
    int line(int position) {
        return (int) code.substring(0, inCell(position)).chars().filter(c -> c == '\n').count() + 1;
    }

    /** The column, likewise. */
    int column(int position) {
        int at = inCell(position);
        return at - (code.lastIndexOf('\n', at - 1) + 1) + 1;
    }

    /** The text of that line. */
    String lineText(int position) {
        int at = inCell(position);
        int begin = code.lastIndexOf('\n', at - 1) + 1;
        int end = code.indexOf('\n', at);
        return code.substring(begin, end < 0 ? code.length() : end).stripTrailing();
    }

    /** As stack traces have it. */
    String place(int position) {
        return file + ":" + line(position);
    }
}

package org.megabyte4j.cli;

import java.io.PrintWriter;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;

/**
 * Prints bytes as text while they come: a character of several bytes when its last byte is there, U+FFFD for bytes that
 * are no UTF-8.
 */
final class Utf8Printer {
    private static final int LONGEST_CHARACTER = 4;

    private final PrintWriter out;
    private final CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder()
            .onMalformedInput(CodingErrorAction.REPLACE).onUnmappableCharacter(CodingErrorAction.REPLACE);
    private final ByteBuffer pending = ByteBuffer.allocate(LONGEST_CHARACTER);
    private final CharBuffer text = CharBuffer.allocate(2 * LONGEST_CHARACTER);

    Utf8Printer(PrintWriter out) {
        this.out = out;
    }

    void print(byte... bytes) {
        for (byte value : bytes) {
            pending.put(value);
            decode(false);
        }
    }

    /**
     * Shows what was printed so far.
     *
     * @return whether the reader is still there
     */
    boolean flush() {
        return !out.checkError();
    }

    /** Ends the text: what is left of an unfinished character is U+FFFD. */
    void finish() {
        decode(true);
        decoder.flush(text);
        decoder.reset();
        out.flush();
    }

    private void decode(boolean end) {
        pending.flip();
        decoder.decode(pending, text, end);
        pending.compact();
        out.print(text.flip());
        text.clear();
    }
}

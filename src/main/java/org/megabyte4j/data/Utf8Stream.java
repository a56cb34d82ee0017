package org.megabyte4j.data;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;

/**
 * Text from bytes that arrive one by one. A character comes out with its last byte, never in parts; bytes that are no
 * UTF-8 come out as U+FFFD as soon as that is certain. All pieces together equal the lenient decoding of all bytes.
 */
public final class Utf8Stream {
    private static final int LONGEST_CHARACTER = 4;

    private final CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder()
            .onMalformedInput(CodingErrorAction.REPLACE).onUnmappableCharacter(CodingErrorAction.REPLACE);
    private final ByteBuffer pending = ByteBuffer.allocate(LONGEST_CHARACTER);
    private final CharBuffer text = CharBuffer.allocate(LONGEST_CHARACTER);

    /** Takes a byte, and gives the characters that it completes; often none. */
    public String add(byte value) {
        pending.put(value);
        return decode(false);
    }

    /** Ends the text: an unfinished character becomes U+FFFD. The next byte begins a new text. */
    public String end() {
        String last = decode(true);
        decoder.reset();
        return last;
    }

    private String decode(boolean end) {
        decoder.decode(pending.flip(), text.clear(), end);
        pending.compact();
        return text.flip().toString();
    }
}

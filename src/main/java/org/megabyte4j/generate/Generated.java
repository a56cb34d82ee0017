package org.megabyte4j.generate;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * The continuation of one prompt.
 *
 * @param ids    the new ids, without the prompt; the last one is eos if that ended it
 * @param scores one for each new id, or empty if the request did not ask for them
 * @param end    why it is not longer; null while it grows
 */
public record Generated(int[] ids, List<Score> scores, End end) {
    /** Why a continuation ends. */
    public enum End {
        /** The request's number of new ids is reached. */
        LENGTH,
        /** The model chose eos, and the request says to stop there. */
        EOS,
        /** The listener wanted no more of it, or whoever else called {@link Generation#end}. */
        LISTENER,
        /** The whole generation was cancelled. */
        CANCELLED
    }

    /** The bytes among the ids; special ids are left out. */
    public byte[] bytes() {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(ids.length);
        for (int id : ids) {
            if (id < 256) {
                bytes.write(id);
            }
        }
        return bytes.toByteArray();
    }

    /** The bytes as UTF-8; where they are none, U+FFFD. */
    public String text() {
        return new String(bytes(), StandardCharsets.UTF_8);
    }
}

package org.megabyte4j.data;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;

/**
 * The vocabulary of a byte model: ids 0 to 255 are the bytes themselves, those above are special.
 *
 * @param vocabularySize V, ids there are
 * @param padId          the id that fills, and that no loss is taken on
 * @param eosId          the id between documents
 */
public record ByteTokenizer(int vocabularySize, int padId, int eosId) {
    /** Ids that are bytes. */
    public static final int BYTES = 256;

    /** The reference's vocabulary: 512 ids, pad 257, eos 258. */
    public static final ByteTokenizer REFERENCE = new ByteTokenizer(512, 257, 258);

    /** @throws DataException if a special id lies outside the vocabulary */
    public ByteTokenizer {
        check(padId, "pad_id", vocabularySize);
        check(eosId, "eos_id", vocabularySize);
    }

    private static void check(int id, String what, int vocabularySize) {
        if (id < 0 || id >= vocabularySize) {
            throw new DataException(what + " " + id + " is outside the vocabulary of " + vocabularySize
                    + " ids; use 0 to " + (vocabularySize - 1));
        }
    }

    /** @throws DataException if the vocabulary is so small that it lacks one of the bytes */
    public int[] encode(byte... bytes) {
        int[] ids = new int[bytes.length];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = Byte.toUnsignedInt(bytes[i]);
            check(ids[i], "byte", vocabularySize);
        }
        return ids;
    }

    /** The ids of a text's UTF-8 bytes. */
    public int[] encode(String text) {
        return encode(text.getBytes(StandardCharsets.UTF_8));
    }

    /**
     * The bytes among the ids; special ids are skipped.
     *
     * @throws DataException if an id lies outside the vocabulary
     */
    public byte[] bytes(int... ids) {
        var bytes = new ByteArrayOutputStream(ids.length);
        for (int id : ids) {
            check(id, "id", vocabularySize);
            if (id < BYTES) {
                bytes.write(id);
            }
        }
        return bytes.toByteArray();
    }

    /**
     * The text of the ids. Bytes that are no UTF-8 become U+FFFD, special ids are skipped.
     *
     * @throws DataException if an id lies outside the vocabulary
     */
    public String decode(int... ids) {
        return new String(bytes(ids), StandardCharsets.UTF_8);
    }

    /**
     * The text of the ids with special ids shown in their place, as {@link #nameOf} names them.
     *
     * @throws DataException if an id lies outside the vocabulary
     */
    public String decodeWithSpecial(int... ids) {
        var text = new StringBuilder(ids.length);
        var stream = new Utf8Stream();
        for (int id : ids) {
            check(id, "id", vocabularySize);
            text.append(id < BYTES ? stream.add((byte) id) : stream.end() + nameOf(id));
        }
        return text.append(stream.end()).toString();
    }

    /** How a special id is shown: {@code <pad>}, {@code <eos>}, or its number as {@code <300>}. */
    public String nameOf(int specialId) {
        return "<" + (specialId == padId ? "pad" : specialId == eosId ? "eos" : specialId) + ">";
    }
}

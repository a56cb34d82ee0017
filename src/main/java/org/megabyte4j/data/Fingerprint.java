package org.megabyte4j.data;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.stream.IntStream;

/** SHA-256 of content, taken block by block so that all cores share the work. */
final class Fingerprint {
    private static final long BLOCK = 1 << 24;

    private Fingerprint() {
    }

    static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every JDK has SHA-256", e);
        }
    }

    /** SHA-256 over the lengths and the digests of all blocks of all contents. */
    static byte[] of(MemorySegment... contents) {
        MessageDigest all = sha256();
        for (MemorySegment content : contents) {
            all.update(ByteBuffer.allocate(Long.BYTES).putLong(content.byteSize()).flip());
            int blocks = Math.toIntExact(Math.ceilDiv(content.byteSize(), BLOCK));
            byte[][] digests = IntStream.range(0, blocks).parallel()
                    .mapToObj(block -> digest(content, block * BLOCK)).toArray(byte[][]::new);
            for (byte[] digest : digests) {
                all.update(digest);
            }
        }
        return all.digest();
    }

    /** The fingerprint of several things that have one of their own. */
    static String of(String... parts) {
        return hex(sha256().digest(String.join("\n", parts).getBytes(StandardCharsets.UTF_8)));
    }

    static String hex(byte[] digest) {
        return HexFormat.of().formatHex(digest);
    }

    private static byte[] digest(MemorySegment content, long start) {
        MessageDigest digest = sha256();
        digest.update(content.asSlice(start, Math.min(BLOCK, content.byteSize() - start)).asByteBuffer());
        return digest.digest();
    }
}

package org.megabyte4j.checkpoint;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Random;

/** Damages bytes in the ways in which files are damaged, or forged. */
final class Mutator {
    private static final long[] NUMBERS = {0, 1, -1, 2, 8, 127, 128, 255, 256, 32767, 65535, 65536, 1 << 20,
        Integer.MAX_VALUE, Integer.MIN_VALUE, 0xFFFFFFFFL, 1L << 40, 1L << 62, Long.MAX_VALUE, Long.MIN_VALUE};

    private final Random random;

    Mutator(long seed) {
        random = new Random(seed);
    }

    int next(int bound) {
        return random.nextInt(bound);
    }

    /** One to four mutations. */
    byte[] mutate(byte[] original) {
        byte[] bytes = original;
        for (int i = 1 + random.nextInt(4); i > 0; i--) {
            bytes = once(bytes);
        }
        return bytes;
    }

    private byte[] once(byte[] bytes) {
        if (bytes.length == 0) {
            return new byte[] {(byte) random.nextInt()};
        }
        byte[] result = bytes.clone();
        int at = random.nextInt(bytes.length);
        int count = Math.min(1 + random.nextInt(16), bytes.length - at);
        switch (random.nextInt(9)) {
            case 0 -> result[at] ^= (byte) (1 << random.nextInt(8));
            case 1 -> result[at] = (byte) random.nextInt();
            case 2 -> {
                long number = NUMBERS[random.nextInt(NUMBERS.length)];
                for (int i = 0; i < Math.min(random.nextBoolean() ? 4 : 8, bytes.length - at); i++) {
                    result[at + i] = (byte) (number >>> 8 * i);
                }
            }
            case 3 -> result = Arrays.copyOf(bytes, at);
            case 4 -> result = joined(bytes, at, new byte[0], at + count);
            case 5 -> {
                byte[] noise = new byte[count];
                random.nextBytes(noise);
                result = joined(bytes, at, noise, at);
            }
            case 6 -> result = joined(bytes, at, Arrays.copyOfRange(bytes, at, at + count), at);
            case 7 -> {
                int from = random.nextInt(bytes.length - count + 1);
                System.arraycopy(bytes, from, result, at, count);
            }
            default -> result = otherNumber(bytes, at);
        }
        return result;
    }

    private static byte[] joined(byte[] bytes, int head, byte[] middle, int tail) {
        byte[] result = Arrays.copyOf(bytes, head + middle.length + bytes.length - tail);
        System.arraycopy(middle, 0, result, head, middle.length);
        System.arraycopy(bytes, tail, result, head + middle.length, bytes.length - tail);
        return result;
    }

    /** Another number in place of the next one that stands there as text. */
    private byte[] otherNumber(byte[] bytes, int at) {
        int start = at;
        while (start < bytes.length && (bytes[start] < '0' || bytes[start] > '9')) {
            start++;
        }
        int end = start;
        while (end < bytes.length && bytes[end] >= '0' && bytes[end] <= '9') {
            end++;
        }
        String number = Long.toString(NUMBERS[random.nextInt(NUMBERS.length)]);
        return joined(bytes, start, number.getBytes(StandardCharsets.US_ASCII), end);
    }
}

package org.megabyte4j.backend.cpu;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.megabyte4j.tensor.DType;

/** bfloat16: the upper half of a float32, rounded to nearest even; NaN stays NaN. */
final class BFloat16 {
    private static final ValueLayout.OfShort HALF =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private BFloat16() {
    }

    static boolean isHalf(DType dtype) {
        return switch (dtype) {
            case BF16 -> true;
            case F32 -> false;
            default -> throw new IllegalArgumentException("elements of " + dtype + " cannot be computed with");
        };
    }

    static short bits(float value) {
        int bits = Float.floatToRawIntBits(value);
        if (Float.isNaN(value)) {
            return (short) (bits >>> 16 | 0x40);
        }
        return (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }

    static float value(short bits) {
        return Float.intBitsToFloat(bits << 16);
    }

    static float round(float value) {
        return value(bits(value));
    }

    static float get(MemorySegment x, long index) {
        return value(x.getAtIndex(HALF, index));
    }

    static void set(MemorySegment x, long index, float value) {
        x.setAtIndex(HALF, index, bits(value));
    }
}

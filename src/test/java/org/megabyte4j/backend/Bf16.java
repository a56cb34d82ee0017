package org.megabyte4j.backend;

/** bfloat16 as the tests understand it, independent of what is tested. */
public final class Bf16 {
    private static final double LARGEST = 0x1.fep127;

    private Bf16() {
    }

    /** The bits of the nearest bfloat16, ties to even; NaN stays NaN. */
    public static short bits(float value) {
        int bits = Float.floatToRawIntBits(value);
        if (Float.isNaN(value)) {
            return (short) (bits >>> 16 | 0x40);
        }
        int upper = bits >>> 16;
        int lower = bits & 0xffff;
        boolean up = lower > 0x8000 || lower == 0x8000 && (upper & 1) == 1;
        return (short) (up ? upper + 1 : upper);
    }

    public static float value(short bits) {
        return Float.intBitsToFloat(bits << 16);
    }

    public static float round(float value) {
        return value(bits(value));
    }

    /** Rounds a double once: by way of float32 it would be twice. */
    static double round(double value) {
        if (value == 0 || Double.isNaN(value) || Double.isInfinite(value)) {
            return value;
        }
        double unit = Math.scalb(1.0, Math.max(Math.getExponent(value), Float.MIN_EXPONENT) - 7);
        double rounded = Math.rint(value / unit) * unit;
        return Math.abs(rounded) > LARGEST ? Math.copySign(Double.POSITIVE_INFINITY, value) : rounded;
    }
}

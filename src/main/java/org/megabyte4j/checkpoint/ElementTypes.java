package org.megabyte4j.checkpoint;

import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.megabyte4j.tensor.DType;

/** Conversion between element types, as files hold them: little-endian, unaligned. */
final class ElementTypes {
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(LITTLE_ENDIAN);

    private ElementTypes() {
    }

    /**
     * Converts {@code count} elements.
     *
     * @throws ArithmeticException if a floating-point type shall become an integer type, or an integer does not fit
     */
    static void convert(DType fromType, MemorySegment from, DType toType, MemorySegment to, long count) {
        if (fromType == toType) {
            MemorySegment.copy(from, 0, to, 0, count * fromType.bytes());
        } else if (toType.isFloating()) {
            for (long i = 0; i < count; i++) {
                if (fromType.isFloating()) {
                    setDouble(toType, to, i, getDouble(fromType, from, i));
                } else {
                    setDouble(toType, to, i, getLong(fromType, from, i));
                }
            }
        } else if (fromType.isFloating()) {
            throw new ArithmeticException(fromType + " is a floating-point type");
        } else {
            for (long i = 0; i < count; i++) {
                setLong(toType, to, i, getLong(fromType, from, i));
            }
        }
    }

    /** Whether all of {@code count} floating-point elements are finite numbers; integers always are. */
    static boolean allFinite(DType type, MemorySegment data, long count) {
        // Infinity and NaN are the numbers whose exponent bits are all set.
        boolean finite = true;
        switch (type) {
            case F32 -> {
                for (long i = 0; i < count; i++) {
                    finite &= (data.get(INT, 4 * i) & 0x7F800000) != 0x7F800000;
                }
            }
            case F64 -> {
                for (long i = 0; i < count; i++) {
                    finite &= Double.isFinite(data.get(DOUBLE, 8 * i));
                }
            }
            case BF16, F16 -> {
                int exponent = type == DType.BF16 ? 0x7F80 : 0x7C00;
                for (long i = 0; i < count; i++) {
                    finite &= (data.get(SHORT, 2 * i) & exponent) != exponent;
                }
            }
            case I64, I32, I16, I8, U8, BOOL -> { }
        }
        return finite;
    }

    private static double getDouble(DType type, MemorySegment data, long index) {
        return switch (type) {
            case F32 -> data.get(FLOAT, 4 * index);
            case F64 -> data.get(DOUBLE, 8 * index);
            case BF16 -> Float.intBitsToFloat(data.get(SHORT, 2 * index) << 16);
            case F16 -> Float.float16ToFloat(data.get(SHORT, 2 * index));
            case I64, I32, I16, I8, U8, BOOL -> getLong(type, data, index);
        };
    }

    private static void setDouble(DType type, MemorySegment data, long index, double value) {
        switch (type) {
            case F32 -> data.set(FLOAT, 4 * index, (float) value);
            case F64 -> data.set(DOUBLE, 8 * index, value);
            case BF16 -> data.set(SHORT, 2 * index, bfloat16((float) value));
            case F16 -> data.set(SHORT, 2 * index, Float.floatToFloat16((float) value));
            case I64, I32, I16, I8, U8, BOOL -> throw new AssertionError(type);
        }
    }

    /** The nearest bfloat16, ties to even; a NaN stays one. */
    static short bfloat16(float value) {
        int bits = Float.floatToRawIntBits(value);
        if (Float.isNaN(value)) {
            return (short) (bits >>> 16 | 0x40);
        }
        return (short) (bits + 0x7FFF + (bits >>> 16 & 1) >>> 16);
    }

    private static long getLong(DType type, MemorySegment data, long index) {
        return switch (type) {
            case I64 -> data.get(LONG, 8 * index);
            case I32 -> data.get(INT, 4 * index);
            case I16 -> data.get(SHORT, 2 * index);
            case I8 -> data.get(ValueLayout.JAVA_BYTE, index);
            case U8 -> data.get(ValueLayout.JAVA_BYTE, index) & 0xFF;
            case BOOL -> data.get(ValueLayout.JAVA_BYTE, index) == 0 ? 0 : 1;
            case F32, F64, BF16, F16 -> throw new AssertionError(type);
        };
    }

    private static void setLong(DType type, MemorySegment data, long index, long value) {
        int bits = 8 * type.bytes();
        long least = switch (type) {
            case U8, BOOL -> 0;
            default -> Long.MIN_VALUE >> 64 - bits;
        };
        long most = switch (type) {
            case U8 -> 255;
            case BOOL -> 1;
            default -> Long.MAX_VALUE >> 64 - bits;
        };
        if (value < least || value > most) {
            throw new ArithmeticException("the value " + value + " does not fit");
        }
        switch (type) {
            case I64 -> data.set(LONG, 8 * index, value);
            case I32 -> data.set(INT, 4 * index, (int) value);
            case I16 -> data.set(SHORT, 2 * index, (short) value);
            case I8, U8, BOOL -> data.set(ValueLayout.JAVA_BYTE, index, (byte) value);
            case F32, F64, BF16, F16 -> throw new AssertionError(type);
        }
    }
}

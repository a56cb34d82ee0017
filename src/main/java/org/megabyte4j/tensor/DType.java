package org.megabyte4j.tensor;

import java.util.Locale;

/** Element types of tensors and of the tensor files that megabyte4j reads. All are little-endian. */
public enum DType {
    F32(4, true), BF16(2, true), F16(2, true), F64(8, true),
    I64(8, false), I32(4, false), I16(2, false), I8(1, false), U8(1, false), BOOL(1, false);

    private final int bytes;
    private final boolean floating;

    DType(int bytes, boolean floating) {
        this.bytes = bytes;
        this.floating = floating;
    }

    /** Bytes of one element. */
    public int bytes() {
        return bytes;
    }

    public boolean isFloating() {
        return floating;
    }

    /** The name on the command line and in reports: {@code float32}, {@code bf16}. */
    public String label() {
        return this == F32 ? "float32" : name().toLowerCase(Locale.ROOT);
    }
}

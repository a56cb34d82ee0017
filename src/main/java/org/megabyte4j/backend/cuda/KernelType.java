package org.megabyte4j.backend.cuda;

/** What a kernel takes: a pointer, {@code long long}, {@code int}, {@code float} or {@code double}. */
enum KernelType {
    PTR(8), I64(8), I32(4), F32(4), F64(8);

    private final int bytes;

    KernelType(int bytes) {
        this.bytes = bytes;
    }

    int bytes() {
        return bytes;
    }
}

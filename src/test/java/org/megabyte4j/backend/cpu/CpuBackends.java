package org.megabyte4j.backend.cpu;

import java.util.List;
import org.megabyte4j.ffi.OpenBlas;

/** The CPU backends that operations are tested on: every provider, one thread and several. */
final class CpuBackends implements AutoCloseable {
    private final List<CpuBackend> backends = List.of(
            CpuBackend.open(2),
            CpuBackend.open(1, new VectorKernels(), new OpenBlasGemm(OpenBlas.open())),
            CpuBackend.open(3, new VectorKernels(), new OpenBlasGemm(OpenBlas.open())),
            CpuBackend.open(2, new VectorKernels(), new JavaGemm(new VectorKernels())),
            CpuBackend.open(2, new PlainKernels(), new JavaGemm(new PlainKernels())));

    List<CpuBackend> all() {
        return backends;
    }

    @Override
    public void close() {
        backends.forEach(CpuBackend::close);
    }
}

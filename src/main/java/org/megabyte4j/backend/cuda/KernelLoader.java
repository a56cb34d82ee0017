package org.megabyte4j.backend.cuda;

import java.util.HashMap;
import java.util.Map;

/** Finds the kernels of a context: a module for each file in {@code kernels/}, loaded when it is first asked for. */
final class KernelLoader {
    private final CudaContext context;
    private final Map<String, KernelModule> modules = new HashMap<>();

    KernelLoader(CudaContext context) {
        this.context = context;
    }

    /**
     * The module of a file.
     *
     * @param file the name of its {@code .cu} file without the ending
     * @throws CudaUnavailableException if this build has no such PTX, or the driver is too old for it
     */
    KernelModule module(String file) {
        return modules.computeIfAbsent(file, name -> new KernelModule(context, name));
    }

    /** Where launches go. */
    CudaContext context() {
        return context;
    }

    /** How many blocks run at once is a multiple of this; for kernels that choose their grid by it. */
    int multiprocessors() {
        return context.device().multiprocessors();
    }
}

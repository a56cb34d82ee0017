package org.megabyte4j.backend.cpu;

import org.slf4j.LoggerFactory;

/** Chooses the kernels once. {@link VectorKernels} is not even loaded where its module is absent. */
final class KernelsProvider {
    private static final String MODULE = "jdk.incubator.vector";

    static final Kernels BEST = choose(ModuleLayer.boot().findModule(MODULE).isPresent());

    private KernelsProvider() {
    }

    static Kernels choose(boolean modulePresent) {
        if (modulePresent) {
            return VectorKernelsHolder.create();
        }
        LoggerFactory.getLogger(Kernels.class).warn("the module {} is absent, so plain loops run instead of vector"
                + " instructions; start Java with --add-modules {}", MODULE, MODULE);
        return new PlainKernels();
    }

    /** Keeps the reference to the vector classes out of the class that decides. */
    private static final class VectorKernelsHolder {
        static Kernels create() {
            return new VectorKernels();
        }
    }
}

package org.megabyte4j.backend.cuda;

import static org.junit.jupiter.api.Assumptions.abort;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;

/**
 * The device that kernels are tested on: the simulated one, or with {@code -Dmegabyte4j.test.device=cuda} the first GPU.
 * One for all tests of a process.
 */
final class TestDevice {
    private static CudaBackend backend;

    private TestDevice() {
    }

    /** Whether the tests run on the simulated device. */
    static boolean isSimulated() {
        return !"cuda".equals(System.getProperty("megabyte4j.test.device"));
    }

    /** Skips the test where the simulated device or the kernels are not built. */
    static synchronized CudaBackend backend() {
        if (backend == null) {
            if (isSimulated() && !Files.exists(SimulatedDevice.folder().resolve("libcuda.so.1"))) {
                abort("the simulated device is not built; make simulator builds it where g++ is");
            }
            if (CudaBackend.class.getResource("ptx") == null) {
                abort("the kernels are not compiled; make kernels does that where nvcc is");
            }
            backend = isSimulated() ? Simulator.open() : CudaBackend.open();
        }
        return backend;
    }

    /** Closes it; whoever asks next gets another. */
    static synchronized void close() {
        if (backend != null) {
            backend.close();
            backend = null;
        }
    }

    /**
     * Runs something with the threads of each block in random order, which shows missing barriers. On a GPU, where
     * their order is what it is, just runs it.
     */
    static void inRandomOrder(int seed, Runnable work) {
        if (!isSimulated()) {
            work.run();
            return;
        }
        schedule("random:" + seed);
        try {
            work.run();
        } finally {
            schedule("");
        }
    }

    private static void schedule(String value) {
        MethodHandle set = Linker.nativeLinker().downcallHandle(
                SymbolLookup.loaderLookup().find("simulatorSet").orElseThrow(),
                FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.ADDRESS));
        try (Arena call = Arena.ofConfined()) {
            MemorySegment name = call.allocateFrom("MEGABYTE4J_SIMULATOR_SCHEDULE");
            int status = (int) set.invokeExact(name, call.allocateFrom(value));
            if (status != 0) {
                throw new IllegalStateException("the simulated device does not know MEGABYTE4J_SIMULATOR_SCHEDULE");
            }
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }
}

package org.megabyte4j.backend.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;

/** The simulated device, and what its tests can set and see of it; see docs/simulator.md. */
final class Simulator {
    private Simulator() {
    }

    /** A backend on the simulated device as it is set now. Skips the test where it is not built. */
    static CudaBackend open() {
        load();
        return CudaBackend.open(CudaDriver.load(), 0, Blas.AUTO, true);
    }

    /** For classes that need it before and after each test: without it, or where a GPU is tested, they are skipped. */
    static boolean isBuilt() {
        return TestDevice.isSimulated() && Files.exists(SimulatedDevice.folder().resolve("libcuda.so.1"));
    }

    /** Loads it, so that it can be set. Skips the test where it is not built. */
    static void load() {
        assumeTrue(isBuilt(), "the simulated device is not built; make simulator builds it with g++");
        SimulatedDevice.load();
    }

    /** Back to what it was when the process began. */
    static void reset() {
        TestDevice.close();    // its context would end under it
        invoke("simulatorReset", FunctionDescriptor.ofVoid());
    }

    /** @param name the setting without {@code MEGABYTE4J_SIMULATOR_} */
    static void set(String name, Object value) {
        try (Arena call = Arena.ofConfined()) {
            Object status = invoke("simulatorSet", FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS),
                    call.allocateFrom("MEGABYTE4J_SIMULATOR_" + name), call.allocateFrom(value.toString()));
            if (!status.equals(0)) {
                throw new IllegalArgumentException("the simulated device has no setting " + name);
            }
        }
    }

    /** Makes the n-th call from now on of a driver's function fail, counted from 1. */
    static void fail(String function, int call, int code) {
        set("FAIL", function + ":" + call + ":" + code);
    }

    static long calls(String function) {
        return (long) withText("simulatorCallCount", function);
    }

    static long totalCalls() {
        return (long) invoke("simulatorTotalCalls", FunctionDescriptor.of(JAVA_LONG));
    }

    static void resetCalls() {
        invoke("simulatorResetCallCounts", FunctionDescriptor.ofVoid());
    }

    /** How many there are now: allocations, bytes, pinned, streams, events, modules, graphs, executables, contexts. */
    static long live(String kind) {
        return (long) withText("simulatorLive", kind);
    }

    private static Object withText(String function, String text) {
        try (Arena call = Arena.ofConfined()) {
            return invoke(function, FunctionDescriptor.of(JAVA_LONG, ADDRESS), call.allocateFrom(text));
        }
    }

    private static Object invoke(String function, FunctionDescriptor signature, Object... arguments) {
        MemorySegment address = SymbolLookup.libraryLookup(SimulatedDevice.folder().resolve("libcuda.so.1"),
                Arena.global()).findOrThrow(function);
        MethodHandle handle = Linker.nativeLinker().downcallHandle(address, signature);
        try {
            return handle.invokeWithArguments(arguments);
        } catch (Throwable e) {
            throw new IllegalStateException(function, e);
        }
    }
}

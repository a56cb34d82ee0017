package org.megabyte4j.backend.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.I64;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.megabyte4j.ffi.CudaDriverLibrary;
import org.megabyte4j.tensor.Tensor;

/**
 * The ways to launch a kernel, side by side, to measure what each costs the host: JCuda, as all operations do it; a
 * call of {@code cuLaunchKernel} through Panama; and the replay of a graph. The kernel fills no elements, so it ends at
 * once. Each call only enqueues; {@link CudaBackend#synchronize} waits. Used by the thread that opened the backend.
 */
public final class LaunchPaths implements AutoCloseable {
    /** Launches in the graph that {@link #graph} replays. */
    public static final int GRAPH_LAUNCHES = 100;

    private static final int THREADS = 32;
    private static final Tensor NO_TENSOR = null;

    private final CudaContext context;
    private final Kernel kernel;
    private final CudaDriverLibrary library;
    private final long function;
    private final Arena arena = Arena.ofConfined();
    private final MemorySegment values = arena.allocate(JAVA_LONG, 3);
    private final MemorySegment addresses = arena.allocate(ADDRESS, 3);
    private final CudaGraph graph;

    /** @param backend outlives this object */
    public LaunchPaths(CudaBackend backend) {
        context = backend.context();
        context.use();
        kernel = backend.kernels().loader().module("elementwise").kernel("fill_i32", PTR, I64, I32);
        library = context.driver().library();
        function = kernel.address();
        for (int i = 0; i < 3; i++) {
            addresses.setAtIndex(ADDRESS, i, values.asSlice(i * JAVA_LONG.byteSize()));
        }
        graph = CudaGraph.capture(context, () -> {
            for (int i = 0; i < GRAPH_LAUNCHES; i++) {
                jcuda();
            }
        });
    }

    /** One launch through JCuda, with the checks of every launch. */
    public void jcuda() {
        kernel.grid(1).block(THREADS).arg(NO_TENSOR).arg(0L).arg(0).launch();
    }

    /** One launch through Panama, with arguments written as for the other. */
    public void panama() {
        context.use();
        values.setAtIndex(JAVA_LONG, 0, 0L);
        values.setAtIndex(JAVA_LONG, 1, 0L);
        values.set(JAVA_INT, 2 * JAVA_LONG.byteSize(), 0);
        library.launch(function, 1, 1, 1, THREADS, 1, 1, 0, context.computeAddress(), addresses);
    }

    /** {@value #GRAPH_LAUNCHES} launches by one replay. */
    public void graph() {
        graph.launch();
    }

    @Override
    public void close() {
        graph.close();
        arena.close();
    }
}

package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.megabyte4j.backend.cuda.KernelType.F32;
import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.I64;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIf;
import org.megabyte4j.ffi.CudaDriverException;
import org.megabyte4j.ffi.CudaDriverLibrary;
import org.megabyte4j.ffi.CudaLaunchConfig;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.MemoryPlan.Category;
import org.megabyte4j.tensor.Tensor;

@EnabledIf("org.megabyte4j.backend.cuda.Simulator#isBuilt")
class KernelTest {
    private CudaBackend backend;
    private MemoryPlan plan;
    private Tensor x;
    private KernelModule module;

    @BeforeEach
    void open() {
        Simulator.load();
        Simulator.reset();
        backend = Simulator.open();
        plan = new MemoryPlan();
        x = plan.tensor(Category.ACTIVATIONS, "x", DType.F32, 1000);
        backend.allocate(plan);
        module = backend.kernels().loader().module("elementwise");
    }

    @AfterEach
    void close() {
        plan.close();
        backend.close();
    }

    private Kernel fill() {
        return module.kernel("fill_f32", PTR, I64, F32);
    }

    @Test
    void aKernelRunsWithItsArguments() {
        fill().grid(1).block(256).arg(x.part(0, 999)).arg(999L).arg(2.5f).launch();
        float[] values = backend.readFloats(x);
        assertThat(values[998]).isEqualTo(2.5f);
        assertThat(values[999]).isZero();
    }

    @Test
    void argumentsAreCheckedAgainstTheDeclaration() {
        Kernel fill = fill();
        assertThatThrownBy(() -> fill.grid(1).block(256).arg(x).arg(999)).isInstanceOf(IllegalStateException.class)
                .hasMessage("kernel fill_f32: argument 2 is I32, but the parameters are [PTR, I64, F32]");
        assertThatThrownBy(() -> fill.grid(1).block(256).arg(x).arg(1L).launch())
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("kernel fill_f32: only 2 of 3 arguments are given");
        assertThatThrownBy(() -> fill.grid(1).block(256).arg(x).arg(1L).arg(1f).arg(1f))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("kernel fill_f32: argument 4 is F32, but the parameters are [PTR, I64, F32]");
        assertThatThrownBy(() -> fill.grid(1).arg(x).arg(1L).arg(1f).launch()).isInstanceOf(IllegalStateException.class)
                .hasMessage("kernel fill_f32: no block is given");
        fill.grid(1).block(256).arg(x).arg(1L).arg(1f).launch();
        assertThatThrownBy(fill::launch).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void theDeclarationIsCheckedAgainstTheCompiledKernel() {
        assertThatThrownBy(() -> module.kernel("fill_f32", PTR, I32, F32)).isInstanceOf(IllegalStateException.class)
                .hasMessage("kernel fill_f32: parameter 2 of the compiled kernel has 8 bytes, but it is described as"
                        + " [PTR, I32, F32]");
        assertThatThrownBy(() -> module.kernel("fill_f32", PTR, I64)).isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("parameter 3 of the compiled kernel has 4 bytes");
        assertThatThrownBy(() -> module.kernel("fill_f32", PTR, I64, F32, F32))
                .isInstanceOf(IllegalStateException.class).hasMessageContaining("parameter 4 of the compiled kernel has 0 bytes");
    }

    @Test
    void whatIsNotThereIsNamed() {
        assertThatThrownBy(() -> module.kernel("fill_f8", PTR)).isInstanceOf(CudaException.class)
                .hasMessage("CUDA's cuModuleGetFunction failed with code 500, CUDA_ERROR_NOT_FOUND:"
                        + " kernels/elementwise.cu has no entry point fill_f8");
        assertThatThrownBy(() -> backend.kernels().loader().module("nothing"))
                .isInstanceOf(CudaUnavailableException.class)
                .hasMessage("this build of megabyte4j has no CUDA kernels (nothing.ptx is missing); build it where nvcc"
                        + " is installed, with make dist, or use --device cpu");
    }

    @Test
    void sizesBeyondTheLimitsAreRefused() {
        Kernel fill = fill();
        for (long[] grid : new long[][] {{0, 1, 1}, {1L << 31, 1, 1}, {1, 65536, 1}, {1, 1, 65536}, {-1, 1, 1}}) {
            assertThatThrownBy(() -> fill.grid(grid[0], grid[1], grid[2])).isInstanceOf(IllegalStateException.class)
                    .hasMessage("kernel fill_f32: a grid of " + grid[0] + " x " + grid[1] + " x " + grid[2]
                            + " blocks is not possible");
        }
        for (int[] block : new int[][] {{0, 1, 1}, {1025, 1, 1}, {32, 33, 1}, {1, 1, 65}}) {
            assertThatThrownBy(() -> fill.grid(1).block(block[0], block[1], block[2]))
                    .isInstanceOf(IllegalStateException.class);
        }
    }

    @Test
    void aRefusedLaunchNamesTheFunctionTheCodeAndItsName() {
        Kernel ready = fill().grid(1).block(256).arg(x).arg(1L).arg(1f);
        Simulator.fail("cuLaunchKernel", 1, 1);
        assertThatThrownBy(ready::launch).isInstanceOf(CudaException.class)
                .hasMessage("CUDA's cuLaunchKernel failed with code 1, CUDA_ERROR_INVALID_VALUE")
                .satisfies(e -> assertThat(((CudaException) e).code()).isEqualTo(1));
    }

    @Test
    void aLaunchThroughPanamaDoesTheSame() {
        NativeHandles.Function function = new NativeHandles.Function();
        module.find("fill_f32", function);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment values = arena.allocate(24, 8);
            values.set(ValueLayout.JAVA_LONG, 0, CudaMemory.address(backend.context(), x));
            values.set(ValueLayout.JAVA_LONG, 8, 1000);
            values.set(ValueLayout.JAVA_FLOAT, 16, 4.5f);
            MemorySegment addresses = arena.allocate(ValueLayout.JAVA_LONG, 3);
            for (int i = 0; i < 3; i++) {
                addresses.setAtIndex(ValueLayout.JAVA_LONG, i, values.address() + 8 * i);
            }
            CudaLaunchConfig config = new CudaLaunchConfig(arena).cluster(1).stream(backend.context().computeAddress());
            CudaDriverLibrary driver = backend.context().driver().library();
            driver.launch(config.sizes(1, 1, 1, 256, 1, 1, 0), function.address(), addresses);
            assertThat(backend.readFloats(x)).containsOnly(4.5f);
            assertThatThrownBy(() -> driver.launch(config.sizes(1, 1, 1, 2048, 1, 1, 0), function.address(), addresses))
                    .isInstanceOf(CudaDriverException.class)
                    .hasMessage("CUDA's cuLaunchKernelEx failed with code 1, CUDA_ERROR_INVALID_VALUE");
        }
    }

    @Test
    void launchingMakesNoGarbage() {
        var threads = (com.sun.management.ThreadMXBean) java.lang.management.ManagementFactory.getThreadMXBean();
        Kernel fill = fill();
        long before = 0;
        for (int i = 0; i < 20; i++) {
            if (i == 10) {
                before = threads.getCurrentThreadAllocatedBytes();
            }
            fill.grid(1).block(256).arg(x).arg(1000L).arg(1f).launch();
        }
        assertThat(threads.getCurrentThreadAllocatedBytes() - before).isZero();
    }
}

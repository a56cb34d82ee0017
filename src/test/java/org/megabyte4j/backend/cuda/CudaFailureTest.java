package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIf;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.MemoryPlan.Category;
import org.megabyte4j.tensor.Tensor;

/** What users read when their GPU cannot be used, word for word. */
@EnabledIf("org.megabyte4j.backend.cuda.Simulator#isBuilt")
class CudaFailureTest {
    @BeforeEach
    void freshDevice() {
        Simulator.load();
        Simulator.reset();
    }

    @AfterEach
    void nothingIsLeft() {
        for (String kind : new String[] {"allocations", "streams", "events", "modules", "contexts", "leaked"}) {
            assertThat(Simulator.live(kind)).as(kind).isZero();
        }
        Simulator.reset();
    }

    @Test
    void aDriverThatIsOlderThanThePtx() {
        Ptx ptx = Ptx.find("elementwise", CudaDriver.load().device(0));
        assumeTrue(ptx.version().equals("9.0"), "the kernels are not compiled by nvcc 13.0, but are PTX "
                + ptx.version() + "; make kernels");
        Simulator.set("DRIVER_VERSION", 12040);
        assertThatThrownBy(Simulator::open).isInstanceOf(CudaUnavailableException.class)
                .hasMessage("NVIDIA's driver is too old: it knows CUDA 12.4, and the kernels of this build are PTX 9.0,"
                        + " which needs CUDA 13.0; update the driver, or use --device cpu");
    }

    @Test
    void theFirstCudaForEachPtx() {
        assertThat(leastCuda("7.8")).isEqualTo("11.8");
        assertThat(leastCuda("8.0")).isEqualTo("12.0");
        assertThat(leastCuda("8.5")).isEqualTo("12.5");
        assertThat(leastCuda("8.7")).isEqualTo("12.8");
        assertThat(leastCuda("9.1")).isEqualTo("13.1");
    }

    private static String leastCuda(String version) {
        String text = "// comment\n.version " + version + "\n.target sm_80\n";
        return new Ptx(Ptx.LEAST_TARGET, text.getBytes(StandardCharsets.UTF_8)).leastCuda();
    }

    @Test
    void noDevice() {
        Simulator.set("DEVICES", 0);
        assertThatThrownBy(Simulator::open).isInstanceOf(CudaUnavailableException.class)
                .hasMessage("NVIDIA's driver is there, but it finds no GPU; see what nvidia-smi says, and whether"
                        + " CUDA_VISIBLE_DEVICES hides it, or use --device cpu");
    }

    @Test
    void aDeviceThatIsNotThere() {
        assertThatThrownBy(() -> CudaDriver.load().device(1)).isInstanceOf(CudaUnavailableException.class)
                .hasMessage("there is no GPU with number 1; the only one is cuda:0");
    }

    @Test
    void aDeviceThatIsTooOld() {
        Simulator.set("COMPUTE_CAPABILITY", "7.5");
        assertThatThrownBy(Simulator::open).isInstanceOf(CudaUnavailableException.class)
                .hasMessage("the GPU cuda:0, megabyte4j simulated device, has compute capability 7.5, but the kernels"
                        + " need 8.0 (Ampere) or newer; use another GPU or --device cpu");
    }

    @Test
    void aDriverThatDoesNotStart() {
        Simulator.fail("cuInit", 1, 999);
        assertThatThrownBy(CudaDriver::load).isInstanceOf(CudaUnavailableException.class)
                .hasMessage("NVIDIA's driver does not start: CUDA's cuInit failed with code 999, CUDA_ERROR_UNKNOWN;"
                        + " see what nvidia-smi says");
    }

    @Test
    void everyDriverCallOfOpeningMayFailAndNothingIsLeft() {
        for (String function : new String[] {"cuDevicePrimaryCtxRetain", "cuCtxSetCurrent", "cuStreamCreate",
            "cuMemAlloc", "cuMemHostAlloc", "cuEventCreate", "cuModuleLoadDataEx", "cuModuleGetFunction", "cuMemsetD8Async"}) {
            Simulator.reset();
            CudaDriver driver = CudaDriver.load();
            for (int call = 1; call <= 2; call++) {
                Simulator.fail(function, call, 999);
                try (CudaBackend backend = CudaBackend.open(driver, 0, Blas.AUTO, true)) {
                    assertThat(call).as(function).isEqualTo(2);
                } catch (CudaException e) {
                    assertThat(e).hasMessageContaining(function);
                }
                Simulator.set("FAIL", "");
                nothingIsLeft(function);
            }
        }
    }

    private static void nothingIsLeft(String after) {
        for (String kind : new String[] {"allocations", "pinned", "streams", "events", "modules", "contexts",
            "leaked"}) {
            assertThat(Simulator.live(kind)).as(kind + " after a failure of " + after).isZero();
        }
    }

    @Test
    void aFaultOfAKernelEndsTheUseOfTheGpu() {
        MemoryPlan plan = new MemoryPlan();
        Tensor x = plan.tensor(Category.ACTIVATIONS, "x", DType.F32, 10);
        CudaBackend backend = Simulator.open();
        Ops ops = backend.plan(plan, dry -> dry.fill(x, 0));
        backend.allocate(plan);
        Simulator.fail("kernel", 1, 700);
        ops.fill(x, 1);
        String sentence = " failed with code 700, CUDA_ERROR_ILLEGAL_ADDRESS: a kernel touched memory that is not its own"
                + " or was stopped, and this process can no longer use the GPU; start again, from the last checkpoint if"
                + " there is one, and report this as a bug";
        assertThatThrownBy(() -> backend.readFloats(x)).isInstanceOf(CudaException.class)
                .hasMessageStartingWith("CUDA's cu").hasMessageEndingWith(sentence);
        assertThatThrownBy(() -> {
            while (true) {
                ops.fill(x, 1);
            }
        }).isInstanceOf(CudaException.class).hasMessageEndingWith(sentence);
        assertThatThrownBy(backend::close).isInstanceOf(CudaException.class).hasMessageEndingWith(sentence);
        plan.close();
        backend.close();
        Simulator.reset();
    }
}

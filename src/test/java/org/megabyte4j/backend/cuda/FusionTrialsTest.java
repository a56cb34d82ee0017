package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIf;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Fusion;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;

/** Whether layers are computed at once is what a measurement, or the system property, says. */
@EnabledIf("org.megabyte4j.backend.cuda.Simulator#isBuilt")
class FusionTrialsTest {
    private static final AttentionShape SHAPE = new AttentionShape(7, 8, 1, 1, 64);

    @TempDir
    Path folder;

    @BeforeEach
    void load() {
        Simulator.load();
        TestDevice.close();
    }

    /** Runs both ways once, on the device, and says that a way is the faster. */
    private static double[] run(CudaContext context, Choice.Trial trial, int faster) {
        try (MemoryPlan scratch = new MemoryPlan()) {
            List<Runnable> ways = trial.plan(scratch);
            scratch.allocate(bytes -> new CudaMemory(context, bytes));
            ways.forEach(Runnable::run);
            context.synchronize();
        }
        return faster == 0 ? new double[] {1, 2} : new double[] {2, 1};
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void theFasterWayIsTaken(int way) {
        List<Choice.Trial> timed = new ArrayList<>();
        try (CudaBackend backend = CudaBackend.open(CudaDriver.load(), context -> new Tuner(trial -> {
            timed.add(trial);
            return run(context, trial, way);
        }, new TuningCache(folder.resolve("tuning.json"), "a machine", false)))) {
            Fusion fusion = backend.fusion();
            for (int i = 0; i < 2; i++) {
                assertThat(fusion.feedForward(DType.BF16, 64, 64).isThere()).isEqualTo(way == 1);
                assertThat(fusion.selfAttention(DType.BF16, 64, SHAPE).isThere()).isEqualTo(way == 1);
            }
            assertThat(timed).hasSize(2);
            assertThat(backend.choices())
                    .containsEntry("feed_forward layer 64, 64 hidden, bf16", way == 0 ? "step by step" : "at once")
                    .containsEntry("self_attention layer 64, 1 heads of 64 over 8, bf16",
                            way == 0 ? "step by step" : "at once");
            assertThat(fusion.feedForward(DType.F32, 64, 64).isThere()).isFalse();
        }
    }

    @Test
    void thePropertySaysMoreThanAnyMeasurement() {
        assertThat(asked("unfused").feedForward(DType.BF16, 64, 64).isThere()).isFalse();
        assertThat(asked("Fused").feedForward(DType.BF16, 64, 64).isThere()).isTrue();
        assertThatThrownBy(() -> asked("maybe")).isInstanceOf(MegabyteException.class)
                .hasMessage("megabyte4j.fusion is maybe; use auto, fused or unfused");
    }

    private static Fusion asked(String value) {
        String before = System.setProperty(CudaFusion.PROPERTY, value);
        try (CudaBackend backend = Simulator.open()) {
            return backend.fusion();
        } finally {
            if (before == null) {
                System.clearProperty(CudaFusion.PROPERTY);
            } else {
                System.setProperty(CudaFusion.PROPERTY, before);
            }
        }
    }
}

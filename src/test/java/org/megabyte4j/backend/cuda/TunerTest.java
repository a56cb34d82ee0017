package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIf;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.AttentionWork;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/** Each way can come to be taken, and computes the same as the others. */
@EnabledIf("org.megabyte4j.backend.cuda.Simulator#isBuilt")
class TunerTest {
    private final List<Choice.Trial> timed = new ArrayList<>();

    @TempDir
    Path folder;

    @BeforeEach
    void load() {
        Simulator.load();
        TestDevice.close();
    }

    private TuningCache cache() {
        return new TuningCache(folder.resolve("tuning.json"), "a machine", false);
    }

    /** Says that a way is the fastest. */
    private Tuner preferring(int way) {
        return new Tuner(trial -> {
            timed.add(trial);
            return way == 0 ? new double[] {1e-6, 2e-6} : new double[] {2e-6, 1e-6};
        }, cache());
    }

    private static Choice two(Tuner tuner) {
        return tuner.choice("this or that", List.of("this", "that"), scratch -> List.of());
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void theFasterWayIsTakenAndNoted(int way) {
        Tuner tuner = preferring(way);
        Choice choice = two(tuner);
        assertThat(choice.taken()).as("before it is decided").isZero();
        tuner.decide();
        tuner.decide();
        assertThat(choice.taken()).isEqualTo(way);
        assertThat(timed).hasSize(1);
        assertThat(tuner.taken()).isEqualTo(Map.of("this or that", way == 0 ? "this" : "that"));
        Tuner later = preferring(1 - way);
        Choice again = two(later);
        later.decide();
        assertThat(again.taken()).as("as was noted").isEqualTo(way);
        assertThat(timed).hasSize(1);
    }

    @Test
    void theFirstStaysUnlessAnotherIsClearlyFaster() {
        assertThat(Tuner.fastest(1e-6, 0.99e-6)).isZero();
        assertThat(Tuner.fastest(1e-6, 0.97e-6, 0.96e-6)).isEqualTo(2);
        assertThat(Tuner.fastest(Double.POSITIVE_INFINITY, 1)).isEqualTo(1);
    }

    @Test
    void withoutMemoryToMeasureTheFirstIsTakenAndNothingNoted() {
        Tuner tuner = new Tuner(trial -> new double[0], cache());
        Choice choice = two(tuner);
        tuner.decide();
        assertThat(choice.taken()).isZero();
        assertThat(cache().find("this or that")).isNull();
    }

    @Test
    void aWayThatIsGoneIsMeasuredAgain() {
        cache().note("this or that", "something else", 1e-6);
        Tuner tuner = preferring(1);
        Choice choice = two(tuner);
        tuner.decide();
        assertThat(choice.way()).isEqualTo("that");
        assertThat(timed).hasSize(1);
    }

    @Test
    void withoutTuningThereIsNothingToChoose() {
        Choice choice = two(Tuner.off());
        assertThat(choice.ways()).containsExactly("this");
        assertThat(choice.isDecided()).isTrue();
        assertThat(Tuner.off().taken()).isEmpty();
    }

    /** Shapes that have two ways each, and what they are called. */
    private static Function<Tensors, Consumer<Ops>> attention(AttentionShape shape) {
        return AttentionWork.forwardAndBackward(shape, AttentionBias.ALIBI);
    }

    private void everyWayComputesTheSame(int choices, Function<Tensors, Consumer<Ops>> work) {
        for (int way = 0; way < 2; way++) {
            int preferred = way;
            try (CudaBackend backend = CudaBackend.open(CudaDriver.load(), context -> new Tuner(
                    trial -> preferred == 0 ? new double[] {1, 2} : new double[] {2, 1},
                    new TuningCache(folder.resolve(preferred + ".json"), "a machine", false)))) {
                KernelComparison.check(backend, DType.BF16, KernelComparison.FLOAT32, work);
                assertThat(backend.choices()).hasSize(choices).allSatisfy((what, taken) ->
                        assertThat(taken.matches("wide|large tile|bias by GELU")).isEqualTo(preferred == 1));
            }
        }
    }

    @Test
    void attentionOverPatchesInTilesOfEightWarps() {
        everyWayComputesTheSame(2, attention(new AttentionShape(1, 130, 3, 1, 64)));
        everyWayComputesTheSame(1, attention(new AttentionShape(1, 129, 2, 1, 128)));
    }

    @ParameterizedTest
    @ValueSource(ints = {3, 8, 11, 16, 27})
    void attentionWithinPatchesInTilesTwiceAsLarge(int length) {
        everyWayComputesTheSame(2, attention(new AttentionShape(5, length, 4, 1, 32)));
    }

    @Test
    void shortPatchesOfLongHeadsInTilesTwiceAsLarge() {
        everyWayComputesTheSame(2, attention(new AttentionShape(3, 8, 2, 1, 128)));
        everyWayComputesTheSame(2, attention(new AttentionShape(3, 16, 2, 2, 128)));
    }

    @Test
    void theBiasOfAGeluIsAddedByTheProductOrByTheKernel() {
        everyWayComputesTheSame(1, t -> {
            Tensor x = t.random(7, 16);
            Tensor weight = t.random(24, 16);
            Tensor bias = t.random(24);
            Tensor preActivation = t.result("preActivation", 7, 24);
            Tensor activated = t.result("activated", 7, 24);
            return ops -> ops.linearGelu(x, weight, bias, preActivation, activated);
        });
    }

    @Test
    void trialsRunOnTheDeviceAndGiveTheirMemoryBack() {
        try (CudaBackend backend = CudaBackend.open(CudaDriver.load(), context -> new Tuner(Tuner.on(context), cache()));
                MemoryPlan plan = new MemoryPlan()) {
            AttentionShape shape = new AttentionShape(2, 70, 1, 1, 64);
            Tensor qkv = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "qkv", DType.BF16, shape.rows(),
                    shape.packedWidth());
            Tensor out = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "out", DType.BF16, shape.rows(), shape.width());
            Tensor lse = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "lse", DType.F32, 2, 1, 70);
            Tensor dQkv = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "dQkv", DType.BF16, shape.rows(),
                    shape.packedWidth());
            backend.plan(plan, dry -> {
                dry.causalAttention(shape, qkv, AttentionBias.ALIBI, out, lse);
                dry.causalAttentionBackward(shape, qkv, AttentionBias.ALIBI, out, lse, out, dQkv);
            });
            Simulator.resetCalls();
            long allocations = Simulator.live("allocations");
            backend.allocate(plan);
            assertThat(Simulator.live("allocations")).isEqualTo(allocations + plan.bytesByCategory().size());
            assertThat(Simulator.calls("cuLaunchKernel")).isGreaterThanOrEqualTo(2 * 5 + 2 * 2 * 5);
            assertThat(backend.choices()).hasSize(2);
            assertThat(cache().find(backend.choices().keySet().iterator().next())).isIn("usual", "wide");
        }
    }
}

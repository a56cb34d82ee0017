package org.megabyte4j.backend;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.ShapeException;
import org.megabyte4j.tensor.Tensor;

/** Each operation with fitting tensors, and with each of them in turn one element too short or of another dtype. */
class ShapeChecksTest {
    private static final ByteShift SHIFT = new ByteShift(1, 4);
    private static final AttentionShape SHAPE = new AttentionShape(2, 3, 4, 2, 5);
    private static final ParameterLayout LAYOUT = ParameterLayout.builder().add("w", true, 3, 5).build();
    private static final Ops.AdamWSettings ADAM_W = new Ops.AdamWSettings(0.9, 0.999, 1e-8, 0);
    private static final Ops.AdafactorSettings ADAFACTOR = new Ops.AdafactorSettings(0, 0, 1, false, 0, false);

    /** The tensors of one call, in order; {@code wrong} is the number of the one that does not fit. */
    private static final class Tensors {
        private final MemoryPlan plan = new MemoryPlan();
        private final int wrong;
        private final boolean dtype;
        private int count;

        Tensors(int wrong, boolean dtype) {
            this.wrong = wrong;
            this.dtype = dtype;
        }

        Tensor floats(long... shape) {
            return tensor(DType.F32, shape);
        }

        Tensor ints(long... shape) {
            return tensor(DType.I32, shape);
        }

        private Tensor tensor(DType fitting, long... shape) {
            boolean fits = count++ != wrong;
            DType type = fits || !dtype ? fitting : DType.BF16;
            long elements = Tensor.elements(shape);
            return fits || dtype ? plan.tensor(MemoryPlan.Category.ACTIVATIONS, "t", type, shape)
                    : plan.tensor(MemoryPlan.Category.ACTIVATIONS, "t", type, elements - 1);
        }
    }

    private record Call(String name, BiConsumer<Ops, Tensors> work) {
        @Override
        public String toString() {
            return name;
        }

        void run(Tensors tensors) {
            work.accept(new ShapeChecks(), tensors);
        }
    }

    static Stream<Call> calls() {
        int width = SHAPE.packedWidth();
        long n = LAYOUT.elements();
        boolean[] decays = {true};
        return Stream.of(
                new Call("embed", (ops, t) -> ops.embed(t.ints(2, 4), SHIFT, 0, t.floats(9, 3), t.floats(4, 3),
                        t.floats(8, 3), t.floats(8, 3))),
                new Call("embedBackward", (ops, t) -> ops.embedBackward(t.ints(2, 4), SHIFT, 0, t.floats(8, 3),
                        t.floats(9, 3), t.floats(4, 3))),
                new Call("linear", (ops, t) -> ops.linear(t.floats(7, 3), t.floats(5, 3), t.floats(5),
                        t.floats(7, 5), t.floats(7, 5))),
                new Call("linearInputGradient", (ops, t) -> ops.linearInputGradient(t.floats(7, 5), t.floats(5, 3),
                        t.floats(7, 3), t.floats(7, 3))),
                new Call("linearWeightGradient", (ops, t) -> ops.linearWeightGradient(t.floats(7, 3), t.floats(7, 5),
                        t.floats(5, 3), t.floats(5))),
                new Call("linearGelu", (ops, t) -> ops.linearGelu(t.floats(7, 3), t.floats(5, 3), t.floats(5),
                        t.floats(7, 5), t.floats(7, 5))),
                new Call("geluBackward", (ops, t) -> ops.geluBackward(t.floats(7), t.floats(7), t.floats(7),
                        t.floats(7))),
                new Call("layerNorm", (ops, t) -> ops.layerNorm(t.floats(7, 3), t.floats(3), t.floats(3),
                        t.floats(7, 3), t.floats(7), t.floats(7))),
                new Call("layerNormAgain", (ops, t) -> ops.layerNormAgain(t.floats(7, 3), t.floats(3), t.floats(3),
                        t.floats(7), t.floats(7), t.floats(7, 3))),
                new Call("layerNormBackward", (ops, t) -> ops.layerNormBackward(t.floats(7, 3), t.floats(7, 3),
                        t.floats(3), t.floats(7), t.floats(7), t.floats(7, 3), t.floats(7, 3), t.floats(3),
                        t.floats(3))),
                new Call("causalAttention", (ops, t) -> ops.causalAttention(SHAPE, t.floats(6, width),
                        AttentionBias.NONE, t.floats(6, 20), t.floats(2, 4, 3))),
                new Call("causalAttentionBackward", (ops, t) -> ops.causalAttentionBackward(SHAPE, t.floats(6, width),
                        AttentionBias.NONE, t.floats(6, 20), t.floats(2, 4, 3), t.floats(6, 20), t.floats(6, width))),
                new Call("cachedAttention", (ops, t) -> ops.cachedAttention(SHAPE, t.floats(6, width),
                        AttentionBias.NONE, t.floats(2, 9, 20), t.ints(2), t.floats(6, 20))),
                new Call("sample", (ops, t) -> ops.sample(t.floats(3, 33), t.ints(SamplingSettings.COUNT), t.ints(33),
                        t.ints(3), t.ints(3), t.ints(3), t.ints(3, 2), t.ints(3), t.ints(3))),
                new Call("decodePatch", (ops, t) -> ops.decodePatch(new LocalWeights(t.floats(33, 8),
                        List.of(localLayer(t), localLayer(t)), t.floats(33, 8), t.floats(33), 2, AttentionBias.NONE),
                        t.floats(12, 8), new PatchChoice(t.ints(3), t.ints(SamplingSettings.COUNT), t.ints(33),
                        t.ints(3), t.ints(4, 3), t.ints(4, 3), t.ints(3, 2), t.ints(4, 2, 3)), t.floats(4, 3, 33))),
                new Call("nextPatch", (ops, t) -> ops.nextPatch(t.ints(4, 2, 3), 5, true, new PatchInput(t.ints(3, 4),
                        t.ints(3, 4), t.ints(3), t.ints(4, 3), t.ints(4, 3), t.ints(3)))),
                new Call("countTargets", (ops, t) -> ops.countTargets(t.ints(7), 0, t.ints(1))),
                new Call("softmaxCrossEntropy", (ops, t) -> ops.softmaxCrossEntropy(t.floats(7, 3), t.ints(7), 0,
                        t.ints(1), t.floats(1), t.floats(7, 3), 1)),
                new Call("norm", (ops, t) -> ops.norm(t.floats(7), t.floats(1))),
                new Call("adamW", (ops, t) -> ops.adamW(ADAM_W, LAYOUT, decays, t.floats(4),
                        new Ops.Clip(t.floats(1), 1), t.floats(n), null, t.floats(n), t.floats(n), t.floats(n))),
                new Call("adafactor", (ops, t) -> ops.adafactor(ADAFACTOR, LAYOUT, decays, t.floats(4),
                        new Ops.Clip(t.floats(1), 1), t.floats(n), null, t.floats(n), t.floats(8))));
    }

    /** Width 8, two heads of 4. */
    private static LocalWeights.Layer localLayer(Tensors t) {
        return new LocalWeights.Layer(t.floats(8), t.floats(8), t.floats(16, 8), t.floats(8, 8), t.floats(8),
                t.floats(8), t.floats(32, 8), t.floats(32), t.floats(8, 32), t.floats(8));
    }

    @ParameterizedTest
    @MethodSource("calls")
    void aTensorThatDoesNotFitIsRefused(Call call) {
        Tensors fitting = new Tensors(-1, false);
        call.run(fitting);
        List<Integer> accepted = new ArrayList<>();
        for (int wrong = 0; wrong < fitting.count; wrong++) {
            int number = wrong;
            assertThatThrownBy(() -> call.run(new Tensors(number, true))).as("tensor %d of another dtype", number)
                    .isInstanceOf(ShapeException.class).hasMessageContaining("BF16[");
            try {
                call.run(new Tensors(wrong, false));
                accepted.add(wrong);
            } catch (ShapeException e) {
                assertThat(e).hasMessageContaining("[");
            }
        }
        // Of the ids that are counted, and of what a norm is taken, any number will do.
        assertThat(accepted).isEqualTo(call.name.matches("countTargets|norm") ? List.of(0) : List.of());
    }

    @Test
    void theSentenceNamesTheTensorAndWhatIsNeeded() {
        refused(t -> ops -> ops.copy(t.floats(3), t.floats(4)),
                "the target of a copy of F32[3] is F32[4], but 3 elements are needed");
        refused(t -> ops -> ops.norm(t.ints(3), t.floats(1)),
                "what the norm is taken of is I32[3], but F32 is needed");
        refused(t -> ops -> ops.embed(t.ints(2, 4), SHIFT, 9, t.floats(9, 3), null, null, t.floats(8, 3)),
                "the padding id 9 is not in the embedding table F32[9, 3]");
        refused(t -> ops -> ops.embed(t.ints(2, 4), SHIFT, 0, t.floats(9, 3), t.floats(3, 3), null, t.floats(8, 3)),
                "the position embeddings are F32[3, 3], but 4 rows of 3 are needed");
        refused(t -> ops -> ops.anyPrecisionAdamW(ADAM_W, LAYOUT, new boolean[2], t.floats(4), Ops.Clip.NONE,
                t.floats(64), null, t.floats(64), t.floats(64), t.floats(64), null),
                "2 flags of weight decay do not fit 1 parameters");
        refused(t -> ops -> ops.adafactor(ADAFACTOR, LAYOUT, new boolean[1], t.floats(4), Ops.Clip.NONE, t.floats(64),
                t.floats(64), t.floats(64), t.floats(8)),
                "the parameters' compute copy is F32[64], but BF16 is needed");
    }

    private static void refused(Function<Tensors, Consumer<Ops>> program, String sentence) {
        try (CpuBackend backend = CpuBackend.open(1); MemoryPlan plan = new MemoryPlan()) {
            assertThatThrownBy(() -> backend.plan(plan, program.apply(new Tensors(-1, false))))
                    .isInstanceOf(ShapeException.class).hasMessage(sentence);
        }
    }
}

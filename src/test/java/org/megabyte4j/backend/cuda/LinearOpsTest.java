package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.LinearWork;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/** Linear layers on the GPU against double precision. */
class LinearOpsTest {
    record Sizes(int rows, int in, int out) { }

    /** Sides of 1, primes, one over a tile, few rows as in generation, and sides that fast algorithms want. */
    static Stream<Sizes> sizes() {
        return Stream.of(new Sizes(1, 1, 1), new Sizes(1, 7, 1), new Sizes(5, 1, 3), new Sizes(7, 13, 11),
                new Sizes(1, 511, 257), new Sizes(129, 31, 65), new Sizes(64, 128, 96), new Sizes(1031, 5, 3));
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void forwardWithAndWithoutBiasAndAddend(Sizes s) {
        KernelComparison.check(LinearWork.forward(s.rows, s.in, s.out));
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void gelu(Sizes s) {
        KernelComparison.check(LinearWork.gelu(s.rows, s.in, s.out));
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void inputGradientReplacesOrAdds(Sizes s) {
        KernelComparison.check(LinearWork.inputGradient(s.rows, s.in, s.out));
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void weightAndBiasGradientsAreAddedToWhatIsThere(Sizes s) {
        KernelComparison.check(LinearWork.weightGradient(s.rows, s.in, s.out));
    }

    /** As the q and kv projections do: two matrices of a group as one, activations seen under other shapes. */
    @Test
    void weightsMayBeViewsThatStartAnywhere() {
        KernelComparison.check(t -> {
            Tensor group = t.random(11, 5);
            Tensor x = t.random(2, 3, 5);
            Tensor first = t.result("first", 6, 3);
            Tensor second = t.result("second", 2, 3, 7);
            Tensor all = t.result("all", 6, 11);
            Tensor dX = t.result("dX", 2, 3, 5);
            Tensor dGroup = t.float32Changed("dGroup", 11, 5);
            Tensor dBias = t.float32Changed("dBias", 8);
            return ops -> {
                ops.linear(x, group.slice(0, 3), null, null, first);
                ops.linear(x, group.slice(3, 7), null, null, second);
                ops.linear(x, group, null, null, all);
                ops.linearInputGradient(second, group.slice(3, 7), null, dX);
                ops.linearWeightGradient(x, second, dGroup.slice(3, 7), dBias.slice(1, 7));
            };
        });
    }

    @Test
    void noRowsAreNoWork() {
        for (DType dtype : new DType[] {DType.F32, DType.BF16}) {
            MemoryPlan plan = new MemoryPlan();
            Tensor x = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "x", dtype, 0, 3);
            Tensor out = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "out", dtype, 0, 2);
            Tensor weight = plan.tensor(MemoryPlan.Category.PARAMETERS, "weight", dtype, 2, 3);
            Tensor bias = plan.tensor(MemoryPlan.Category.PARAMETERS, "bias", dtype, 2);
            Tensor dWeight = plan.tensor(MemoryPlan.Category.GRADIENTS, "dWeight", DType.F32, 2, 3);
            Tensor dBias = plan.tensor(MemoryPlan.Category.GRADIENTS, "dBias", DType.F32, 2);
            Consumer<Ops> program = ops -> {
                ops.linear(x, weight, bias, null, out);
                ops.linearGelu(x, weight, bias, out, out);
                ops.linearInputGradient(out, weight, null, x);
                ops.linearWeightGradient(x, out, dWeight, dBias);
            };
            CudaBackend backend = TestDevice.backend();
            Ops ops = backend.plan(plan, program);
            try (plan) {
                backend.allocate(plan);
                backend.write(dWeight, 1f, 2f, 3f, 4f, 5f, 6f);
                backend.write(dBias, 7f, 8f);
                program.accept(ops);
                assertThat(backend.readFloats(dWeight)).containsExactly(1f, 2f, 3f, 4f, 5f, 6f);
                assertThat(backend.readFloats(dBias)).containsExactly(7f, 8f);
            }
        }
    }
}

package org.megabyte4j.backend;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/** Costs as the kernels' own files give them, and by counting. */
class AccountedOpsTest {
    private final MemoryPlan plan = new MemoryPlan();

    private Tensor tensor(DType dtype, long... shape) {
        return plan.tensor(MemoryPlan.Category.ACTIVATIONS, "t", dtype, shape);
    }

    private static Cost cost(Consumer<Ops> program) {
        List<Cost> costs = new ArrayList<>();
        program.accept(new AccountedOps(DryBackend.checks()) {
            @Override
            protected void account(Call call, Runnable work) {
                costs.add(call.cost());
                work.run();
            }
        });
        assertThat(costs).hasSize(1);
        return costs.getFirst();
    }

    /** local_attention.cu: 4h(H + 1) + 4H bytes and 2hH(P + 1) FLOPs a position forward, 8h(H + 1) + 4H backward. */
    @Test
    void attentionInsideThePatchesOfTheBenchmark() {
        var shape = new AttentionShape(8192, 8, 4, 1, 64);
        Tensor qkv = tensor(DType.BF16, shape.rows(), shape.packedWidth());
        Tensor out = tensor(DType.BF16, shape.rows(), shape.width());
        Tensor lse = tensor(DType.F32, shape.rows(), shape.heads());
        assertThat(cost(ops -> ops.causalAttention(shape, qkv, AttentionBias.ALIBI, out, lse)))
                .isEqualTo(new Cost(65536L * (4 * 64 * 5 + 16), 65536L * 2 * 64 * 4 * 9));
        assertThat(cost(ops -> ops.causalAttentionBackward(shape, qkv, AttentionBias.ALIBI, out, lse, out, qkv)))
                .isEqualTo(new Cost(65536L * (8 * 64 * 5 + 16), 65536L * 5 * 64 * 4 * 9));
    }

    /** Every visible pair of a query and a key counted one by one. */
    @Test
    void attentionWithACacheThatIsFull() {
        var shape = new AttentionShape(3, 4, 6, 1, 8);
        int capacity = 11;
        long pairs = 0;
        for (int query = capacity - 4; query < capacity; query++) {
            pairs += query + 1;
        }
        Tensor qkv = tensor(DType.F32, shape.rows(), shape.packedWidth());
        Tensor cache = tensor(DType.F32, 3, capacity, shape.keyValueWidth());
        Tensor out = tensor(DType.F32, shape.rows(), shape.width());
        Tensor past = tensor(DType.I32, 3);
        assertThat(cost(ops -> ops.cachedAttention(shape, qkv, AttentionBias.NONE, cache, past, out)))
                .isEqualTo(new Cost(4 * (12 * (64 + 48) + 3 * 11 * 16), 3 * pairs * 6 * 4 * 8));
    }

    @Test
    void productsMoveEachOperandOnceAndGradientsOfParametersTwice() {
        Tensor x = tensor(DType.BF16, 2, 3);
        Tensor weight = tensor(DType.BF16, 5, 3);
        Tensor bias = tensor(DType.BF16, 5);
        Tensor out = tensor(DType.BF16, 2, 5);
        assertThat(cost(ops -> ops.linear(x, weight, bias, out, out))).isEqualTo(new Cost(2 * (6 + 15 + 5 + 20), 60));
        assertThat(cost(ops -> ops.linearInputGradient(out, weight, null, x)))
                .isEqualTo(new Cost(2 * (10 + 15 + 6), 60));
        assertThat(cost(ops -> ops.linearGelu(x, weight, bias, out, out)))
                .isEqualTo(new Cost(2 * (6 + 15 + 5 + 20), 60));
        Tensor dWeight = tensor(DType.F32, 5, 3);
        Tensor dBias = tensor(DType.F32, 5);
        assertThat(cost(ops -> ops.linearWeightGradient(x, out, dWeight, dBias)))
                .isEqualTo(new Cost(2 * (6 + 10) + 8 * 20, 60));
    }

    @Test
    void aTableIsReadNoMoreThanOnceAndNoMoreThanIsLookedUp() {
        Tensor ids = tensor(DType.I32, 1, 6);
        Tensor small = tensor(DType.F32, 4, 8);
        Tensor large = tensor(DType.F32, 100, 8);
        Tensor out = tensor(DType.F32, 6, 8);
        var shift = new ByteShift(1, 6);
        assertThat(cost(ops -> ops.embed(ids, shift, 0, small, null, null, out)).bytes())
                .isEqualTo(4 * (6 + 4 * 8 + 6 * 8));
        assertThat(cost(ops -> ops.embed(ids, shift, 0, large, large, null, out)).bytes())
                .isEqualTo(4 * (6 + 3 * 6 * 8));
    }

    /** The longer of moving and computing. */
    @Test
    void floorsOfCosts() {
        Rates rates = new Rates(1e13, 1e12);
        Cost computing = new Cost(1_000_000, 20_000_000);
        assertThat(rates.floor(computing)).isEqualTo(2e-6, within(1e-18));
        assertThat(rates.isMemoryBound(computing)).isFalse();
        Cost moving = new Cost(3_000_000, 20_000_000);
        assertThat(rates.floor(moving)).isEqualTo(3e-6, within(1e-18));
        assertThat(rates.isMemoryBound(moving)).isTrue();
    }

    @Test
    void theRatesOfTheCpuAreMeasured() {
        try (CpuBackend backend = CpuBackend.open(1)) {
            Rates rates = Rates.measure(backend, DType.F32, 128, 1 << 20);
            assertThat(rates.flopsPerSecond()).isBetween(1e7, 1e13);
            assertThat(rates.bytesPerSecond()).isBetween(1e7, 1e13);
        }
    }
}

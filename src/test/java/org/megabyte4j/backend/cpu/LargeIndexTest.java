package org.megabyte4j.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.math.BigInteger;
import org.junit.jupiter.api.Test;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/** Places beyond element 2^31, as the benchmark's widths have them in 8 Mi bytes, against arithmetic without bounds. */
class LargeIndexTest {
    private static final long LENGTH = 1 << 23;

    private static long exact(long row, long width, long at) {
        return BigInteger.valueOf(row).multiply(BigInteger.valueOf(width)).add(BigInteger.valueOf(at)).longValueExact();
    }

    @Test
    void headsOfPackedRows() {
        AttentionShape local = new AttentionShape(LENGTH / 8, 8, 4, 1, 64);
        PackedRows rows = new PackedRows(local);
        long last = local.rows() - 1;
        assertThat(rows.query(last, 3)).isEqualTo(exact(last, 6 * 64, 3 * 64)).isGreaterThan(1L << 31);
        assertThat(rows.key(last, 3)).isEqualTo(exact(last, 6 * 64, 4 * 64));
        assertThat(rows.value(last, 3)).isEqualTo(exact(last, 6 * 64, 5 * 64));
        assertThat(rows.out(last, 3)).isEqualTo(exact(last, 4 * 64, 3 * 64));
        long many = 3L << 32;
        assertThat(rows.cachedValue(many, 3)).isEqualTo(exact(many, 128, 64));
        assertThat(ShortAttention.workspace(local, 64)).isLessThan(1 << 20);
        AttentionShape global = new AttentionShape(64, LENGTH / 8, 16, 1, 64);
        assertThat(global.rows() * global.packedWidth()).isEqualTo(exact(64 * (LENGTH / 8), 18 * 64, 0));
        assertThat(TiledAttention.backwardWorkspace(global, 2))
                .isEqualTo(exact(global.rows(), 128, 2 * 2 * 128 * 128 + 64 * 17));
    }

    @Test
    void viewsAndBytes() {
        MemoryPlan plan = new MemoryPlan();
        Tensor hidden = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "hidden", DType.F32, LENGTH, 1024);
        assertThat(hidden.elements()).isEqualTo(1L << 33);
        assertThat(plan.bytes()).isEqualTo(1L << 35);
        long row = LENGTH - 3;
        assertThat(hidden.slice(row, 2).bytes()).isEqualTo(2 * 4096);
        assertThat(hidden.slice(row, 2).rows()).isEqualTo(2);
        assertThat(new ByteShift(8, 5L << 30).source((3L << 30) + 9)).isEqualTo((3L << 30) + 1);
    }
}

package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/** Products are prepared once for each look, and found again by it. */
class PreparedGemmsTest {
    private static final class CountingGemm implements Gemm {
        private final List<GemmShape> prepared = new ArrayList<>();
        private final Map<GemmShape, Prepared> products = new HashMap<>();

        @Override
        public String description() {
            return "counts";
        }

        @Override
        public long workspaceBytes() {
            return 0;
        }

        @Override
        public Prepared prepare(GemmShape shape) {
            prepared.add(shape);
            products.put(shape, (a, b, c, d, bias, workspace) -> { });
            return products.get(shape);
        }

        @Override
        public void decide() {
        }

        @Override
        public void close() {
        }
    }

    @Test
    void eachLookIsPreparedOnceAndFoundAmongMany() {
        CountingGemm gemm = new CountingGemm();
        PreparedGemms products = new PreparedGemms(gemm);
        Random random = new Random(3);
        List<GemmShape> shapes = new ArrayList<>();
        for (int i = 0; i < 1000; i++) {
            shapes.add(new GemmShape(1 + random.nextInt(8), 1 + random.nextInt(8), 1 + random.nextInt(8),
                    random.nextInt(8)));
        }
        shapes.forEach(s -> products.prepare(s.m(), s.n(), s.k(), s.form()));
        assertThat(gemm.prepared).doesNotHaveDuplicates().hasSameElementsAs(shapes);
        for (GemmShape s : shapes) {
            assertThat(products.get(s.m(), s.n(), s.k(), s.form())).isSameAs(gemm.products.get(s));
        }
    }

    @Test
    void aProductThatWasNotInTheDryRunIsNamed() {
        PreparedGemms products = new PreparedGemms(new CountingGemm());
        products.prepare(2, 3, 4, 0);
        assertThatThrownBy(() -> products.get(2, 4, 3, 0)).isInstanceOf(IllegalStateException.class)
                .hasMessageStartingWith("the product 2x4x3 NN f32 to f32").hasMessageEndingWith("was not in the program's"
                        + " dry run");
    }

    @Test
    void aSideBeyondAnIntIsASentence() {
        assertThat(new GemmShape(1, Integer.MAX_VALUE, 1, 0).n()).isEqualTo(Integer.MAX_VALUE);
        assertThatThrownBy(() -> new GemmShape(1L << 31, 2, 3, 0)).isInstanceOf(MegabyteException.class)
                .hasMessage("a matrix product of [2147483648, 3] and [3, 2] is not possible; each side has to be from 1 to"
                        + " 2147483647, use a smaller --batch or --seq-len");
    }

    @Test
    void theFormSaysTypesAndAlignmentsBeforeThereIsMemory() {
        MemoryPlan plan = new MemoryPlan();
        Tensor all = plan.tensor(MemoryPlan.Category.PARAMETERS, "p", DType.BF16, 10_000);
        Tensor sums = plan.tensor(MemoryPlan.Category.GRADIENTS, "g", DType.F32, 10_000);
        int form = GemmShape.form(true, false, all.part(1, 3, 5), all.part(8, 3, 7), sums.part(6, 5, 7),
                sums.part(64, 5, 7), null);
        GemmShape shape = new GemmShape(5, 7, 3, form);
        assertThat(shape).hasToString("5x7x3 TN bf16 to f32, aligned 2 16 8 256 0");
        assertThat(shape.operands()).isEqualTo(DType.BF16);
        assertThat(shape.result()).isEqualTo(DType.F32);
        assertThat(shape.hasAddend()).isTrue();
        assertThat(shape.hasBias()).isFalse();
        assertThat(shape.alignmentOfBias()).isZero();
        assertThatThrownBy(() -> GemmShape.form(false, false, all, sums, null, sums, null))
                .isInstanceOf(IllegalArgumentException.class).hasMessageStartingWith("there is no product of BF16[10000]");
        assertThatThrownBy(() -> GemmShape.form(false, false, sums, sums, null, all, null))
                .isInstanceOf(IllegalArgumentException.class);
    }
}

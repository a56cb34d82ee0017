package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.megabyte4j.backend.AttentionBias.ALIBI;
import static org.megabyte4j.backend.AttentionBias.NONE;
import static org.megabyte4j.tensor.DType.BF16;
import static org.megabyte4j.tensor.DType.F32;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.MemoryPlan.Category;
import org.megabyte4j.tensor.ShapeException;
import org.megabyte4j.tensor.Tensor;

/** Launches of attention over long sequences, as arithmetic. */
class PatchAttentionPlanTest {
    private static final int H200 = 132;

    @Test
    void aMillionPatchesAndBeyondTwoToTheThirtyOneElements() {
        for (DType dtype : new DType[] {F32, BF16}) {
            AttentionShape shape = new AttentionShape(4, 1 << 20, 16, 1, 64);
            assertThat(shape.rows() * shape.packedWidth()).isGreaterThan(1L << 32);
            PatchAttentionPlan plan = PatchAttentionPlan.of(shape, NONE, dtype, H200);
            assertThat(plan.forward().blocksOfQueries(shape, plan.group()))
                    .isEqualTo(4L * (16 << 20) / plan.forward().rows());
            assertThat(plan.backwardKey().blocksOfKeys(shape)).isEqualTo(4L * (1 << 20) / plan.backwardKey().rows());
            assertThat(plan.sharing()).isEqualTo(1);
            assertThat(plan.chunk()).isEqualTo((16L << 20) / plan.backwardKey().passing());
            assertThat(plan.backwardWorkspaceBytes()).isEqualTo(4 * shape.rows() * 16);
        }
        AttentionShape largest = new AttentionShape(1, Integer.MAX_VALUE - 4096, 16, 1, 64);
        PatchAttentionPlan plan = PatchAttentionPlan.of(largest, NONE, BF16, H200);
        assertThat(plan.forward().blocksOfQueries(largest, plan.group()))
                .isEqualTo(Math.ceilDiv(largest.length() * 16, 128L));
        assertThat(plan.backwardWorkspaceBytes()).isEqualTo(Math.ceilDiv(largest.length() * 16, 64L) * 64 * 4);
    }

    @Test
    void workspaceDoesNotGrowWithTheSquareOfTheLength() {
        for (long batch : new long[] {1, 32}) {
            for (long length = 64; length < 1 << 22; length *= 2) {
                AttentionShape shape = new AttentionShape(batch, length, 16, 1, 64);
                long bytes = PatchAttentionPlan.of(shape, NONE, BF16, H200).backwardWorkspaceBytes();
                assertThat(bytes).isLessThanOrEqualTo(4 * shape.rows() * (16 + 64 * 128));
                if (length >= 1 << 16) {
                    assertThat(bytes).isEqualTo(4 * shape.rows() * 16);
                }
            }
        }
    }

    /** The benchmark preset's global layers: without sharing, half of the GPU would wait for the first keys' blocks. */
    @Test
    void blocksShareTheRowsOfFewKeys() {
        AttentionShape shape = new AttentionShape(32, 256, 16, 1, 64);
        PatchAttentionPlan plan = PatchAttentionPlan.of(shape, NONE, BF16, H200);
        assertThat(plan.chunk()).isEqualTo(13);     // of 64 stages after the first 128 keys, and 32 after the others
        assertThat(plan.sharing()).isEqualTo(5);
        assertThat(plan.backwardWorkspaceBytes()).isEqualTo(4L * shape.rows() * (16 + 5 * 128));
    }

    /** A million bytes, 16 heads: a head a tile. Over 256 positions nearly all is seen, and heads share tiles. */
    @Test
    void headsOfLongSequencesGoSeparateWays() {
        PatchAttentionPlan far = PatchAttentionPlan.of(new AttentionShape(1, 1 << 17, 16, 1, 64), ALIBI, BF16, H200);
        assertThat(far.reachLimited()).isTrue();
        assertThat(far.group()).isEqualTo(1);
        assertThat(far.forwardWorkspaceBytes()).isEqualTo(4 * (16 + (1 << 17) / 256 * 17));
        assertThat(far.reachAt()).isEqualTo((1L << 17) * 16);
        PatchAttentionPlan near = PatchAttentionPlan.of(new AttentionShape(1, 256, 16, 1, 64), ALIBI, BF16, H200);
        assertThat(near.reachLimited()).isFalse();
        assertThat(near.group()).isEqualTo(16);
        assertThat(near.forwardWorkspaceBytes()).isZero();
        PatchAttentionPlan even = PatchAttentionPlan.of(new AttentionShape(1, 1 << 17, 16, 1, 64), NONE, BF16, H200);
        assertThat(even.reachLimited()).isFalse();
        assertThat(even.group()).isEqualTo(16);
    }

    @Test
    void everyStageBelongsToOneBlock() {
        for (int length = 1; length < 1000; length += 37) {
            for (int heads : new int[] {1, 3, 16}) {
                AttentionShape shape = new AttentionShape(2, length, heads, 1, 24);
                PatchAttentionPlan plan = PatchAttentionPlan.of(shape, NONE, BF16, H200);
                long stages = Math.ceilDiv(length, plan.backwardKey().passing()) * (long) heads;
                assertThat(plan.chunk() * plan.sharing()).isGreaterThanOrEqualTo(stages);
                assertThat(plan.chunk() * (plan.sharing() - 1)).isLessThan(stages);
            }
        }
    }

    @Test
    void whatHasNoKernelIsRefusedWithAllReasons() {
        assertThatThrownBy(() -> PatchAttentionPlan.of(new AttentionShape(1, 100, 4, 1, 129), NONE, BF16, H200))
                .isInstanceOf(ShapeException.class)
                .hasMessage("attention over batch 1, length 100, 4 heads of size 129 is not possible on CUDA:"
                        + " heads have at most 128 elements there. Choose more heads or a smaller batch, or use"
                        + " --device cpu");
        AttentionShape tooLarge = new AttentionShape(500, 3_000_000_000L, 4, 1, 192);
        assertThatThrownBy(() -> PatchAttentionPlan.of(tooLarge, NONE, F32, H200))
                .isInstanceOf(ShapeException.class)
                .hasMessage("attention over batch 500, length 3000000000, 4 heads of size 192 is not possible on CUDA:"
                        + " heads have at most 128 elements there; sequences have at most 2147479551 positions there;"
                        + " that are more blocks than one launch has. Choose more heads or a smaller batch, or use"
                        + " --device cpu");
    }

    @Test
    void aDryRunRefusesWhatHasNoKernel() {
        AttentionShape shape = new AttentionShape(1, 100, 1, 1, 130);
        MemoryPlan plan = new MemoryPlan();
        Tensor qkv = plan.tensor(Category.ACTIVATIONS, "qkv", F32, shape.rows(), shape.packedWidth());
        Tensor out = plan.tensor(Category.ACTIVATIONS, "out", F32, shape.rows(), shape.width());
        Tensor logSumExp = plan.tensor(Category.ACTIVATIONS, "logSumExp", F32, 1, 1, shape.length());
        CudaBackend backend = TestDevice.backend();   // outside, or the test that is skipped without it fails
        assertThatThrownBy(() -> backend.plan(plan,
                dry -> dry.causalAttention(shape, qkv, ALIBI, out, logSumExp)))
                .isInstanceOf(ShapeException.class).hasMessageContaining("heads have at most 128 elements");
    }

    /** The numbers of {@code tuning.cuh}, found in its text. */
    @Test
    void theTilesAreThoseOfTheKernels() throws IOException {
        String source = Files.readString(Path.of("kernels/patch_attention/tuning.cuh"));
        for (int d : new int[] {16, 32, 64, 128}) {
            for (boolean wide : new boolean[] {false, d >= 64}) {
                List<Integer> forward = braces(source, (wide ? " wide_" : " ") + "forward_tile(int d)", d);
                assertThat(PatchAttentionTiles.forward(BF16, d, wide)).isEqualTo(new PatchAttentionTiles(
                        32 * forward.get(0), forward.get(1), forward.get(0) * forward.get(2), forward.get(3),
                        2 * d * (forward.get(0) * forward.get(2) + 2 * forward.get(4) * forward.get(3))));
            }
            List<Integer> query = braces(source, "backward_query_tile(int d)", d);
            int rows = query.get(0) * query.get(2);
            assertThat(PatchAttentionTiles.backwardQuery(BF16, d)).isEqualTo(new PatchAttentionTiles(32 * query.get(0),
                    query.get(1), rows, query.get(3), 2 * d * 2 * (rows + query.get(4) * query.get(3)) + 4 * rows));
            for (boolean wide : new boolean[] {false, d == 64}) {
                List<Integer> key = braces(source,
                        wide ? " wide_backward_key_tile(int)" : " backward_key_tile(int d)", d);
                int keys = key.get(0) * key.get(2);
                assertThat(PatchAttentionTiles.backwardKey(BF16, d, wide)).isEqualTo(new PatchAttentionTiles(
                        32 * key.get(0), key.get(1), keys, key.get(3), 2 * d * 2 * (keys + key.get(4) * key.get(3))
                                + key.get(4) * 4 * (2 * key.get(3) + 4)));
            }
            List<Integer> float32 = braces(source, "float32_tile(int d)", d);
            assertThat(PatchAttentionTiles.forward(F32, d, false).rows()).isEqualTo(16 * float32.get(0));
            assertThat(PatchAttentionTiles.forward(F32, d, false).passing()).isEqualTo(float32.get(1));
        }
    }

    /** The braces of a chain {@code d <= 32 ? Tile{..} : d <= 64 ? Tile{..} : Tile{..}} that d comes to. */
    private static List<Integer> braces(String source, String function, int d) {
        Matcher choice = Pattern.compile("(?:d <= (\\d+)\\s*\\? )?\\w+Tile\\{([^}]*)\\}")
                .matcher(source.substring(source.indexOf(function)));
        while (choice.find()) {
            if (choice.group(1) == null || d <= Integer.parseInt(choice.group(1))) {
                return Arrays.stream(choice.group(2).split(", ")).filter(text -> text.matches("\\d+"))
                        .map(Integer::valueOf).toList();
            }
        }
        throw new AssertionError("no tile for " + d + " in " + function);
    }
}

package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ShapeException;

/** Which kernel computes which patches. */
class LocalAttentionLaunchTest {
    @Test
    void theBenchmarksPatchesLieInRegisters() {
        AttentionShape shape = new AttentionShape(8192, 8, 4, 1, 64);
        assertThat(LocalAttentionLaunch.forward(shape, DType.BF16, true, false)).isEqualTo(
                new LocalAttentionLaunch("local_attention_forward_warp_8_64_bf16", 1, 2048, 128, 0));
        assertThat(LocalAttentionLaunch.backward(shape, DType.BF16, true, false)).isEqualTo(
                new LocalAttentionLaunch("local_attention_backward_warp_8_64_bf16", 1, 2048, 128, 0));
    }

    @Test
    void smallPatchesShareATile() {
        LocalAttentionLaunch launch = LocalAttentionLaunch.forward(new AttentionShape(100, 3, 4, 2, 32), DType.BF16,
                true, false);
        assertThat(launch.patchesPerTile()).isEqualTo(2);
        assertThat(launch.blocks()).isEqualTo(2 * 13);
    }

    @Test
    void longPatchesLieInSharedMemoryAndFloat32TakesTheCores() {
        AttentionShape shape = new AttentionShape(10, 33, 4, 1, 80);
        assertThat(LocalAttentionLaunch.forward(shape, DType.BF16, true, false).kernel())
                .isEqualTo("local_attention_forward_block_64_128_bf16");
        assertThat(LocalAttentionLaunch.forward(shape, DType.F32, true, false).kernel())
                .isEqualTo("local_attention_forward_cores_f32");
        assertThat(LocalAttentionLaunch.backward(shape, DType.BF16, false, false).kernel())
                .isEqualTo("local_attention_backward_cores_128_bf16");
        assertThat(LocalAttentionLaunch.backward(new AttentionShape(10, 16, 4, 1, 80), DType.BF16, true, false))
                .isEqualTo(new LocalAttentionLaunch("local_attention_backward_block_32_128_bf16", 2, 5, 64,
                        4 * 64 * 128 + 80 * 32));
    }

    @Test
    void theLargerTileHoldsTwiceAsMany() {
        AttentionShape shape = new AttentionShape(8192, 8, 4, 1, 64);
        assertThat(LocalAttentionLaunch.forward(shape, DType.BF16, true, true)).isEqualTo(
                new LocalAttentionLaunch("local_attention_forward_warp_16_64_bf16", 2, 1024, 128, 0));
        AttentionShape sixteen = new AttentionShape(8192, 16, 4, 1, 64);
        assertThat(LocalAttentionLaunch.backward(sixteen, DType.BF16, true, true).kernel())
                .isEqualTo("local_attention_backward_block_32_64_bf16");
        assertThat(LocalAttentionLaunch.hasLarger(new AttentionShape(8, 33, 4, 1, 64), DType.BF16)).isFalse();
        assertThat(LocalAttentionLaunch.hasLarger(new AttentionShape(8, 8, 4, 1, 63), DType.BF16)).isFalse();
        assertThat(LocalAttentionLaunch.hasLarger(shape, DType.F32)).isFalse();
    }

    /** 2^36 positions: 2^43 elements of queries, keys and values. */
    @Test
    void sizesBeyondThirtyTwoBits() {
        AttentionShape shape = new AttentionShape(1L << 33, 8, 4, 1, 64);
        assertThat(LocalAttentionLaunch.backward(shape, DType.BF16, true, false).blocks()).isEqualTo(1L << 31);
        assertThat(LocalAttentionLaunch.backward(shape, DType.F32, true, false).blocks()).isEqualTo(1L << 33);
    }

    @Test
    void everyKernelIsNamedAndNoneIsIdle() {
        Set<String> chosen = new HashSet<>();
        for (int length = 1; length <= LocalAttentionLaunch.LONGEST; length++) {
            for (int size = 1; size <= LocalAttentionLaunch.LONGEST_HEAD; size++) {
                AttentionShape shape = new AttentionShape(1, length, 1, 1, size);
                for (DType dtype : new DType[] {DType.F32, DType.BF16}) {
                    for (boolean vectors : new boolean[] {false, true}) {
                        chosen.add(LocalAttentionLaunch.forward(shape, dtype, vectors, false).kernel());
                        chosen.add(LocalAttentionLaunch.backward(shape, dtype, vectors, false).kernel());
                    }
                }
            }
        }
        assertThat(chosen).containsExactlyInAnyOrderElementsOf(LocalAttentionLaunch.kernels());
    }

    @Test
    void whatNoKernelComputesIsASentence() {
        AttentionShape shape = new AttentionShape(1, 8, 1, 1, 129);
        assertThatThrownBy(() -> LocalAttentionLaunch.forward(shape, DType.F32, true, false))
                .isInstanceOf(ShapeException.class)
                .hasMessage("attention over 8 positions with heads of size 129, of which 1 share a key/value head, is"
                        + " not possible on CUDA; at most 64 positions, size 128 and 255 heads are");
    }
}

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
        assertThat(LocalAttentionLaunch.forward(shape, DType.BF16, true)).isEqualTo(
                new LocalAttentionLaunch("local_attention_forward_warp_8_64_bf16", 1, 2048, 128, 0));
        assertThat(LocalAttentionLaunch.backward(shape, DType.BF16, true)).isEqualTo(
                new LocalAttentionLaunch("local_attention_backward_warp_8_64_bf16", 1, 2048, 128, 0));
    }

    @Test
    void smallPatchesShareATile() {
        LocalAttentionLaunch launch = LocalAttentionLaunch.forward(new AttentionShape(100, 3, 4, 2, 32), DType.BF16,
                true);
        assertThat(launch.patchesPerTile()).isEqualTo(2);
        assertThat(launch.blocks()).isEqualTo(2 * 13);
    }

    @Test
    void longPatchesLieInSharedMemoryAndFloat32TakesTheCores() {
        AttentionShape shape = new AttentionShape(10, 33, 4, 1, 80);
        assertThat(LocalAttentionLaunch.forward(shape, DType.BF16, true).kernel())
                .isEqualTo("local_attention_forward_block_64_128_bf16");
        assertThat(LocalAttentionLaunch.forward(shape, DType.F32, true).kernel())
                .isEqualTo("local_attention_forward_cores_f32");
        assertThat(LocalAttentionLaunch.backward(shape, DType.BF16, false).kernel())
                .isEqualTo("local_attention_backward_cores_128_bf16");
        assertThat(LocalAttentionLaunch.backward(new AttentionShape(10, 16, 4, 1, 80), DType.BF16, true))
                .isEqualTo(new LocalAttentionLaunch("local_attention_backward_block_32_128_bf16", 2, 5, 64,
                        4 * 64 * 128 + 80 * 32));
    }

    /** 2^36 positions: 2^43 elements of queries, keys and values. */
    @Test
    void sizesBeyondThirtyTwoBits() {
        AttentionShape shape = new AttentionShape(1L << 33, 8, 4, 1, 64);
        assertThat(LocalAttentionLaunch.backward(shape, DType.BF16, true).blocks()).isEqualTo(1L << 31);
        assertThat(LocalAttentionLaunch.backward(shape, DType.F32, true).blocks()).isEqualTo(1L << 33);
    }

    @Test
    void everyKernelIsNamedAndNoneIsIdle() {
        Set<String> chosen = new HashSet<>();
        for (int length = 1; length <= LocalAttentionLaunch.LONGEST; length++) {
            for (int size = 1; size <= LocalAttentionLaunch.LONGEST_HEAD; size++) {
                AttentionShape shape = new AttentionShape(1, length, 1, 1, size);
                for (DType dtype : new DType[] {DType.F32, DType.BF16}) {
                    for (boolean vectors : new boolean[] {false, true}) {
                        chosen.add(LocalAttentionLaunch.forward(shape, dtype, vectors).kernel());
                        chosen.add(LocalAttentionLaunch.backward(shape, dtype, vectors).kernel());
                    }
                }
            }
        }
        assertThat(chosen).containsExactlyInAnyOrderElementsOf(LocalAttentionLaunch.kernels());
    }

    @Test
    void whatNoKernelComputesIsASentence() {
        assertThatThrownBy(() -> LocalAttentionLaunch.forward(new AttentionShape(1, 8, 1, 1, 129), DType.F32, true))
                .isInstanceOf(ShapeException.class)
                .hasMessage("attention over 8 positions with heads of size 129, of which 1 share a key/value head, is"
                        + " not possible on CUDA; at most 64 positions, size 128 and 255 heads are");
    }
}

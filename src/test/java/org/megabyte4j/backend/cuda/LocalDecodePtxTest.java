package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

/** What the compiler has made of decoding in clusters. */
class LocalDecodePtxTest {
    private static String ptx(String target) throws IOException {
        try (InputStream in = CudaBackend.class.getResourceAsStream("ptx/" + target + "/local_decode.ptx")) {
            assumeTrue(in != null, "the kernels are not compiled; make kernels does it with nvcc");
            return new String(in.readAllBytes(), StandardCharsets.US_ASCII);
        }
    }

    @Test
    void blocksOfAClusterMeetInHardwareAndWeightsPassTheFirstLevelCache() throws IOException {
        assertThat(ptx("compute_90a")).contains("barrier.cluster.arrive.release").contains("barrier.cluster.wait.acquire")
                .contains("mapa.shared::cluster").contains("st.shared::cluster")
                .contains("ld.global.nc.L1::no_allocate.v4").contains("mma.sync.aligned.m16n8k16.row.col.f32.bf16")
                .doesNotContain(".local");
    }

    /** Where there are no clusters, a block is one. */
    @Test
    void olderGpusCanLoadIt() throws IOException {
        assertThat(ptx("compute_80")).contains("local_decode_bf16").doesNotContain("cluster.");
    }
}

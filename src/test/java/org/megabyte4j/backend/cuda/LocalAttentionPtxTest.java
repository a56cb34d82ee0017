package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** What the compiler has made of attention inside patches and with a cache. */
class LocalAttentionPtxTest {
    /** Entry points by name. */
    private static final Map<String, String> ENTRIES = new HashMap<>();

    @BeforeAll
    static void read() throws IOException {
        for (String file : new String[] {"local_attention", "cached_attention"}) {
            try (InputStream in = CudaBackend.class.getResourceAsStream("ptx/compute_80/" + file + ".ptx")) {
                assumeTrue(in != null, "the kernels are not compiled; make kernels does it with nvcc");
                String text = new String(in.readAllBytes(), StandardCharsets.US_ASCII);
                String[] parts = text.split("\\.visible \\.entry ");
                for (int i = 1; i < parts.length; i++) {
                    ENTRIES.put(parts[i].substring(0, parts[i].indexOf('(')), parts[i]);
                }
            }
        }
    }

    @Test
    void everyKernelThatJavaLaunchesIsThere() {
        assertThat(ENTRIES).containsKeys(LocalAttentionLaunch.kernels().toArray(String[]::new));
    }

    @Test
    void bf16RunsOnTensorCoresWithVectorAccesses() {
        ENTRIES.forEach((name, text) -> {
            if (name.contains("_cores_") || name.contains("combine")) {
                return;
            }
            assertThat(text).as(name).contains("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32")
                    .contains("st.global.v4.b32");
            if (name.contains("_block_")) {
                assertThat(text).as(name).contains("cp.async.cg.shared.global").contains("ldmatrix.sync");
            } else {
                assertThat(text).as(name).containsPattern("ld\\.global(\\.nc)?\\.v4").contains("movmatrix.sync")
                        .doesNotContain("ldmatrix.sync");
            }
        });
    }

    /** Arrays that are not in registers would be on a stack in local memory. */
    @Test
    void nothingLiesOnAStack() {
        ENTRIES.forEach((name, text) -> assertThat(text).as(name).doesNotContain(".local"));
    }
}

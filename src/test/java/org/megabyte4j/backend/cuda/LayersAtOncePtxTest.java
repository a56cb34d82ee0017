package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the compiler has made of layers at once. */
class LayersAtOncePtxTest {
    @ParameterizedTest
    @ValueSource(strings = {"feed_forward", "self_attention"})
    void everyWidthRunsOnTensorCoresWithAsynchronousCopies(String file) throws IOException {
        String text;
        try (InputStream in = CudaBackend.class.getResourceAsStream("ptx/compute_80/" + file + ".ptx")) {
            assumeTrue(in != null, "the kernels are not compiled; make kernels does it with nvcc");
            text = new String(in.readAllBytes(), StandardCharsets.US_ASCII);
        }
        assumeTrue(text.contains("mma.sync"), "the kernels are those of the simulated device");
        Matcher entry = Pattern.compile("\\.entry (\\w+_bf16)\\(.*?(?=\\.entry|\\z)", Pattern.DOTALL).matcher(text);
        int entries = 0;
        while (entry.find()) {
            entries++;
            assertThat(entry.group()).as(entry.group(1))
                    .contains("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32")
                    .contains("ldmatrix.sync.aligned.m8n8.x4.shared.b16")
                    .contains("cp.async.cg.shared.global").contains("cp.async.wait_group")
                    .doesNotContain(".local");
        }
        assertThat(entries).isEqualTo(6);
    }
}

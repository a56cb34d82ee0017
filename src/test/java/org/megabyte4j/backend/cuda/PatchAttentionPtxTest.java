package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** What nvcc and ptxas made of the attention over long sequences; skipped where they are not. */
class PatchAttentionPtxTest {
    private static final Path OUT = Path.of("native-build/out");
    private static final Path PTX = OUT.resolve("ptx/compute_80/patch_attention.ptx");
    private static final Path RESOURCES = OUT.resolve("kernel-resources.json");

    private static Map<String, String> entries() throws IOException {
        assumeTrue(Files.exists(PTX), "the kernels are not compiled; make kernels does that where nvcc is");
        String text = Files.readString(PTX, StandardCharsets.ISO_8859_1);
        Map<String, String> entries = new LinkedHashMap<>();
        Matcher entry = Pattern.compile("\\.entry (\\w+)\\(.*?(?=\\.entry|\\z)", Pattern.DOTALL).matcher(text);
        while (entry.find()) {
            entries.put(entry.group(1), entry.group());
        }
        return entries;
    }

    @Test
    void bf16RunsOnTensorCoresWithAsynchronousCopies() throws IOException {
        Map<String, String> entries = entries();
        for (String pass : new String[] {"forward_%d", "forward_%d_alibi", "backward_query_%d", "backward_key_%d"}) {
            for (int d : new int[] {16, 32, 64, 128}) {
                String name = "patch_attention_" + pass.formatted(d) + "_bf16";
                assertThat(entries).containsKey(name);
                assertThat(entries.get(name)).as(name)
                        .contains("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32")
                        .contains("ldmatrix.sync.aligned.m8n8.x4.shared.b16")
                        .contains("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16")
                        .contains("cp.async.cg.shared.global").contains("cp.async.wait_group");
            }
        }
    }

    @Test
    void nothingLiesInLocalMemory() throws IOException {
        entries().forEach((name, text) -> assertThat(text).as(name).doesNotContain(".local"));
    }

    @Test
    void ptxasSpillsNothing() throws IOException {
        assumeTrue(Files.exists(RESOURCES), "the kernels are not compiled; make kernels does that where nvcc is");
        assertThat(Files.readAllLines(RESOURCES)).filteredOn(line -> line.contains("\"patch_attention\"")).isNotEmpty()
                .allSatisfy(line -> assertThat(line).contains("\"spilledBytes\": 0, \"stackBytes\": 0"));
    }
}

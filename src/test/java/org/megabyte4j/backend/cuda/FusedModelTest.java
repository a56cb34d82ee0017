package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.Fusion;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Recomputation;
import org.megabyte4j.model.RunnableGraph;
import org.megabyte4j.model.TestModels;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;

/** A whole model in bf16 whose local layers are computed at once, and the same step by step. */
class FusedModelTest {
    /** Local layers of width 128, heads of 64; nothing is fused for global ones of 20, nor attention over 5 bytes. */
    private static MegabyteConfig config(Variant variant, int patchSize) {
        return new MegabyteConfig(variant, 29, patchSize, 20 / patchSize, 128, 60, 1, 2, 2, 2, 0.02, 27, 28);
    }

    /** Both may be as far from double precision as bf16 makes it; which of them is farther is chance. */
    @ParameterizedTest
    @CsvSource({"MEGABYTE, 4", "IN_ACTION, 4", "IN_ACTION, 5"})
    void gradientsAreThoseOfDoublePrecision(Variant variant, int patchSize) {
        CudaBackend backend = TestDevice.backend();
        MegabyteConfig config = config(variant, patchSize);
        assertThat(backend.fusion().feedForward(DType.BF16, 128, 512).isThere()).isTrue();
        Map<String, float[]> fused = step(backend, config, Recomputation.NONE, backend.fusion());
        Map<String, float[]> unfused = step(backend, config, Recomputation.NONE, Fusion.NONE);
        assertThat(fused.get("loss")).isNotEqualTo(unfused.get("loss"));
        try (ReferenceBackend reference = new ReferenceBackend()) {
            List<String> farther = new ArrayList<>();
            step(reference, config, Recomputation.NONE, Fusion.NONE).forEach((name, values) -> {
                double error = Comparison.relativeError(fused.get(name), values);
                double usual = Comparison.relativeError(unfused.get(name), values);
                if (!(error <= 1.5 * usual + 1e-3)) {
                    farther.add(name + " is off by " + error + ", step by step by " + usual);
                }
            });
            assertThat(farther).isEmpty();
        }
    }

    /** 29 patches of 45: the last chunk is of another size. Sums over rows have another order. */
    @Test
    void chunksOfTheLocalModelGiveTheSame() {
        CudaBackend backend = TestDevice.backend();
        MegabyteConfig config = config(Variant.IN_ACTION, 4);
        Map<String, float[]> whole = step(backend, config, Recomputation.NONE, backend.fusion());
        Map<String, float[]> chunks = step(backend, config,
                new Recomputation(Recomputation.Stacks.LOCAL, false, 29), backend.fusion());
        whole.forEach((name, values) -> assertThat(Comparison.relativeError(chunks.get(name), values)).as(name)
                .isLessThan(1e-4));
    }

    /** The loss, and each parameter's gradient. */
    private static Map<String, float[]> step(Backend backend, MegabyteConfig config, Recomputation recomputation,
            Fusion fusion) {
        try (Parameters parameters = TestModels.random(config, DType.BF16, backend, 1);
                RunnableGraph graph = RunnableGraph.training(backend, parameters, 3, 60, recomputation, fusion)) {
            Map<String, float[]> results = new LinkedHashMap<>();
            results.put("loss", new float[] {graph.step(TestModels.ids(3 * 60, config.vocabularySize(), 3))});
            float[] gradients = backend.readFloats(graph.graph.gradients());
            for (ParameterLayout.Entry entry : parameters.layout().entries()) {
                results.put(entry.name(), Arrays.copyOfRange(gradients, (int) entry.offset(),
                        (int) (entry.offset() + entry.elements())));
            }
            return results;
        }
    }
}

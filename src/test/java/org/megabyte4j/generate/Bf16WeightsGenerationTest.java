package org.megabyte4j.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Bf16;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.ForwardingBackend;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.TestModels;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;

/** Generation in float32 that reads its matrices in bf16. */
class Bf16WeightsGenerationTest {
    private static final int PATCH = 3;

    private static MegabyteConfig config(Variant variant) {
        return new MegabyteConfig(variant, 29, PATCH, 16, 40, 40 * PATCH, 3, 4, 2, 4, 0.02, 27, 28);
    }

    /** Prompts within a patch, of whole patches, and of more than a block of prefill has. */
    private static List<int[]> prompts() {
        return IntStream.of(0, 2, 3, 10, 20 * PATCH + 1).mapToObj(n -> TestModels.ids(n, 27, n)).toList();
    }

    private static void round(Parameters parameters, Backend backend) {
        for (ParameterLayout.Entry entry : parameters.layout().entries()) {
            if (entry.decayed()) {    // the matrices of Linear layers
                float[] values = backend.readFloats(parameters.get(entry.name()));
                for (int i = 0; i < values.length; i++) {
                    values[i] = Bf16.value(Bf16.bits(values[i]));
                }
                backend.write(parameters.get(entry.name()), values);
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void everyBitIsThatOfFloat32WithRoundedMatrices(Variant variant) {
        GenerationRequest request = new GenerationRequest(prompts(), 4 * PATCH, SamplingOptions.random(1), false, true);
        try (CpuBackend backend = CpuBackend.open(2);
                Parameters parameters = TestModels.random(config(variant), backend, 2);
                Parameters rounded = TestModels.random(config(variant), backend, 2)) {
            round(rounded, backend);
            for (int batch : new int[] {1, 5}) {
                try (Generator expected = Generator.forRequest(request, backend, rounded, batch, Alignment.ALIGNED);
                        Generator generator = Generator.forRequest(request, backend, parameters, batch,
                                Alignment.ALIGNED, DType.BF16)) {
                    SameBits.check("batch of " + batch, generator.generate(request), expected.generate(request));
                }
            }
        }
    }

    @Test
    void changedWeightsCount() {
        GenerationRequest request = new GenerationRequest(prompts(), 4, SamplingOptions.greedy(), false, true);
        try (CpuBackend backend = CpuBackend.open(1);
                Parameters parameters = TestModels.random(config(Variant.IN_ACTION), backend, 2);
                Generator generator = Generator.forRequest(request, backend, parameters, 5, Alignment.ALIGNED,
                        DType.BF16)) {
            List<Generated> before = generator.generate(request);
            round(parameters, backend);
            SameBits.check("already rounded", generator.generate(request), before);
            backend.write(parameters.get("to_logits.weight"), new float[29 * 40]);
            assertThat(generator.generate(request).getFirst().scores())
                    .isNotEqualTo(before.getFirst().scores());
        }
    }

    /** Logits of a text, each byte known to the model before the next. */
    private static float[] logits(Backend backend, Variant variant, DType weights) {
        int[] ids = TestModels.ids(19 * PATCH + 1, 27, 8);
        int prompt = 18 * PATCH;
        int vocabulary = config(variant).vocabularySize();
        float[] all = new float[(ids.length - prompt) * vocabulary];
        try (Parameters parameters = TestModels.random(config(variant), backend, 2);
                Predictor predictor = new AlignedPredictor(backend, parameters, 1, ids.length, weights)) {
            for (int t = prompt; t < ids.length; t++) {
                Sequence sequence = new Sequence(0, Arrays.copyOf(ids, t), 1);
                predictor.start(List.of(sequence), SamplingOptions.greedy());
                do {
                    predictor.step();
                } while (predictor.position(0) < t);
                System.arraycopy(predictor.logits(0), 0, all, (t - prompt) * vocabulary, vocabulary);
            }
        }
        return all;
    }

    /** As docs/numerics.md says: close to double precision with these matrices, to float32 within twice their cost. */
    @ParameterizedTest
    @EnumSource
    void logitsAreOffByWhatRoundingTheMatricesCosts(Variant variant) {
        try (Backend exact = new ReferenceBackend();
                Backend rounding = ReferenceBackend.plainBf16();
                Backend cpu = CpuBackend.open(2)) {
            float[] expected = logits(rounding, variant, DType.BF16);
            double cost = Comparison.relativeError(expected, logits(exact, variant, DType.F32));
            float[] actual = logits(cpu, variant, DType.BF16);
            assertThat(cost).isBetween(1e-3, 8e-3);
            assertThat(Comparison.relativeError(actual, expected)).isLessThan(2e-6);
            assertThat(Comparison.relativeError(actual, logits(cpu, variant, DType.F32))).isLessThan(2 * cost);
        }
    }

    @Test
    void aDeviceThatCannotIsNamed() {
        try (Backend plain = new ForwardingBackend(new ReferenceBackend()) {
            @Override
            public boolean supports(DType dtype, DType weights) {
                return dtype == weights;
            }
        }; Parameters parameters = TestModels.random(config(Variant.IN_ACTION), plain, 2)) {
            assertThatThrownBy(() -> new Generator(plain, parameters, 1, 9, Alignment.ALIGNED, DType.BF16))
                    .isInstanceOf(MegabyteException.class)
                    .hasMessage("the device reference cannot read weights in bf16 for a model that computes in float32;"
                            + " use --weights float32, or --dtype bf16");
        }
    }
}

package org.megabyte4j.model;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Fusion;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.backend.Support;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** The hand-written backward passes against central differences, all in double precision. */
class MegabyteGradientTest {
    private static final double STEP = 1e-6;

    @ParameterizedTest
    @CsvSource({"MEGABYTE, 3, 2, 4", "IN_ACTION, 3, 2, 4", "MEGABYTE, 1, 1, 3", "IN_ACTION, 1, 2, 3",
            "MEGABYTE, 4, 1, 1", "IN_ACTION, 5, 1, 1"})
    void gradientsMatchFiniteDifferences(Variant variant, int patchSize, int batch, int patches) {
        gradientsMatchFiniteDifferences(TestModels.config(variant, patchSize), DType.F32, batch, patches);
    }

    /** The reference holds bf16 in double precision too, so that only the way through the tensors is another one. */
    @ParameterizedTest
    @EnumSource
    void gradientsMatchWithACopyOfTheWeightsToComputeWith(Variant variant) {
        gradientsMatchFiniteDifferences(TestModels.config(variant, 3), DType.BF16, 2, 4);
    }

    /** Layers at once keep less and compute it again. */
    @ParameterizedTest
    @EnumSource
    void gradientsMatchWithLayersAtOnce(Variant variant) {
        Fusion everything = new Fusion() {
            @Override
            public Support feedForward(DType dtype, long dim, long hidden) {
                return Support.YES;
            }

            @Override
            public Support selfAttention(DType dtype, long dim, AttentionShape shape) {
                return Support.YES;
            }
        };
        gradientsMatchFiniteDifferences(TestModels.config(variant, 3), DType.F32, 2, 4, Recomputation.NONE, everything);
        gradientsMatchFiniteDifferences(TestModels.config(variant, 3), DType.F32, 2, 4,
                new Recomputation(Recomputation.Stacks.ALL, true, 3), everything);
    }

    private static void gradientsMatchFiniteDifferences(MegabyteConfig config, DType dtype, int batch, int patches) {
        gradientsMatchFiniteDifferences(config, dtype, batch, patches, Recomputation.NONE, Fusion.NONE);
    }

    private static void gradientsMatchFiniteDifferences(MegabyteConfig config, DType dtype, int batch, int patches,
            Recomputation recomputation, Fusion fusion) {
        int length = patches * config.patchSize();
        int[] ids = TestModels.ids(batch * length, config.vocabularySize(), 3);
        ids[0] = config.padId();
        try (ReferenceBackend backend = new ReferenceBackend();
                Parameters parameters = TestModels.random(config, dtype, backend, 1);
                RunnableGraph training = RunnableGraph.training(backend, parameters, batch, length, recomputation,
                        fusion)) {
            training.step(ids);
            double[] gradients = backend.readDoubles(training.graph.gradients());
            Random random = new Random(7);
            for (ParameterLayout.Entry entry : parameters.layout().entries()) {
                Tensor parameter = parameters.get(entry.name());
                // Along one random direction a mistake in any element shows.
                double[] start = backend.readDoubles(parameter);
                double[] direction = random.doubles(start.length, -1, 1).toArray();
                double expected = (lossAt(1, start, direction, parameter, parameters, training, backend)
                        - lossAt(-1, start, direction, parameter, parameters, training, backend)) / (2 * STEP);
                double actual = 0;
                double norm = 0;
                for (int i = 0; i < start.length; i++) {
                    backend.set(parameter, i, start[i]);
                    double gradient = gradients[(int) entry.offset() + i];
                    actual += gradient * direction[i];
                    norm += gradient * gradient;
                }
                double tolerance = 1e-6 * (1e-2 + Math.sqrt(norm * start.length));
                assertThat(actual).as(entry.name()).isCloseTo(expected, org.assertj.core.data.Offset.offset(tolerance));
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void gradientsMatchWhereLocalHeadsAreNarrowerThanTheModel(Variant variant) {
        gradientsMatchFiniteDifferences(TestModels.narrowHeads(variant), DType.F32, 2, 2);
    }

    private static double lossAt(int sign, double[] start, double[] direction, Tensor parameter, Parameters parameters,
            RunnableGraph training, ReferenceBackend backend) {
        for (int i = 0; i < start.length; i++) {
            backend.set(parameter, i, start[i] + sign * STEP * direction[i]);
        }
        parameters.refresh(backend);
        training.ops.fill(training.graph.loss(), 0);
        training.graph.forward(training.ops);
        training.graph.loss(training.ops);
        return backend.readDoubles(training.graph.loss())[0];
    }
}

package org.megabyte4j.backend.cuda;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.RecomputationTest;
import org.megabyte4j.model.TestModels;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;

/**
 * Recomputation through the kernels. Rows do not depend on each other and parameters' gradients are added up in
 * float32, so that bf16 is as close as float32.
 */
class RecomputationOnDeviceTest {
    @ParameterizedTest
    @CsvSource({"MEGABYTE, F32", "MEGABYTE, BF16", "IN_ACTION, F32", "IN_ACTION, BF16"})
    void theGradientsAreThoseOfTheGraphThatKeepsEverything(Variant variant, DType dtype) {
        Backend backend = TestDevice.backend();
        try (Parameters parameters = TestModels.random(TestModels.config(variant, 3), dtype, backend, 1)) {
            RecomputationTest.compare(backend, parameters, RecomputationTest.choices()
                    .filter(choice -> choice.chunk() == null || choice.chunk() == 1 || choice.chunk() == 5));
        }
    }
}

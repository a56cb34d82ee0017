package org.megabyte4j.backend.cuda;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.megabyte4j.tensor.DType;

/** A training run on the CUDA backend against the original's; a minute of work for the simulated device. */
class GoldenCurveTest {
    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16"})
    void theTrainingCurveIsTheOriginals(DType dtype) {
        GoldenTest.allPass(GoldenTest.verify("curve-adamw", dtype));
    }
}

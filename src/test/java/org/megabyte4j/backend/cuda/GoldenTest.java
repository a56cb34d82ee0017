package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.SharedData;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.verify.Check;
import org.megabyte4j.verify.Verifier;

/**
 * The CUDA backend, its kernels, optimisers and generation against what the original computed. Training is in
 * {@link GoldenCurveTest}.
 */
class GoldenTest {
    static List<Check> verify(String name, DType dtype) {
        CudaBackend backend = TestDevice.backend();
        return new Verifier(backend, dtype, null, notice -> { }).verify(SharedData.golden(name));
    }

    static void allPass(List<Check> checks) {
        assertThat(checks).isNotEmpty()
                .allSatisfy(check -> assertThat(check.passed()).as(check.toString()).isTrue());
    }

    @ParameterizedTest
    @ValueSource(strings = {"megabyte-basic", "megabyte-one-patch", "megabyte-padding", "megabyte-patch-size-1",
        "megabyte-three-layers", "megabyte-head-64", "megabyte-generation", "megabyte_in_action-basic",
        "megabyte_in_action-one-patch", "megabyte_in_action-padding", "megabyte_in_action-patch-size-1",
        "megabyte_in_action-three-layers", "megabyte_in_action-head-64", "megabyte_in_action-generation",
        "optimizer-adafactor", "optimizer-adamw", "optimizer-anyprecision", "optimizer-anyprecision-kahan-bf16"})
    void float32MeetsTheGoldenData(String name) {
        allPass(verify(name, DType.F32));
    }

    @ParameterizedTest
    @ValueSource(strings = {"megabyte-basic", "megabyte-padding", "megabyte-patch-size-1", "megabyte-head-64",
        "megabyte_in_action-one-patch", "megabyte_in_action-three-layers", "megabyte_in_action-head-64",
        "megabyte_in_action-generation"})
    void bf16MeetsTheGoldenDataAsFarAsItsPrecisionAllows(String name) {
        allPass(verify(name, DType.BF16));
    }
}

package org.megabyte4j.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.Fusion;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;

class ParametersTest {
    private static final MegabyteConfig CONFIG = TestModels.config(Variant.IN_ACTION, 3);

    @Test
    void bf16TakesHalfAsMuchAgainAndFloat32NothingMore() {
        Parameters float32 = new Parameters(CONFIG);
        Parameters bf16 = new Parameters(CONFIG, DType.BF16);
        assertThat(float32.computeCopy()).isNull();
        assertThat(float32.computeArena()).isSameAs(float32.arena());
        assertThat(bf16.arena().dtype()).isEqualTo(DType.F32);
        assertThat(bf16.computeArena()).isSameAs(bf16.computeCopy());
        long elements = bf16.layout().elements();
        assertThat(float32.plan().bytes(MemoryPlan.Category.PARAMETERS)).isEqualTo(4 * elements);
        assertThat(bf16.plan().bytes(MemoryPlan.Category.PARAMETERS))
                .isBetween(6 * elements, 6 * elements + MemoryPlan.ALIGNMENT);
    }

    @Test
    void fourBytesOfAnActivationBecomeTwo() {
        assertThat(activations(DType.BF16)).isBetween(activations(DType.F32) / 2, activations(DType.F32) * 3 / 5);
        assertThat(gradients(DType.BF16)).isEqualTo(gradients(DType.F32));
    }

    private static long activations(DType dtype) {
        return trainingPlan(dtype).bytes(MemoryPlan.Category.ACTIVATIONS);
    }

    private static long gradients(DType dtype) {
        return trainingPlan(dtype).bytes(MemoryPlan.Category.GRADIENTS);
    }

    private static MemoryPlan trainingPlan(DType dtype) {
        MemoryPlan plan = new MemoryPlan();
        Megabyte.forTraining(new Parameters(CONFIG, dtype), 64, 36, plan, Fusion.NONE);
        return plan;
    }

    @Test
    void theComputeCopyIsTheWeightsRoundedAfterEveryWayToSetThem() {
        try (ReferenceBackend backend = ReferenceBackend.plainBf16();
                Parameters parameters = Parameters.initialized(CONFIG, DType.BF16, backend, 5)) {
            float[] weights = backend.readFloats(parameters.arena());
            assertThat(weights).isNotEqualTo(rounded(weights));
            assertThat(backend.readFloats(parameters.computeCopy())).isEqualTo(rounded(weights));
            backend.write(parameters.get("to_logits.bias"), new float[29]);
            parameters.refresh(backend);
            assertThat(backend.readFloats(parameters.computeCopy()))
                    .isEqualTo(rounded(backend.readFloats(parameters.arena())));
        }
    }

    /** To nearest even; of numbers that are finite. */
    private static float[] rounded(float[] values) {
        float[] result = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            int bits = Float.floatToRawIntBits(values[i]);
            result[i] = Float.intBitsToFloat(bits + 0x7fff + (bits >>> 16 & 1) & 0xffff0000);
        }
        return result;
    }

    @Test
    void aTypeThatCannotBeComputedInIsRefused() {
        try (CpuBackend cpu = CpuBackend.open(1); Parameters parameters = new Parameters(CONFIG, DType.BF16)) {
            assertThatThrownBy(() -> parameters.allocate(cpu)).isInstanceOf(MegabyteException.class)
                    .hasMessage("the device cpu cannot compute in bf16; use --dtype float32, or --device cuda");
        }
        assertThatThrownBy(() -> new Parameters(CONFIG, DType.F16)).isInstanceOf(IllegalArgumentException.class)
                .hasMessage("a model computes in F32 or BF16, not in F16");
    }

    @Test
    void theChecksumTellsWeightsApart() {
        try (CpuBackend backend = CpuBackend.open(1);
                Parameters one = TestModels.random(TestModels.config(Variant.IN_ACTION, 3), backend, 1);
                Parameters same = TestModels.random(TestModels.config(Variant.IN_ACTION, 3), DType.F32, backend, 1);
                Parameters other = TestModels.random(TestModels.config(Variant.IN_ACTION, 3), backend, 2)) {
            assertThat(one.checksum(backend)).matches("[0-9a-f]{8}").isEqualTo(same.checksum(backend))
                    .isNotEqualTo(other.checksum(backend));
            float[] bias = backend.readFloats(one.get("to_logits.bias"));
            bias[28] = Math.nextUp(bias[28]);
            backend.write(one.get("to_logits.bias"), bias);
            assertThat(one.checksum(backend)).isNotEqualTo(same.checksum(backend));
        }
    }
}

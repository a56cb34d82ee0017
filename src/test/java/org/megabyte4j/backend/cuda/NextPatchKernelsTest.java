package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import java.util.Random;
import java.util.function.Consumer;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.PatchInput;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** On the GPU, on the CPU and by hand. */
class NextPatchKernelsTest {
    private static Function<Tensors, Consumer<Ops>> work(int batch, int patch, boolean seesPrevious) {
        return t -> {
            Tensor results = t.ids(99, patch, 2, batch);
            PatchInput input = new PatchInput(t.ids(99, batch, patch), t.ids(99, batch, patch),
                    t.ints(new Random(batch).ints(batch, 0, 5).toArray()), t.ids(99, patch, batch),
                    t.ids(99, patch, batch), t.ids(99, batch));
            t.changed("earlier", input.earlier());
            t.changed("bytePositions", input.bytePositions());
            t.changed("past", input.past());
            t.changed("forced", input.forced());
            t.changed("positions", input.positions());
            t.changed("previous", input.previous());
            t.changed("results", results);
            return ops -> ops.nextPatch(results, 3, seesPrevious, input);
        };
    }

    @ParameterizedTest
    @CsvSource({"1, 1, true", "3, 8, true", "128, 2, false", "129, 5, true"})
    void allDevicesGoOnAlike(int batch, int patch, boolean seesPrevious) {
        var work = work(batch, patch, seesPrevious);
        Map<String, float[]> expected = Comparison.expected(DType.F32, work);
        Comparison.sameBits(TestDevice.backend(), expected, KernelComparison.run(DType.F32, work));
        try (CpuBackend cpu = CpuBackend.open(1)) {
            Comparison.sameBits(cpu, expected, Comparison.run(cpu, work));
        }
    }

    /** Two sequences, patches of 2; the second has no room. */
    @Test
    void whatWasChosenIsSeenNext() {
        Map<String, float[]> results = KernelComparison.run(DType.F32, t -> {
            PatchInput input = new PatchInput(t.ints(1, 2, 3, 4).view(2, 2), t.ints(6, 7, 8, 9).view(2, 2),
                    t.ints(3, 4), t.ints(50, 51, 52, 53).view(2, 2), t.ints(6, 8, 7, 9).view(2, 2), t.ints(2, 4));
            t.changed("earlier", input.earlier());
            t.changed("bytePositions", input.bytePositions());
            t.changed("past", input.past());
            t.changed("forced", input.forced());
            t.changed("positions", input.positions());
            t.changed("previous", input.previous());
            Tensor chosen = t.ints(10, 20, 0, 0, 11, 21, 0, 0).view(2, 2, 2);
            return ops -> ops.nextPatch(chosen, 4, true, input);
        });
        assertThat(results.get("earlier")).containsExactly(10, 11, 3, 4);
        assertThat(results.get("bytePositions")).containsExactly(8, 9, 8, 9);
        assertThat(results.get("past")).containsExactly(4, 4);
        assertThat(results.get("forced")).containsExactly(-1, 51, -1, 53);
        assertThat(results.get("positions")).containsExactly(8, 8, 9, 9);
        assertThat(results.get("previous")).containsExactly(11, 4);
    }
}

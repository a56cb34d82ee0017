package org.megabyte4j.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

class SafeTensorsWriterTest {
    /** A little more than is fetched from a device at a time. */
    private static final int ELEMENTS = (4 << 20) / Float.BYTES + 3;

    @TempDir
    private Path folder;

    @Test
    void aTensorOfADeviceIsFetchedInPiecesOfAnySize() {
        float[] values = new float[ELEMENTS];
        for (int i = 0; i < ELEMENTS; i++) {
            values[i] = i % 256;    // BF16 has them all
        }
        Path path = folder.resolve("x");
        try (Backend backend = CpuBackend.open(1); MemoryPlan plan = new MemoryPlan()) {
            Tensor tensor = plan.tensor(MemoryPlan.Category.CACHE, "x", DType.F32, ELEMENTS);
            backend.allocate(plan);
            backend.write(tensor, values);
            TensorSource source = TensorSource.of("x", tensor, backend);
            for (DType dtype : List.of(DType.F32, DType.BF16)) {
                new SafeTensorsWriter(List.of(source.as(dtype)), Map.of()).write(path);
                try (var file = SafeTensorsFile.open(path)) {
                    assertThat(file.floats("x")).isEqualTo(values);
                }
            }
        }
    }
}

package org.megabyte4j.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.backend.cuda.Blas;
import org.megabyte4j.backend.cuda.CudaUnavailableException;
import org.megabyte4j.backend.cuda.Tuning;

class DevicesTest {
    private final List<String> warnings = new ArrayList<>();
    private final List<Integer> asked = new ArrayList<>();
    private final List<Blas> libraries = new ArrayList<>();

    @Test
    void autoTakesTheGpuWhereThereIsOne() {
        assertThat(open("auto", null, true)).isEqualTo("reference");
        assertThat(asked).containsExactly(-1);
        assertThat(warnings).isEmpty();
    }

    @Test
    void autoSaysWhyAGpuThatIsThereIsNotUsed() {
        assertThat(open("auto", "NVIDIA's driver is too old", true)).isEqualTo("cpu");
        assertThat(warnings).containsExactly(
                "computing on the CPU, because the GPU cannot be used: NVIDIA's driver is too old");
    }

    @Test
    void autoIsSilentWithoutAnyGpu() {
        assertThat(open("auto", "NVIDIA's driver cannot be loaded", false)).isEqualTo("cpu");
        assertThat(warnings).isEmpty();
    }

    @Test
    void theCpuIsTakenWithoutALookAtGpus() {
        assertThat(open("CPU", null, true)).isEqualTo("cpu");
        assertThat(asked).isEmpty();
    }

    @Test
    void aGpuThatIsAskedForIsNeverReplaced() {
        assertThat(open("cuda", null, true)).isEqualTo("reference");
        assertThat(open("cuda:3", null, true)).isEqualTo("reference");
        assertThat(asked).containsExactly(-1, 3);
        assertThatThrownBy(() -> open("cuda", "no driver", false)).isInstanceOf(CudaUnavailableException.class)
                .hasMessage("no driver");
        assertThat(warnings).isEmpty();
    }

    @Test
    void autoNeverMeansTheSimulatedDevice() {
        assertThat(open("simulated", null, true)).isEqualTo("reference");
        assertThat(asked).containsExactly(-2);
        asked.clear();
        open("auto", "no driver", true);
        assertThat(asked).doesNotContain(-2);
    }

    @Test
    void everyGpuGetsTheLibraryThatIsAskedFor() {
        for (String device : List.of("auto", "cuda", "cuda:1", "simulated")) {
            open(device, null, true);
        }
        assertThat(libraries).containsExactly(Blas.JCUBLAS, Blas.JCUBLAS, Blas.JCUBLAS, Blas.JCUBLAS);
    }

    @Test
    void onlyNamesOfDevicesAreNames() {
        assertThat(List.of("auto", "cpu", "CUDA", "cuda:0", "cuda:12", "simulated")).allMatch(Devices::isName);
        assertThat(List.of("", "gpu", "cuda:", "cuda:-1", "cuda:a", "cuda1", "cuda:99999")).noneMatch(Devices::isName);
    }

    private String open(String device, String failure, boolean present) {
        Devices devices = new Devices(new Devices.Gpus() {
            @Override
            public Backend open(int ordinal, Blas blas, Tuning tuning) {
                libraries.add(blas);
                asked.add(ordinal);
                if (failure != null) {
                    throw new CudaUnavailableException(failure);
                }
                return new ReferenceBackend();
            }

            @Override
            public Backend openSimulated(Blas blas) {
                libraries.add(blas);
                asked.add(-2);
                return new ReferenceBackend();
            }

            @Override
            public boolean arePresent() {
                return present;
            }
        });
        try (Backend backend = devices.open(device, Blas.JCUBLAS, Tuning.OFF, () -> 1, warnings::add)) {
            return backend.name();
        }
    }
}

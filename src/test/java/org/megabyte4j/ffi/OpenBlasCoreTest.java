package org.megabyte4j.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class OpenBlasCoreTest {
    private static String cpuInfo(String vendor, int family, String flags) {
        String processor = "processor\t: 0\nvendor_id\t: " + vendor + "\ncpu family\t: " + family
                + "\nmodel\t\t: 17\nmodel name\t: A processor\nflags\t\t: " + flags + "\nbogomips\t: 5192.28\n\n";
        return processor + processor.replace("processor\t: 0", "processor\t: 1");
    }

    @Test
    void zen4IsAmdsFamily25WithAvx512() {
        assertThat(OpenBlasCore.isZen4(cpuInfo("AuthenticAMD", 25, "fpu avx2 avx512f avx512dq"))).isTrue();
        assertThat(OpenBlasCore.isZen4(cpuInfo("AuthenticAMD", 25, "fpu avx2"))).isFalse();
        assertThat(OpenBlasCore.isZen4(cpuInfo("AuthenticAMD", 26, "fpu avx2 avx512f"))).isFalse();
        assertThat(OpenBlasCore.isZen4(cpuInfo("GenuineIntel", 25, "fpu avx2 avx512f"))).isFalse();
        assertThat(OpenBlasCore.isZen4("")).isFalse();
    }

    @Test
    void openBlasTakesTheKernelsThatItIsTold() throws Exception {
        Path cpuInfo = Path.of("/proc/cpuinfo");
        assumeThat(cpuInfo).exists();
        assumeThat(OpenBlasCore.isZen4(Files.readString(cpuInfo))).isTrue();
        assumeThat(System.getenv("OPENBLAS_CORETYPE")).isNull();
        assertThat(OpenBlas.open().core()).isEqualTo("Haswell");
    }
}

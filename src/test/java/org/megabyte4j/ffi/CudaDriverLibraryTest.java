package org.megabyte4j.ffi;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

class CudaDriverLibraryTest {
    @Test
    @EnabledOnOs(OS.LINUX)
    void aMachineWithoutADriverIsToldWhatToInstall() {
        assertThatThrownBy(() -> CudaDriverLibrary.open(List.of("libcuda-of-nobody.so.1")))
                .isInstanceOf(MissingLibraryException.class)
                .hasMessage("NVIDIA's driver cannot be loaded; libcuda-of-nobody.so.1: cannot open shared object file: No"
                        + " such file or directory; install the driver of your GPU from nvidia.com or your Linux"
                        + " distribution, or use --device cpu");
    }
}

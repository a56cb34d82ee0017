package org.megabyte4j.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.megabyte4j.MegabyteException;

/** What a user reads where cuBLASLt is not there, or fails. */
class CublasLtTest {
    @Test
    @EnabledOnOs(OS.LINUX)
    void missingLibrariesAreListedWithTheLoadersWordsAndTheWayOut(@TempDir Path folder) throws Exception {
        String text = Files.writeString(folder.resolve("libcublasLt.so.12"), "not a library").toString();
        assertThatThrownBy(() -> CublasLt.open(List.of("libcublasLt-nowhere.so.13", text)))
                .isInstanceOf(MissingLibraryException.class)
                .hasMessage("cuBLASLt cannot be loaded; libcublasLt-nowhere.so.13: cannot open shared object file: No such"
                        + " file or directory; " + text + ": file too short; install cuBLAS of CUDA 12 or 13 and put"
                        + " its folder on LD_LIBRARY_PATH");
    }

    @Test
    @EnabledOnOs(OS.LINUX)
    void aMissingCublasForJcublasIsASentence() {
        assertThatThrownBy(() -> CublasLibrary.require(List.of("libcublas-nowhere.so.12")))
                .isInstanceOf(MissingLibraryException.class)
                .hasMessage("cuBLAS for JCublas cannot be loaded; libcublas-nowhere.so.12: cannot open shared object file:"
                        + " No such file or directory; install cuBLAS of CUDA 12 and put its folder on LD_LIBRARY_PATH");
    }

    @Test
    void anotherLibraryIsNotTakenForIt() {
        String other = OpenBlas.open().location();
        assumeTrue(Files.exists(Path.of(other)), "OpenBLAS is the system's");
        assertThatThrownBy(() -> CublasLt.open(List.of(other))).isInstanceOf(MissingLibraryException.class)
                .hasMessageStartingWith("cuBLASLt cannot be loaded; " + other + ": " + other
                        + " has no function cublasLtGetVersion; it is not the library that was expected; install");
    }

    @Test
    void everyStatusIsASentenceWithItsName() {
        int[] known = {1, 3, 7, 8, 11, 13, 14, 15, 16};
        for (int code : known) {
            assertThat(new CublasException("cuBLASLt", "cublasLtMatmul", code)).isInstanceOf(MegabyteException.class)
                    .message().matches("cuBLASLt's cublasLtMatmul failed with code " + code
                            + ", CUBLAS_STATUS_[A-Z_]+: [a-z].+");
        }
        assertThat(new CublasException("cuBLAS", "cublasGemmEx", 15)).hasMessage("cuBLAS's cublasGemmEx failed with code"
                + " 15, CUBLAS_STATUS_NOT_SUPPORTED: the library does not offer this product; try another provider with"
                + " --blas, and report this as a bug");
        assertThat(new CublasException("cuBLASLt", "cublasLtMatmul", 99)).hasMessage("cuBLASLt's cublasLtMatmul failed"
                + " with code 99, a code that the header does not know: this should not happen; report it as a bug, with"
                + " the version of the library");
    }
}

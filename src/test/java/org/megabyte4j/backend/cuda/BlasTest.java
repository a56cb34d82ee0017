package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.cpu.ChildJvm;

/** Which library computes products, and what is said where one is missing. Each in a process of its own. */
class BlasTest {
    private static final String NO_CUBLASLT = "cuBLASLt cannot be loaded; libcublasLt.so.13: cannot open shared object file:"
            + " No such file or directory; libcublasLt.so.12: cannot open shared object file: No such file or directory;"
            + " install cuBLAS of CUDA 12 or 13 and put its folder on LD_LIBRARY_PATH";
    private static final String NO_CUBLAS = "cuBLAS for JCublas cannot be loaded; libcublas.so.12: cannot open shared object"
            + " file: No such file or directory; install cuBLAS of CUDA 12 and put its folder on LD_LIBRARY_PATH";

    @TempDir
    Path folder;

    /** Opens the simulated device as asked and prints what computes its products. */
    static final class Program {
        private Program() {
        }

        public static void main(String[] arguments) {
            try (CudaBackend backend = CudaBackend.openSimulated(Blas.of(arguments[0]))) {
                System.out.println(backend.kernels().products().description());
            } catch (MegabyteException e) {
                System.out.println(e.getMessage());
            }
        }
    }

    @BeforeEach
    void built() {
        Simulator.load();
    }

    private String with(String blas, String... missing) throws IOException, InterruptedException {
        try (Stream<Path> libraries = Files.list(SimulatedDevice.folder())) {
            for (Path library : libraries.filter(Files::isRegularFile).toList()) {
                if (!List.of(missing).contains(library.getFileName().toString())) {
                    Files.createSymbolicLink(folder.resolve(library.getFileName()), library);
                }
            }
        }
        ChildJvm child = ChildJvm.run(List.of("-Dmegabyte4j.simulator=" + folder), path -> true, Program.class, blas);
        assertThat(child.exit()).as(child.errors()).isZero();
        return String.join("\n", child.output());
    }

    @Test
    void autoTakesTheNewestCublasLt() throws Exception {
        assertThat(with("auto")).isEqualTo("cuBLASLt 13.1.1");
    }

    @Test
    void autoTakesTheOlderCublasLtWhereThereIsNoOther() throws Exception {
        assertThat(with("auto", "libcublasLt.so.13")).isEqualTo("cuBLASLt 12.6.4");
    }

    @Test
    void autoTakesJcublasWithoutCublasLtAndSaysWhy() throws Exception {
        assertThat(with("auto", "libcublasLt.so.13", "libcublasLt.so.12")).isEqualTo("cuBLAS 12.6.4 through JCublas ("
                + NO_CUBLASLT + ")");
    }

    @Test
    void autoWithoutEitherHasTheReasonsOfBoth() throws Exception {
        assertThat(with("auto", "libcublasLt.so.13", "libcublasLt.so.12", "libcublas.so.12")).isEqualTo("no library for"
                + " matrix products works here: " + NO_CUBLASLT + ". " + NO_CUBLAS);
    }

    @Test
    void whatIsAskedForIsTaken() throws Exception {
        assertThat(with("jcublas")).isEqualTo("cuBLAS 12.6.4 through JCublas");
    }

    @Test
    void whatIsAskedForAndMissingIsASentence() throws Exception {
        assertThat(with("cublaslt", "libcublasLt.so.13", "libcublasLt.so.12")).isEqualTo(NO_CUBLASLT);
    }

    @Test
    void jcublasWithoutCublasIsASentence() throws Exception {
        assertThat(with("jcublas", "libcublas.so.12")).isEqualTo(NO_CUBLAS);
    }

    @Test
    void namesAreTakenInWhateverCase() {
        assertThat(Blas.of("CublasLT")).isEqualTo(Blas.CUBLASLT);
        assertThat(Blas.NAMES).extracting(Blas::of).containsExactly(Blas.values());
    }
}

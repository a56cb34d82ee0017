package org.megabyte4j.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.megabyte4j.ffi.OpenBlas;

/** What is missing is said, with the way to get it, and everything runs all the same. */
class FallbackTest {
    @Test
    void withoutTheVectorModulePlainLoopsRun() throws Exception {
        ChildJvm child = ChildJvm.run(List.of(), path -> true, EveryOperation.class, "2");
        assertThat(child.errors()).contains("the module jdk.incubator.vector is absent, so plain loops run instead of"
                + " vector instructions; start Java with --add-modules jdk.incubator.vector");
        try (CpuBackend same = CpuBackend.open(2, new PlainKernels(), new OpenBlasGemm(OpenBlas.open()))) {
            assertThat(child.output()).as(child.errors()).isEqualTo(DeterminismTest.lines(same));
        }
        assertThat(child.exit()).isZero();
    }

    @Test
    void withoutOpenBlasProductsRunInJava() throws Exception {
        ChildJvm child = ChildJvm.run(List.of("--add-modules=jdk.incubator.vector"), path -> !path.contains("openblas"),
                EveryOperation.class, "2");
        assumeFalse(child.output().getFirst().contains("OpenBLAS"), "the system has an OpenBLAS of its own");
        assertThat(child.errors()).contains("matrix products run in Java, which is slow: OpenBLAS cannot be loaded;"
                + " libopenblas.so.0: ").containsPattern("; add the artifact org.bytedeco:openblas with the classifier"
                + " [a-z0-9_-]+ to the class path, or install OpenBLAS\n").doesNotContain("\tat ");
        Kernels kernels = new VectorKernels();
        try (CpuBackend same = CpuBackend.open(2, kernels, new JavaGemm(kernels))) {
            assertThat(child.output()).as(child.errors()).isEqualTo(DeterminismTest.lines(same));
        }
        assertThat(child.exit()).isZero();
    }
}

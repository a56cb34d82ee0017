package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.megabyte4j.ffi.CublasLt;
import org.megabyte4j.ffi.CublasLtMatmul;
import org.megabyte4j.ffi.CublasLtMatmul.Algorithm;
import org.megabyte4j.ffi.CublasLtMatmul.Operand;
import org.megabyte4j.ffi.CublasLtMatmul.Type;

/** The fastest of what the library offers is taken, once measured it stays, and nothing is offered that could vary. */
class AlgorithmChoiceTest {
    private static final long WORKSPACE = 1 << 20;
    private static final GemmShape SHAPE = new GemmShape(8, 16, 32, 0);

    /** F32 throughout, all operands at multiples of 256 bytes, no addend, no bias. */
    private static final int ALIGNED = 9 << 4 | 9 << 8 | 9 << 16;

    private final List<String> warnings = new ArrayList<>();
    private final List<List<Integer>> measured = new ArrayList<>();
    private CudaBackend backend;
    private CublasLt library;
    private CublasLtMatmul product;

    @TempDir
    Path folder;

    @BeforeEach
    void open() {
        backend = Simulator.open();
        library = CublasLt.open();
        product = new CublasLtMatmul(library, false, false, new Operand(Type.F32, 16, 32, 256),
                new Operand(Type.F32, 32, 8, 256), new Operand(Type.F32, 16, 8, 256), 256, 0);
    }

    @AfterEach
    void close() {
        if (backend != null) {
            product.close();
            library.close();
            backend.close();
        }
    }

    private AlgorithmChoice measuring(double... seconds) {
        return AlgorithmChoice.measured((shape, timed, candidates, workspaceBytes) -> {
            measured.add(candidates.stream().map(Algorithm::id).toList());
            return seconds;
        }, cache());
    }

    private int chosen(AlgorithmChoice choice) {
        Algorithm known = choice.known(SHAPE, product, WORKSPACE);
        return (known == null ? choice.measure(SHAPE, product, WORKSPACE) : known).id();
    }

    private TuningCache cache() {
        return new TuningCache(folder.resolve("algorithms.json"), "a machine", false, warnings::add);
    }

    @Test
    void nothingIsOfferedWhoseBitsCouldDiffer() {
        assertThat(product.algorithms(8, WORKSPACE)).extracting(Algorithm::id).containsExactly(66, 21, 22);
        assertThat(product.algorithms(8, 0)).extracting(Algorithm::id).containsExactly(66, 21);
        assertThat(product.algorithms(2, WORKSPACE)).extracting(Algorithm::id).containsExactly(66, 21);
    }

    @Test
    void badlyAlignedOperandsGetOtherAlgorithms() {
        for (int which = 0; which < 5; which++) {
            int[] alignments = {16, 16, 16, 16, 16};
            alignments[which] = 4;
            try (CublasLtMatmul odd = new CublasLtMatmul(library, false, false,
                    new Operand(Type.F32, 16, 32, alignments[0]), new Operand(Type.F32, 32, 8, alignments[1]),
                    new Operand(Type.F32, 16, 8, alignments[2]), alignments[3], alignments[4])) {
                assertThat(odd.algorithms(8, WORKSPACE)).extracting(Algorithm::id).containsExactly(21, 22);
            }
        }
    }

    @Test
    void theFastestIsTakenAndNoted() {
        assertThat(chosen(measuring(3e-6, 2e-6, 1e-6))).isEqualTo(22);
        assertThat(measured).containsExactly(List.of(66, 21, 22));
        assertThat(chosen(measuring(1e-6, 2e-6, 3e-6))).as("as was noted").isEqualTo(22);
        assertThat(measured).as("not measured again").hasSize(1);
        assertThat(warnings).isEmpty();
    }

    @Test
    void theLibrarysFirstStaysUnlessAnotherIsClearlyFaster() {
        assertThat(chosen(measuring(1e-6, 0.99e-6, 0.985e-6))).isEqualTo(66);
    }

    @Test
    void whatDoesNotRunIsNotTaken() {
        double never = Double.POSITIVE_INFINITY;
        assertThat(chosen(measuring(never, 2e-6, 3e-6))).isEqualTo(21);
    }

    @Test
    void withoutMemoryToMeasureTheFirstIsTakenAndNothingNoted() {
        assertThat(chosen(measuring())).isEqualTo(66);
        assertThat(cache().find(SHAPE)).isNull();
    }

    @Test
    void anAlgorithmThatTheLibraryNoLongerOffersIsMeasuredAgain() {
        cache().note(SHAPE, "0000000000000043", 1e-6);
        assertThat(chosen(measuring(2e-6, 1e-6, 3e-6))).isEqualTo(21);
        assertThat(measured).hasSize(1);
        assertThat(cache().find(SHAPE)).startsWith(String.format("%016x ",
                product.algorithms(2, WORKSPACE).getLast().words()[0]));
    }

    @Test
    void timesAreMeasuredOnTheDeviceAndGiveTheirMemoryBack() {
        GemmShape shape = new GemmShape(8, 16, 32, ALIGNED);
        long free = backend.context().freeMemory();
        DeviceTimer timer = new DeviceTimer(backend.context());
        double[] seconds = timer.time(shape, product, product.algorithms(8, WORKSPACE), WORKSPACE);
        assertThat(seconds).hasSize(3);
        assertThat(Arrays.stream(seconds)).allMatch(s -> s > 0 && s < 1);
        assertThat(backend.context().freeMemory()).isEqualTo(free);
    }

    @Test
    void onlyProductsOfProgramsThatGetMemoryAreMeasuredAndOnlyOnce() {
        GemmShape aligned = new GemmShape(8, 16, 32, ALIGNED);
        for (int process = 0; process < 2; process++) {
            Gemm gemm = new CublasLtGemm(backend.context(), CublasLt.open(), AlgorithmChoice.measured(
                    new DeviceTimer(backend.context()), cache()));
            Simulator.resetCalls();
            gemm.prepare(aligned);
            assertThat(Simulator.calls("cublasLtMatmul")).as("a dry run measures nothing").isZero();
            gemm.decide();
            if (process == 0) {
                assertThat(Simulator.calls("cublasLtMatmul")).isPositive();
                assertThat(cache().find(aligned)).isNotNull();
            } else {
                assertThat(Simulator.calls("cublasLtMatmul")).as("the file says it").isZero();
            }
            gemm.close();
        }
    }

    @Test
    void aProductTooLargeToMeasureIsNotMeasured() {
        GemmShape shape = new GemmShape(Integer.MAX_VALUE, 1, Integer.MAX_VALUE, ALIGNED);
        assertThat(new DeviceTimer(backend.context()).time(shape, product, product.algorithms(8, WORKSPACE), WORKSPACE))
                .isEmpty();
    }
}

package org.megabyte4j.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.data.CorpusSource;
import org.megabyte4j.data.DataException;
import org.megabyte4j.data.EvaluationWindows;
import org.megabyte4j.data.TrainingData;
import org.megabyte4j.model.ConfigException;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.RunnableGraph;
import org.megabyte4j.model.TestModels;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.MemoryPlan;

class EvaluatorTest {
    private static final int PATCH = 3;
    private static final int LENGTH = 12;

    @TempDir
    private Path folder;

    /** Three documents, so that ids between documents are among the targets, and pieces of odd lengths. */
    @BeforeEach
    void writeData() throws IOException {
        for (int i = 0; i < 3; i++) {
            Files.write(folder.resolve("text" + i), TestRun.text(17 + i, i));
        }
    }

    private TrainingData open() {
        CorpusSource source = new CorpusSource(Stream.of("text0", "text1", "text2").map(folder::resolve).toList(),
                List.of());
        return TrainingData.split(source, 0.6, 4, folder.resolve("cache"), 258, bytes -> { });
    }

    private static MegabyteConfig config(Variant variant) {
        return new MegabyteConfig(variant, 260, PATCH, 6, 10, LENGTH, 2, 2, 2, 2, 0.02, 257, 258);
    }

    private static Evaluator.Result evaluate(Backend backend, Parameters parameters, TrainingData data, int batch) {
        try (MemoryPlan plan = new MemoryPlan()) {
            Evaluator evaluator = new Evaluator(parameters, batch, LENGTH, backend, plan);
            backend.allocate(plan);
            return evaluator.evaluate(EvaluationWindows.blocks(data.validation(), batch, LENGTH, 257));
        }
    }

    /**
     * The mean over all targets, each piece of text predicted alone: the lengths of the pieces are those of the
     * held-out share, and behind their ends stands anything but padding.
     */
    private static double mean(MegabyteConfig config, TrainingData data, int[] pieces) {
        double sum = 0;
        int at = 0;
        try (ReferenceBackend exact = new ReferenceBackend();
                Parameters parameters = TestModels.random(config, exact, 1);
                RunnableGraph graph = RunnableGraph.evaluation(exact, parameters, 1, LENGTH)) {
            for (int piece : pieces) {
                for (int start = 0; start < piece; start += LENGTH) {
                    int[] ids = new int[LENGTH];
                    Arrays.fill(ids, 7);
                    int count = Math.min(LENGTH, piece - start);
                    data.validation().read(at + start, ids, 0, count);
                    float[] logits = graph.logits(ids);
                    for (int t = 0; t < count; t++) {
                        double exponentials = 0;
                        for (int id = 0; id < config.vocabularySize(); id++) {
                            exponentials += Math.exp(logits[t * config.vocabularySize() + id]);
                        }
                        sum += Math.log(exponentials) - logits[t * config.vocabularySize() + ids[t]];
                    }
                }
                at += piece;
            }
        }
        assertThat((long) at).isEqualTo(data.validation().length());
        return sum / at;
    }

    @ParameterizedTest
    @EnumSource
    void theLossOfAWholeSplitIsTheMeanOverItsTargetsAtAnyBatchSize(Variant variant) {
        MegabyteConfig config = config(variant);
        try (TrainingData data = open();
                CpuBackend backend = CpuBackend.open(2);
                Parameters parameters = TestModels.random(config, backend, 1)) {
            int[] all = new int[(int) (data.validation().length())];
            data.validation().read(0, all, 0, all.length);
            assertThat(all).as("an id between documents").contains(258);
            double expected = mean(config, data, pieces(data));
            long held = backend.heldBytes();
            for (int batch : new int[] {1, 2, 3, 5, 64}) {
                Evaluator.Result result = evaluate(backend, parameters, data, batch);
                assertThat(result.loss()).as("batch %d", batch).isCloseTo(expected, within(2e-6 * expected));
                assertThat(result.bitsPerByte()).isEqualTo(result.loss() / Math.log(2));
                assertThat(result.targets()).isEqualTo(all.length);
                assertThat(backend.heldBytes()).isEqualTo(held);
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void overlappingWindowsGiveTheMeanOverPositionsInConstantMemory(Variant variant) {
        MegabyteConfig config = config(variant);
        try (TrainingData data = open();
                CpuBackend backend = CpuBackend.open(2);
                Parameters parameters = TestModels.random(config, backend, 1)) {
            for (int stride : new int[] {PATCH, 3 * PATCH, LENGTH}) {
                double expected = slidingMean(config, data, pieces(data), stride);
                for (int batch : new int[] {1, 3}) {
                    try (MemoryPlan plan = new MemoryPlan()) {
                        Evaluator evaluator = Evaluator.sliding(parameters, batch, LENGTH, stride, null, backend, plan);
                        backend.allocate(plan);
                        long held = backend.heldBytes();
                        Evaluator.Result result = evaluator.evaluate(
                                EvaluationWindows.sliding(data.validation(), batch, LENGTH, stride, 257), 1000, done -> {
                            assertThat(backend.heldBytes()).isEqualTo(held);
                            return true;
                        }).orElseThrow();
                        assertThat(result.targets()).isEqualTo(data.validation().length());
                        assertThat(result.loss()).as("stride %d, batch %d", stride, batch)
                                .isCloseTo(expected, within(2e-6 * expected));
                    }
                }
            }
        }
    }

    /** Position by position: each in the first window of its piece that reaches it. */
    private static double slidingMean(MegabyteConfig config, TrainingData data, int[] pieces, int stride) {
        double sum = 0;
        int at = 0;
        try (ReferenceBackend exact = new ReferenceBackend();
                Parameters parameters = TestModels.random(config, exact, 1);
                RunnableGraph graph = RunnableGraph.evaluation(exact, parameters, 1, LENGTH)) {
            for (int piece : pieces) {
                for (int t = 0; t < piece; t++) {
                    int start = t < LENGTH ? 0 : Math.ceilDiv(t - LENGTH + 1, stride) * stride;
                    int[] ids = new int[LENGTH];
                    data.validation().read(at + start, ids, 0, Math.min(LENGTH, piece - start));
                    float[] logits = graph.logits(ids);
                    double exponentials = 0;
                    int row = (t - start) * config.vocabularySize();
                    for (int id = 0; id < config.vocabularySize(); id++) {
                        exponentials += Math.exp(logits[row + id]);
                    }
                    sum += Math.log(exponentials) - logits[row + ids[t - start]];
                }
                at += piece;
            }
        }
        return sum / at;
    }

    @Test
    void windowsThatDoNotSuitTheEvaluatorAreRefused() {
        try (TrainingData data = open();
                Backend backend = CpuBackend.open(1);
                Parameters parameters = TestModels.random(config(Variant.IN_ACTION), backend, 1);
                MemoryPlan plan = new MemoryPlan()) {
            Evaluator blocks = new Evaluator(parameters, 1, LENGTH, backend, plan);
            backend.allocate(plan);
            assertThatThrownBy(() -> blocks.evaluate(EvaluationWindows.sliding(data.validation(), 1, LENGTH, PATCH, 257)))
                    .hasMessage("windows that overlap need an evaluator made by Evaluator.sliding");
            assertThatThrownBy(() -> Evaluator.sliding(parameters, 1, LENGTH, PATCH + 1, null, backend, new MemoryPlan()))
                    .isInstanceOf(ConfigException.class)
                    .hasMessage("stride 4 is not a multiple of the patch size 3; use 6");
            assertThatThrownBy(() -> EvaluationWindows.sliding(data.validation(), 1, LENGTH, LENGTH + PATCH, 257))
                    .isInstanceOf(DataException.class)
                    .hasMessage("a stride of 15 is not possible with windows of 12 bytes; use 1 to 12");
        }
    }

    /** How the split's Javadoc divides: four pieces of equal length, 60 % of each held out at its end. */
    private static int[] pieces(TrainingData data) {
        long length = data.train().length() + data.validation().length();
        int[] pieces = new int[4];
        long start = 0;
        for (int i = 0; i < 4; i++) {
            long size = (length - start) / (4 - i);
            pieces[i] = (int) Math.round(size * 0.6);
            start += size;
        }
        return pieces;
    }

    @Test
    void someOfTheBatchesAreSpreadOverTheData() {
        MegabyteConfig config = config(Variant.IN_ACTION);
        try (TrainingData data = open();
                Backend backend = CpuBackend.open(1);
                Parameters parameters = TestModels.random(config, backend, 1);
                MemoryPlan plan = new MemoryPlan()) {
            EvaluationWindows blocks = EvaluationWindows.blocks(data.validation(), 1, LENGTH, 257);
            Evaluator evaluator = new Evaluator(parameters, 1, LENGTH, backend, plan);
            backend.allocate(plan);
            Evaluator.Result whole = evaluator.evaluate(blocks);
            assertThat(evaluator.evaluate(blocks, blocks.batches() + 5, done -> true)).contains(whole);
            Evaluator.Result two = evaluator.evaluate(blocks, 2, done -> true).orElseThrow();
            int[] ids = new int[LENGTH];
            long targets = blocks.fill(0, ids, ids) + blocks.fill(blocks.batches() / 2, ids, ids);
            assertThat(two.targets()).isEqualTo(targets);
            assertThat(two.loss()).isNotEqualTo(whole.loss());
            assertThat(evaluator.evaluate(blocks, 5, done -> done < 3)).isEmpty();
        }
    }

    @Test
    void moreThanAnArrayHoldsIsRefused() {
        MegabyteConfig config = config(Variant.IN_ACTION).withMaxLength(null);
        try (Parameters parameters = new Parameters(config); Backend backend = CpuBackend.open(1)) {
            assertThatThrownBy(() -> new Evaluator(parameters, 3, 900_000_000, backend, new MemoryPlan()))
                    .isInstanceOf(TrainException.class).hasMessage("--batch 3 of 900000000 bytes each is more than the"
                            + " 2147483647 bytes that an evaluation takes at once; use less");
        }
    }

    /** The chunks of an evaluation leave its result as it is, and its local memory does not grow with the length. */
    @Test
    void chunksOfAnyLengthTakeTheMemoryOfOne() {
        MegabyteConfig config = config(Variant.IN_ACTION).withMaxLength(null);
        long[] logits = new long[2];
        try (Parameters parameters = new Parameters(config); Backend backend = CpuBackend.open(1)) {
            for (int i = 0; i < 2; i++) {
                MemoryPlan plan = new MemoryPlan();
                new Evaluator(parameters, 1, PATCH * (1 + i) * 50_000, 100, backend, plan);
                logits[i] = plan.regions().stream().filter(region -> region.name().equals("logits"))
                        .mapToLong(region -> region.bytes()).sum();
            }
        }
        assertThat(logits).containsOnly(4L * 100 * PATCH * config.vocabularySize());
    }

    @Test
    void lengthsThatDoNotSuitTheModelAreRefused() {
        try (Parameters parameters = new Parameters(config(Variant.MEGABYTE)); Backend backend = CpuBackend.open(1)) {
            for (int length : new int[] {0, PATCH + 1, LENGTH + PATCH}) {
                MemoryPlan plan = new MemoryPlan();
                assertThatThrownBy(() -> new Evaluator(parameters, 1, length, backend, plan))
                        .isInstanceOf(ConfigException.class);
            }
        }
    }
}

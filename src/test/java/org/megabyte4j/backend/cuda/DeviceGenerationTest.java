package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.generate.Alignment;
import org.megabyte4j.generate.Generated;
import org.megabyte4j.generate.Generation;
import org.megabyte4j.generate.GenerationRequest;
import org.megabyte4j.generate.GenerationState;
import org.megabyte4j.generate.Generator;
import org.megabyte4j.generate.IdListener;
import org.megabyte4j.generate.SameBits;
import org.megabyte4j.generate.SamplingOptions;
import org.megabyte4j.generate.Score;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.MegabyteDecoder;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.TestModels;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;

/** Generation that stays on the device for a patch. */
class DeviceGenerationTest {
    private static final int PATCH = 4;
    private static final SamplingOptions RANDOM = SamplingOptions.random(11).withTemperature(1.3);

    private static GenerationRequest request(SamplingOptions sampling, int newIds) {
        List<int[]> prompts = new ArrayList<>();
        for (int length : new int[] {0, 3, 5, 9, 1}) {
            prompts.add(new Random(length).ints(length, 0, 20).toArray());
        }
        return new GenerationRequest(prompts, newIds, sampling, true, true);
    }

    private static List<Generated> generate(Backend backend, Variant variant, DType dtype, GenerationRequest request) {
        return generate(backend, TestModels.config(variant, PATCH), dtype, request);
    }

    private static List<Generated> generate(Backend backend, MegabyteConfig config, DType dtype,
            GenerationRequest request) {
        try (Parameters parameters = TestModels.random(config, dtype, backend, 3);
                Generator generator = new Generator(backend, parameters, 3, request.length())) {
            List<Generated> first = generator.generate(request);
            // The first patch runs as it is, the second is recorded, the others are replayed; now all of them are.
            assertThat(generator.generate(request)).usingRecursiveComparison().isEqualTo(first);
            return first;
        }
    }

    /** Logits differ in their last bits, which no draw here is near enough to see. */
    @ParameterizedTest
    @EnumSource
    void aSeedGivesTheSameTextAsOnTheCpu(Variant variant) {
        try (CpuBackend cpu = CpuBackend.open(1)) {
            for (SamplingOptions sampling : List.of(SamplingOptions.greedy(), RANDOM, RANDOM.withTopK(5),
                    RANDOM.withTopP(0.7).withRepetitionPenalty(1.5))) {
                GenerationRequest request = request(sampling, 30);
                List<Generated> expected = generate(cpu, variant, DType.F32, request);
                List<Generated> actual = generate(TestDevice.backend(), variant, DType.F32, request);
                for (int i = 0; i < expected.size(); i++) {
                    assertThat(actual.get(i).ids()).isEqualTo(expected.get(i).ids());
                    assertThat(actual.get(i).end()).isEqualTo(expected.get(i).end());
                }
                // Without scores the device works ahead, beyond the end of some sequences.
                List<Generated> ahead = generate(TestDevice.backend(), variant, DType.F32,
                        new GenerationRequest(request.prompts(), 30, sampling, true, false));
                for (int i = 0; i < expected.size(); i++) {
                    assertThat(ahead.get(i).ids()).isEqualTo(expected.get(i).ids());
                    assertThat(ahead.get(i).end()).isEqualTo(expected.get(i).end());
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void bf16GeneratesToo(Variant variant) {
        List<Generated> results = generate(TestDevice.backend(), variant, DType.BF16, request(RANDOM, 30));
        assertThat(results).allSatisfy(result -> assertThat(result.ids()).isNotEmpty());
    }

    /**
     * Other sequences and their lengths change no byte, nor does a break change a bit. Logits have the same bits, too,
     * but on the CPU only where no patch of the prompt went through matrix products of another number of rows.
     */
    @ParameterizedTest
    @EnumSource
    void aRaggedBatchIsWhatEachSequenceIsAlone(Variant variant, @TempDir Path folder) {
        try (CpuBackend cpu = CpuBackend.open(2)) {
            for (Backend backend : List.of(TestDevice.backend(), cpu)) {
                for (SamplingOptions sampling : List.of(SamplingOptions.greedy(), RANDOM)) {
                    raggedIsAlone(backend, variant, request(sampling, 11), folder.resolve("state"));
                }
                // Without scores the device is patches ahead of what is saved.
                raggedIsAlone(backend, variant, request(RANDOM, 23).withScores(false), folder.resolve("state"));
            }
        }
    }

    private static void raggedIsAlone(Backend backend, Variant variant, GenerationRequest request, Path file) {
        MegabyteConfig config = TestModels.config(variant, PATCH);
        try (Parameters parameters = TestModels.random(config, backend, 3);
                Generator together = Generator.forRequest(request, backend, parameters, 5, Alignment.ALIGNED);
                Generator single = new Generator(backend, parameters, 1, request.length())) {
            List<Generated> expected = together.generate(request);
            List<Generated> alone = single.generate(request);
            for (int i = 0; i < alone.size(); i++) {
                boolean exact = backend instanceof CudaBackend || request.prompts().get(i).length < PATCH;
                SameBits.check("sequence " + i + " alone, " + backend.name(),
                        List.of(exact ? alone.get(i) : withoutScores(alone.get(i))),
                        List.of(exact ? expected.get(i) : withoutScores(expected.get(i))));
            }
            try (Generation generation = together.start(request)) {
                for (int i = 0; i < 17; i++) {
                    generation.next();
                }
                generation.save(file);
            }
            try (GenerationState state = GenerationState.open(file); Generation resumed = together.resume(state)) {
                SameBits.check("resumed, " + backend.name(), resumed.run(IdListener.SILENT), expected);
            }
        }
    }

    private static Generated withoutScores(Generated generated) {
        return new Generated(generated.ids(), List.of(), generated.end());
    }

    /** A local model that fits one kernel. */
    private static MegabyteConfig whole(Variant variant, int patch) {
        return new MegabyteConfig(variant, 61, patch, 8, 32, 40 * patch, 1, 2, 2, 2, 0.02, 59, 60);
    }

    /**
     * The two round the same, but add up in another order, so a logit may differ by a few units in its last place of
     * bf16 (2^-8). Texts part only where the best two are as near as that, and stay together for most of their length.
     */
    @ParameterizedTest
    @CsvSource({"MEGABYTE, 1", "IN_ACTION, 1", "MEGABYTE, 4", "IN_ACTION, 4", "IN_ACTION, 8", "MEGABYTE, 16"})
    void aPatchAtOneGoIsThatOfTheOperationsOneByOne(Variant variant, int patch) {
        MegabyteConfig config = whole(variant, patch);
        GenerationRequest request = request(SamplingOptions.greedy(), 30);
        List<Generated> expected = generate(new ByteByByte(TestDevice.backend()), config, DType.BF16, request);
        List<Generated> actual = generate(TestDevice.backend(), config, DType.BF16, request);
        int together = 0;
        int all = 0;
        for (int i = 0; i < expected.size(); i++) {
            int[] ids = expected.get(i).ids();
            int parted = Arrays.mismatch(ids, actual.get(i).ids());
            if (parted >= 0) {
                Score score = expected.get(i).scores().get(parted);
                assertThat(score.lead()).isLessThanOrEqualTo(4 * 0x1p-8f * Math.max(1, Math.abs(score.topLogit())));
            }
            together += parted < 0 ? ids.length : parted;
            all += ids.length;
        }
        assertThat(together).isGreaterThan(all / 2);
    }

    @Test
    void aPatchAtOneGoIsTheGlobalModelAndOneKernel() {
        try (CudaBackend backend = Simulator.open()) {
            long[] launches = new long[2];
            for (int i = 0; i < 2; i++) {
                Backend device = i == 0 ? backend : new ByteByByte(backend);
                MegabyteConfig config = whole(Variant.IN_ACTION, PATCH);
                MemoryPlan plan = new MemoryPlan();
                try (Parameters parameters = TestModels.random(config, DType.BF16, device, 3)) {
                    var decoder = new MegabyteDecoder(device, parameters, DType.BF16, 2, 5 * PATCH, plan);
                    Ops ops = device.plan(plan, decoder::program);
                    device.allocate(plan);
                    decoder.prepare(device, ops);
                    decoder.forward(ops, 0, PATCH);
                    launches[i] = backend.countLaunches(() -> decoder.forward(ops, 0, PATCH));
                    assertThat(decoder.isWhole()).isEqualTo(i == 0);
                }
                plan.close();
            }
            // Of the global model: an embedding, a layer's 8 operations, the product to the local one; then the kernel.
            assertThat(launches[0]).isLessThanOrEqualTo(12);
            // Two embeddings, two layers of 8 operations, the head, its logits in float32, the choice; for each byte.
            assertThat(launches[1] - launches[0]).isGreaterThanOrEqualTo(PATCH * 20 - 1);
        }
    }

    /** A patch is one launch of a graph, a way back, an event behind it and a look at that; nothing goes there. */
    @Test
    void aByteCostsNoRoundTrip() {
        long[] few = calls(8 * PATCH);
        long[] many = calls(18 * PATCH);
        assertThat(many[0] - few[0]).as("graphs").isEqualTo(10);
        assertThat(many[1] - few[1]).as("kernels").isZero();
        assertThat(many[2] - few[2]).as("ways back").isEqualTo(10);
        assertThat(many[3] - few[3]).as("all calls of the driver, but for those that wait").isLessThanOrEqualTo(10 * 4);
        assertThat(many[4] - few[4]).as("ways there").isZero();
    }

    @Test
    void theDeviceIsPatchesAheadOfTheHost() {
        try (CudaBackend backend = Simulator.open()) {
            MegabyteConfig config = TestModels.config(Variant.IN_ACTION, PATCH);
            var request = new GenerationRequest(List.of(new int[0]), 6 * PATCH, RANDOM, false, false);
            try (Parameters parameters = TestModels.random(config, backend, 3);
                    Generator generator = new Generator(backend, parameters, 1, 6 * PATCH)) {
                generator.generate(request);
                Simulator.resetCalls();
                List<Long> enqueued = new ArrayList<>();
                generator.generate(request, (sequence, id) -> enqueued.add(Simulator.calls("cuGraphLaunch")));
                // Never more than are needed.
                assertThat(enqueued).containsExactly(4L, 4L, 4L, 4L, 5L, 5L, 5L, 5L, 6L, 6L, 6L, 6L, 6L, 6L, 6L, 6L, 6L,
                        6L, 6L, 6L, 6L, 6L, 6L, 6L);
            }
        }
    }

    private static long[] calls(int newIds) {
        try (CudaBackend backend = Simulator.open()) {
            MegabyteConfig config = TestModels.config(Variant.IN_ACTION, PATCH);
            var request = new GenerationRequest(List.of(new int[0]), newIds, RANDOM, false, false);
            try (Parameters parameters = TestModels.random(config, backend, 3);
                    Generator generator = new Generator(backend, parameters, 1, 20 * PATCH)) {
                generator.generate(request);
                Simulator.resetCalls();
                generator.generate(request);
                return new long[] {Simulator.calls("cuGraphLaunch"), Simulator.calls("cuLaunchKernel"),
                    Simulator.calls("cuMemcpyDtoHAsync"),
                    Simulator.totalCalls() - Simulator.calls("cuEventSynchronize"),
                    Simulator.calls("cuMemcpyHtoDAsync")};
            }
        }
    }
}

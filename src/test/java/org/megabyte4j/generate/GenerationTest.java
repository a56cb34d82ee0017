package org.megabyte4j.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.TestModels;
import org.megabyte4j.model.Variant;

/** A generation id by id: as an iterator, and cancelled. */
class GenerationTest {
    private static final int PATCH = 4;
    private static final SamplingOptions RANDOM = SamplingOptions.random(6).withTemperature(1.5);

    @TempDir
    private Path folder;

    private final CpuBackend backend = CpuBackend.open(2);
    private final List<Parameters> opened = new ArrayList<>();

    private Parameters model(Variant variant) {
        Parameters parameters = TestModels.random(TestModels.config(variant, PATCH), backend, 3);
        opened.add(parameters);
        return parameters;
    }

    @AfterEach
    void close() {
        opened.forEach(Parameters::close);
        backend.close();
    }

    private static List<int[]> prompts() {
        return IntStream.of(0, 5, 3, 9, 8).mapToObj(length -> TestModels.ids(length, 20, length)).toList();
    }

    private static GenerationRequest request(List<int[]> prompts) {
        return new GenerationRequest(prompts, 2 * PATCH + 1, RANDOM, false, true);
    }

    @ParameterizedTest
    @EnumSource
    void anIteratorGivesWhatAListenerHears(Alignment alignment) {
        GenerationRequest request = request(prompts());
        try (Generator generator = Generator.forRequest(request, backend, model(Variant.IN_ACTION), 2, alignment)) {
            List<List<Integer>> heard = new ArrayList<>();
            List<Generated> expected = generator.generate(request, (sequence, id) -> heard.add(List.of(sequence, id)));
            List<List<Integer>> seen = new ArrayList<>();
            List<List<Score>> scores = IntStream.range(0, 5).<List<Score>>mapToObj(i -> new ArrayList<>()).toList();
            try (Generation generation = generator.start(request)) {
                while (generation.hasNext()) {
                    assertThat(generation.hasNext()).isTrue();
                    GeneratedId next = generation.next();
                    seen.add(List.of(next.sequence(), next.id()));
                    scores.get(next.sequence()).add(next.score());
                }
                SameBits.check("iterated", generation.results(), expected);
                assertThatThrownBy(generation::next).isInstanceOf(NoSuchElementException.class);
            }
            assertThat(seen).isEqualTo(heard);
            assertThat(scores).isEqualTo(expected.stream().map(Generated::scores).toList());
        }
    }

    @Test
    void oneSequenceCanEndWhileOthersGoOn() {
        GenerationRequest request = request(prompts());
        try (Generator generator = Generator.forRequest(request, backend, model(Variant.MEGABYTE), 3,
                Alignment.ALIGNED)) {
            List<Generated> whole = generator.generate(request);
            try (Generation generation = generator.start(request)) {
                generation.end(4);
                for (int i = 0; i < 7; i++) {
                    generation.next();
                }
                int kept = generation.results().get(1).ids().length;
                generation.end(1);
                generation.forEachRemaining(next -> assertThat(next.sequence()).isNotIn(1, 4));
                List<Generated> results = generation.results();
                assertThat(results.get(1).end()).isEqualTo(Generated.End.LISTENER);
                assertThat(results.get(1).ids()).isNotEmpty()
                        .containsExactly(Arrays.copyOf(whole.get(1).ids(), kept));
                assertThat(results.get(4).ids()).isEmpty();
                for (int i : new int[] {0, 2, 3}) {
                    SameBits.check("sequence " + i, List.of(results.get(i)), List.of(whole.get(i)));
                }
            }
        }
    }

    @Test
    void cancellingInAnotherThreadEndsItAndTheGeneratorGoesOn() throws InterruptedException {
        GenerationRequest request = request(prompts());
        try (Generator generator = Generator.forRequest(request, backend, model(Variant.IN_ACTION), 5,
                Alignment.ALIGNED)) {
            List<Generated> whole = generator.generate(request);
            try (Generation generation = generator.start(request)) {
                int first = generation.next().sequence();
                assertThat(generation.hasNext()).isTrue();
                Thread other = Thread.ofPlatform().start(generation::cancel);
                other.join();
                GeneratedId promised = generation.next();
                assertThat(promised.sequence()).isNotEqualTo(first);
                assertThat(generation.hasNext()).isFalse();
                assertThatThrownBy(generation::next).isInstanceOf(NoSuchElementException.class);
                assertThat(generation.results()).allSatisfy(result ->
                        assertThat(result.end()).isEqualTo(Generated.End.CANCELLED));
                assertThat(generation.results().get(promised.sequence()).ids()).containsExactly(promised.id());
            }
            SameBits.check("again", generator.generate(request), whole);
        }
    }

    /** Between being told of an id and asking for it; whoever only asks gets none, and no exception. */
    @Test
    void closingInAnotherThreadTakesBackWhatWasPromised() throws InterruptedException {
        GenerationRequest request = request(prompts());
        try (Generator generator = Generator.forRequest(request, backend, model(Variant.IN_ACTION), 5,
                Alignment.ALIGNED)) {
            List<Generated> whole = generator.generate(request);
            Generation generation = generator.start(request);
            GeneratedId first = generation.next();
            assertThat(generation.hasNext()).isTrue();
            Thread other = Thread.ofPlatform().start(generation::close);
            other.join();
            assertThat(generation.poll()).isNull();
            assertThatThrownBy(generation::next).isInstanceOf(NoSuchElementException.class);
            assertThat(generation.run(IdListener.SILENT).get(first.sequence()).ids()).containsExactly(first.id());
            SameBits.check("again", generator.generate(request), whole);
        }
    }

    @Test
    void anIdOutsideTheVocabularyIsASentence() {
        try (Generator generator = new Generator(backend, model(Variant.IN_ACTION), 1, 40)) {
            assertThatThrownBy(() -> generator.start(request(List.of(new int[] {1, -2})))).isInstanceOf(
                    MegabyteException.class).hasMessageContaining("id -2 at index 1 is outside the vocabulary");
        }
    }

    /** A prompt of six blocks, cancelled in the second; what is saved then begins with the prompt once more. */
    @Test
    void cancellingStopsTheReadingOfALongPrompt() {
        Parameters parameters = model(Variant.IN_ACTION);
        GenerationRequest request = request(List.of(TestModels.ids(6 * 64 * PATCH, 20, 1)));
        Generation[] running = new Generation[1];
        AtomicInteger written = new AtomicInteger();
        Backend counting = (Backend) Proxy.newProxyInstance(Backend.class.getClassLoader(),
                new Class<?>[] {Backend.class}, (proxy, method, arguments) -> {
                    if (method.getName().equals("write") && running[0] != null && written.incrementAndGet() == 8) {
                        running[0].cancel();
                    }
                    return method.invoke(backend, arguments);
                });
        Path saved = folder.resolve("state");
        try (Generator generator = Generator.forRequest(request, counting, parameters, 1, Alignment.ALIGNED)) {
            List<Generated> whole = generator.generate(request);
            try (Generation generation = generator.start(request)) {
                running[0] = generation;
                assertThat(generation.hasNext()).isFalse();
                // Six are of the settings and the places; each block is one.
                assertThat(written.get()).isEqualTo(8);
                generation.save(saved);
            }
            running[0] = null;
            try (GenerationState state = GenerationState.open(saved); Generation generation = generator.resume(state)) {
                SameBits.check("resumed", generation.run(IdListener.SILENT), whole);
            }
        }
    }

    @Test
    void aGeneratorHasOneGenerationAtATime() {
        GenerationRequest request = request(prompts());
        try (Generator generator = Generator.forRequest(request, backend, model(Variant.IN_ACTION), 5,
                Alignment.ALIGNED)) {
            Generation generation = generator.start(request);
            generation.next();
            assertThatThrownBy(() -> generator.generate(request)).isInstanceOf(IllegalStateException.class)
                    .hasMessage("this generator has a generation that is not closed; close it first, or use another"
                            + " generator");
            generation.close();
            generation.close();
            assertThat(generation.hasNext()).isFalse();
            assertThatThrownBy(() -> generation.save(folder.resolve("late"))).isInstanceOf(IllegalStateException.class);
            assertThat(generator.generate(request)).hasSize(5);
            generator.start(request);
        }
    }

    @Test
    void closingAGeneratorClosesItsGeneration() {
        GenerationRequest request = request(prompts());
        Parameters parameters = model(Variant.IN_ACTION);
        long held = backend.heldBytes();
        Generator generator = Generator.forRequest(request, backend, parameters, 5, Alignment.ALIGNED);
        Generation generation = generator.start(request);
        generation.next();
        generator.close();
        assertThat(generation.hasNext()).isFalse();
        assertThat(backend.heldBytes()).isEqualTo(held);
    }

    /** Behind T_MAX there are positions still: ALiBi has no table that could end. */
    @Test
    void alibiTakesPromptsLongerThanTheTrainingLength() {
        MegabyteConfig longer = TestModels.config(Variant.IN_ACTION, PATCH).withMaxLength(1000 * PATCH);
        GenerationRequest request = request(List.of(TestModels.ids(70 * PATCH + 1, 20, 1), new int[] {3}));
        Parameters parameters = model(Variant.IN_ACTION);
        assertThat(request.length()).isGreaterThan(5 * parameters.config().maxLength());
        try (Parameters other = TestModels.random(longer, backend, 3);
                Generator generator = Generator.forRequest(request, backend, parameters, 2, Alignment.ALIGNED);
                Generator reference = Generator.forRequest(request, backend, other, 2, Alignment.ALIGNED)) {
            SameBits.check("behind T_MAX", generator.generate(request), reference.generate(request));
        }
        assertThatThrownBy(() -> Generator.forRequest(request, backend, model(Variant.MEGABYTE), 2, Alignment.ALIGNED))
                .hasMessage("a prompt of 281 bytes leaves no room for new ones in the 48 positions (T_MAX) that this"
                        + " model learned; shorten it to at most 47 bytes, or use a model of the variant"
                        + " megabyte_in_action");
    }
}

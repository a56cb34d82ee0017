package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The file of measured algorithms keeps what it is told, for one machine alone, and never is in the way. */
class TuningCacheTest {
    private static final String MACHINE = "NVIDIA Imaginary, driver 13.0, cuBLASLt 13.1.1";
    private static final GemmShape SHAPE = new GemmShape(64, 256, 128, 0);
    private static final GemmShape OTHER = new GemmShape(64, 256, 128, 1);
    private static final String WORDS = "0000000000000042 ffffffffffffffff";

    private final List<String> warnings = new ArrayList<>();

    @TempDir
    Path folder;

    private TuningCache cache(Path file, String machine) {
        return new TuningCache(file, machine, false, warnings::add);
    }

    @Test
    void whatWasNotedIsThereForTheNextProcess() throws IOException {
        Path file = folder.resolve("not there yet").resolve("algorithms.json");
        TuningCache first = cache(file, MACHINE);
        assertThat(first.find(SHAPE)).isNull();
        first.note(SHAPE, WORDS, 12.3456e-6);
        assertThat(first.find(SHAPE)).isEqualTo(WORDS);
        TuningCache next = cache(file, MACHINE);
        assertThat(next.find(SHAPE)).isEqualTo(WORDS);
        assertThat(next.find(OTHER)).isNull();
        JsonNode entry = new ObjectMapper().readTree(file.toFile()).path("machines").path(MACHINE).path(SHAPE.toString());
        assertThat(entry.path("microseconds").asDouble()).isEqualTo(12.346);
        assertThat(warnings).isEmpty();
        try (Stream<Path> left = Files.list(file.getParent())) {
            assertThat(left).as("no unfinished files").containsExactly(file);
        }
    }

    @Test
    void anotherMachineHasItsOwn() {
        Path file = folder.resolve("algorithms.json");
        cache(file, MACHINE).note(SHAPE, WORDS, 1e-6);
        String newer = MACHINE.replace("13.1.1", "13.2.0");
        TuningCache other = cache(file, newer);
        assertThat(other.find(SHAPE)).isNull();
        String words = "another";
        other.note(SHAPE, words, 1e-6);
        assertThat(cache(file, MACHINE).find(SHAPE)).isEqualTo(WORDS);
        assertThat(cache(file, newer).find(SHAPE)).isEqualTo(words);
    }

    @Test
    void twoProcessesKeepEachOthersResults() {
        Path file = folder.resolve("algorithms.json");
        TuningCache one = cache(file, MACHINE);
        TuningCache two = cache(file, MACHINE);
        one.note(SHAPE, WORDS, 1e-6);
        two.note(OTHER, WORDS, 1e-6);
        TuningCache later = cache(file, MACHINE);
        assertThat(later.find(SHAPE)).isEqualTo(WORDS);
        assertThat(later.find(OTHER)).isEqualTo(WORDS);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "{", "[]", "null", "7", "{\"format\": 3, \"machines\": {}}",
        "{\"format\": 2}", "{\"format\": 2, \"machines\": []}",
        "{\"format\": 2, \"machines\": {\"" + MACHINE + "\": 3}}"})
    void aFileThatIsNoListOfChoicesIsReplacedAfterOneWarning(String content) throws IOException {
        Path file = Files.writeString(folder.resolve("algorithms.json"), content);
        TuningCache cache = cache(file, MACHINE);
        assertThat(cache.find(SHAPE)).isNull();
        cache.note(SHAPE, WORDS, 1e-6);
        cache.note(OTHER, WORDS, 1e-6);
        assertThat(warnings).hasSize(1).allMatch(w -> w.startsWith("the file of measured choices, "
                + file + ", "));
        TuningCache next = cache(file, MACHINE);
        assertThat(next.find(SHAPE)).isEqualTo(WORDS);
        assertThat(next.find(OTHER)).isEqualTo(WORDS);
        assertThat(warnings).hasSize(1);
    }

    @ParameterizedTest
    @ValueSource(strings = {"{}", "3", "{\"chosen\": 3}", "{\"chosen\": [\"1\"]}"})
    void anEntryThatMakesNoSenseIsLeftOut(String entry) throws IOException {
        Path file = Files.writeString(folder.resolve("algorithms.json"),
                "{\"format\": 2, \"machines\": {\"" + MACHINE + "\": {\"" + SHAPE + "\": " + entry + "}}}");
        TuningCache cache = cache(file, MACHINE);
        assertThat(cache.find(SHAPE)).isNull();
        cache.note(SHAPE, WORDS, 1e-6);
        assertThat(cache(file, MACHINE).find(SHAPE)).isEqualTo(WORDS);
        assertThat(warnings).isEmpty();
    }

    @Test
    void aFileThatCannotBeWrittenIsOneWarning() throws IOException {
        // Where a folder should be there is a file, which stops root as well.
        Path file = Files.writeString(folder.resolve("a file"), "").resolve("algorithms.json");
        TuningCache cache = cache(file, MACHINE);
        cache.note(SHAPE, WORDS, 1e-6);
        cache.note(OTHER, WORDS, 1e-6);
        assertThat(cache.find(SHAPE)).isEqualTo(WORDS);
        assertThat(warnings).hasSize(1);
    }

    @Test
    void theWarningSaysWhatFollows() throws IOException {
        Path file = Files.writeString(folder.resolve("algorithms.json"), "[]");
        cache(file, MACHINE);
        assertThat(warnings).containsExactly("the file of measured choices, " + file
                + ", is not a list of choices; they are measured again, and results may differ in their last bits"
                + " from those of another process");
    }

    @Test
    void whoMeasuresAgainReplacesWhatWasNoted() {
        Path file = folder.resolve("algorithms.json");
        cache(file, MACHINE).note(SHAPE, WORDS, 1e-6);
        TuningCache again = new TuningCache(file, MACHINE, true, warnings::add);
        assertThat(again.find(SHAPE)).isNull();
        again.note(SHAPE, "another", 1e-6);
        assertThat(again.find(SHAPE)).isEqualTo("another");
        assertThat(cache(file, MACHINE).find(SHAPE)).isEqualTo("another");
        assertThat(warnings).isEmpty();
    }
}

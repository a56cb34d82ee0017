package org.megabyte4j.examples;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.checkpoint.ModelFiles;
import org.megabyte4j.cli.Main;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Presets;

/** The README's Java is this package's, word for word, and runs. */
class ReadmeTest {
    private static final Path SOURCES = Path.of("src", "test", "java", "org", "megabyte4j", "examples");

    @Test
    void readmeShowsTheExamplesWordForWord() throws IOException {
        Matcher block = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(Files.readString(Path.of("README.md")));
        List<String> shown = block.results().map(found -> found.group(1)).toList();
        assertThat(shown).containsExactly(source(TrainStep.class), source(GenerateText.class),
                source(ResumeText.class));
    }

    private static String source(Class<?> example) throws IOException {
        String file = Files.readString(SOURCES.resolve(example.getSimpleName() + ".java"));
        return file.substring(file.indexOf("import "));
    }

    @Test
    void trainExamplePrintsTheLossOfAModelThatKnowsNothing() {
        float loss = Float.parseFloat(outputOf(() -> TrainStep.main(new String[0])));
        assertThat(loss).isCloseTo((float) Math.log(512), within(0.05f));
    }

    @Test
    void generateExamplePrintsWhatTheCommandLinePrints(@TempDir Path folder) {
        try (Backend backend = CpuBackend.open();
                Parameters parameters = Parameters.initialized(Presets.named("tiny"), backend, 3)) {
            ModelFiles.save(folder, parameters, backend);
        }
        String example = outputOf(() -> GenerateText.main(new String[] {folder.toString()}));

        StringWriter command = new StringWriter();
        int status = Main.run(new String[] {"generate", folder.toString(), "--prompt", "Today is", "--max-bytes", "100",
            "--temperature", "0.8", "--seed", "42"}, new PrintWriter(command), new PrintWriter(new StringWriter()));
        assertThat(status).isZero();
        assertThat(example).startsWith("Today is").hasSizeGreaterThan("Today is".length()).isEqualTo(command.toString());
    }

    @Test
    void resumeExamplePrintsWhatComesWithoutABreak(@TempDir Path folder) {
        try (Backend backend = CpuBackend.open();
                Parameters parameters = Parameters.initialized(Presets.named("tiny"), backend, 3)) {
            ModelFiles.save(folder, parameters, backend);
        }
        String example = outputOf(() -> ResumeText.main(new String[] {folder.toString(), folder + "/state"}));
        StringWriter command = new StringWriter();
        int status = Main.run(new String[] {"generate", folder.toString(), "--prompt", "Today is", "--max-bytes", "100",
            "--greedy", "--all-ids", "--no-stop"}, new PrintWriter(command), new PrintWriter(new StringWriter()));
        assertThat(status).isZero();
        assertThat(example).isEqualTo(command.toString());
    }

    private static String outputOf(Runnable program) {
        PrintStream before = System.out;
        var captured = new ByteArrayOutputStream();
        System.setOut(new PrintStream(captured, true, UTF_8));
        try {
            program.run();
        } finally {
            System.setOut(before);
        }
        return captured.toString(UTF_8);
    }

    /** Links that are not to the web lead to files of the project. */
    @Test
    void linksInTheDocumentationLeadSomewhere() throws IOException {
        Pattern link = Pattern.compile("(?<!!)\\[[^\\]]*]\\(([^)#:]+)(#[^)]*)?\\)");
        try (Stream<Path> files = Stream.concat(Stream.of("README.md", "CONTRIBUTING.md").map(Path::of),
                Files.list(Path.of("docs")))) {
            for (Path file : files.filter(path -> path.toString().endsWith(".md")).toList()) {
                Path folder = file.toAbsolutePath().getParent();
                assertThat(link.matcher(Files.readString(file)).results().map(found -> found.group(1)))
                        .as(file.toString()).allMatch(target -> Files.exists(folder.resolve(target)));
            }
        }
    }
}

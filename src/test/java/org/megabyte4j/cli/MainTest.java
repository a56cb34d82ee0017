package org.megabyte4j.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.model.Presets;
import picocli.CommandLine;
import picocli.CommandLine.Model.OptionSpec;

class MainTest {
    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private int run(String... arguments) {
        return Main.run(arguments, new PrintWriter(out, true), new PrintWriter(err, true));
    }

    private static Stream<CommandLine> commands() {
        return Main.commandLine().getSubcommands().values().stream();
    }

    @ParameterizedTest
    @CsvSource({"train --preset tiny --plan --dtype bf16", "train --preset tiny --data x --dtype BF16",
        "bench --preset tiny --dtype bf16", "verify nothing --dtype bf16"})
    void aTypeThatTheDeviceDoesNotComputeInGetsTheWayOut(String line) {
        assertThat(run(line.split(" "))).isEqualTo(1);
        assertThat(err.toString().lines()).containsExactly(
                "megabyte4j: the device cpu cannot compute in bf16; use --dtype float32, or --device cuda");
        assertThat(out.toString()).isEmpty();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '"', textBlock = """
            ""                          | megabyte4j: no command is given
            inof                        | megabyte4j: unknown command inof; did you mean info?
            covnert a b                 | megabyte4j: unknown command covnert; did you mean convert?
            translate                   | megabyte4j: unknown command translate
            --hlep                      | megabyte4j: unknown option --hlep; did you mean --help?
            info --thread 3             | megabyte4j info: unknown option --thread; did you mean --threads?
            info --thraeds=3            | megabyte4j info: unknown option --thraeds; did you mean --threads?
            convert --forse a b         | megabyte4j convert: unknown option --forse; did you mean --force?
            convert --colour a b        | megabyte4j convert: unknown option --colour
            convert a b c               | megabyte4j convert: one argument too many, c
            convert a                   | megabyte4j convert: missing required parameter: 'TARGET'
            info --threads              | megabyte4j info: missing required parameter for option '--threads' (N)
            info --threads many         | megabyte4j info: invalid value for option '--threads': 'many' is not an int
            convert --dtype --to x      | megabyte4j convert: expected parameter for option '--dtype' but found '--to'
            bench --dtype f64           | megabyte4j bench: invalid value for option '--dtype': expected one of \
            [FLOAT32, BF16] (case-insensitive) but was 'f64'
            info --blas mkl             | megabyte4j info: unknown library mkl; --blas takes auto, cublaslt, jcublas
            info --device tpu           | megabyte4j info: unknown device tpu; the devices are auto, cpu, \
            cuda and cuda:N, N being the number of a GPU
            """)
    void aWrongCommandLineGetsOneSentenceAndTheWayToHelp(String line, String sentence) {
        assertThat(run(line.isEmpty() ? new String[0] : line.split(" "))).isEqualTo(2);
        String command = sentence.substring(0, sentence.indexOf(':'));
        assertThat(err.toString().lines()).containsExactly(sentence, "Try " + command + " --help.");
        assertThat(out.toString()).isEmpty();
    }

    @ParameterizedTest
    @MethodSource("commands")
    void everyCommandRefusesWhatItDoesNotKnow(CommandLine command) {
        assertThat(run(command.getCommandName(), "--hepl")).isEqualTo(2);
        assertThat(err.toString()).contains("unknown option --hepl; did you mean --help?").doesNotContain("\tat ");
    }

    @ParameterizedTest
    @MethodSource("commands")
    void helpOfEveryCommandExplainsEveryOption(CommandLine command) {
        assertThat(run(command.getCommandName(), "--help")).isZero();
        assertThat(out.toString()).startsWith("Usage: megabyte4j " + command.getCommandName());
        assertThat(command.getCommandSpec().usageMessage().description()).isNotEmpty();
        for (OptionSpec option : command.getCommandSpec().options()) {
            assertThat(out.toString()).contains(option.names());
            assertThat(option.description()).as(option.longestName()).isNotEmpty();
        }
        command.getCommandSpec().positionalParameters()
                .forEach(parameter -> assertThat(parameter.description()).as(parameter.paramLabel()).isNotEmpty());
        assertThat(err.toString()).isEmpty();
    }

    @Test
    void namesInMessagesDoNotControlTheTerminal() {
        assertThat(run("generate", "no\u001b[31mmodel")).isEqualTo(1);
        assertThat(run("no\u0007command")).isEqualTo(2);
        assertThat(err.toString()).contains("no?[31mmodel", "no?command").doesNotContain("\u001b", "\u0007");
    }

    @Test
    void helpListsEveryCommand() {
        assertThat(run("--help")).isZero();
        commands().forEach(command -> assertThat(out.toString()).containsPattern("(?m)^  " + command.getCommandName()));
    }

    @Test
    void versionIsTheBuilds() {
        assertThat(run("--version")).isZero();
        assertThat(out.toString().strip()).matches("megabyte4j \\d+\\.\\d+\\.\\d+(-SNAPSHOT)?, Java 2\\d.*");
    }

    @Test
    void infoTellsAboutTheMachineAndThePresets() {
        assertThat(run("info", "--threads", "1")).as(err.toString()).isZero();
        List<String> beginnings = new ArrayList<>(List.of("megabyte4j  ", "Java  ", "system  ", "memory  ",
                "Vector API   present", "device cpu   1 thread, "));
        beginnings.addAll(Presets.all().keySet());
        for (String beginning : beginnings) {
            assertThat(out.toString().lines()).anyMatch(line -> line.startsWith(beginning));
        }
        assertThat(run("info", "--threads", "0")).isEqualTo(1);
        assertThat(err.toString()).startsWith("megabyte4j: --threads 0 is not possible; use 1 to 1024");
    }

    @Test
    void everyFailureIsASentence() {
        Map<Throwable, String> sentences = Map.of(
                new MegabyteException("the data is empty; name another"), "the data is empty; name another",
                new UncheckedIOException(new NoSuchFileException("x")), "there is no file x",
                new UncheckedIOException(new AccessDeniedException("x")), "no permission to use x",
                new FileSystemException("x", null, "No space left on device"),
                "reading or writing failed: x: No space left on device",
                new OutOfMemoryError("Java heap space"), "Java's memory is full (Java heap space); give it more, such as"
                        + " MEGABYTE4J_OPTS=-Xmx8g, or use a smaller --batch or --seq-len, or a smaller model",
                new StackOverflowError(), "this should not have happened: java.lang.StackOverflowError; please report it"
                        + " with what the same command prints with --debug",
                new IllegalStateException("odd"), "this should not have happened: java.lang.IllegalStateException: odd;"
                        + " please report it with what the same command prints with --debug");
        sentences.forEach((failure, sentence) -> {
            err.getBuffer().setLength(0);
            assertThat(new Failures(new PrintWriter(err, true), () -> false).report(failure)).isEqualTo(1);
            assertThat(err.toString().lines()).containsExactly("megabyte4j: " + sentence);
        });
    }

    @Test
    void debugAddsTheStackTrace() {
        assertThat(run("info", "--threads", "0", "--debug")).isEqualTo(1);
        assertThat(err.toString()).startsWith("megabyte4j: --threads 0 is not possible")
                .contains("\tat org.megabyte4j.backend.cpu.CpuBackend.open");
    }
}

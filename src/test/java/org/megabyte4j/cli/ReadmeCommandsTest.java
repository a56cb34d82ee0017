package org.megabyte4j.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** What the README says about the command line is what the command line takes. */
class ReadmeCommandsTest {
    private static final Pattern ROW = Pattern.compile("(?m)^\\| `(\\w+)` \\|");
    private static final Pattern COMMAND = Pattern.compile("(?m)(?:^|`)megabyte4j ([a-z][^`\\n#]*)");
    private static final Pattern ARGUMENT = Pattern.compile("\"([^\"]*)\"|'([^']*)'|(\\S+)");

    private final String readme = read();

    private static String read() {
        try {
            return Files.readString(Path.of("README.md"));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void theTableListsEveryCommand() {
        List<String> listed = ROW.matcher(readme).results().map(row -> row.group(1)).toList();
        assertThat(listed).containsExactlyElementsOf(Main.commandLine().getSubcommands().keySet());
    }

    @Test
    void everyCommandLineShownIsUnderstood() {
        List<String> shown = COMMAND.matcher(readme).results().map(found -> found.group(1)).toList();
        assertThat(shown).hasSizeGreaterThan(7).allSatisfy(line ->
                assertThatCode(() -> Main.commandLine().parseArgs(arguments(line))).as(line).doesNotThrowAnyException());
    }

    private static String[] arguments(String line) {
        return ARGUMENT.matcher(line).results().map(ReadmeCommandsTest::text).toArray(String[]::new);
    }

    private static String text(MatchResult argument) {
        for (int group = 1; group < 3; group++) {
            if (argument.group(group) != null) {
                return argument.group(group);
            }
        }
        return argument.group(3);
    }

    @Test
    void everyOptionNamedInTheTextExists() {
        List<String> options = Main.commandLine().getSubcommands().values().stream()
                .flatMap(command -> command.getCommandSpec().optionsMap().keySet().stream()).toList();
        List<String> named = Pattern.compile("`(--[a-z-]+)").matcher(readme).results().map(found -> found.group(1))
                .filter(option -> !option.equals("--add-modules")).toList();
        assertThat(named).hasSizeGreaterThan(10).isSubsetOf(options);
    }
}

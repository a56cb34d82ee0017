package org.megabyte4j.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.time.Duration;
import java.time.Instant;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.train.Bookkeeping;
import org.megabyte4j.train.Metric;
import org.megabyte4j.train.RunOptions;
import picocli.CommandLine.TypeConversionException;

class TrainingProgressTest {
    private static final Bookkeeping BOOKKEEPING = new Bookkeeping(1, 1, 1, 1, 1);

    /** What is shown of the first step, a second one at once, a validation, and the tenth step. */
    private static String shown(long steps, Duration maxTime, boolean onTerminal) {
        StringWriter text = new StringWriter();
        RunOptions options = new RunOptions(steps, maxTime, BOOKKEEPING);
        try (var progress = new TrainingProgress(new PrintWriter(text, true), options, 0, onTerminal,
                Duration.ofSeconds(10))) {
            for (long step : new long[] {1, 2, 10}) {
                progress.metric(new Metric.Step(step, 2, 1, 0.1f, step, 12345, Instant.now()));
            }
            progress.metric(new Metric.Validation(10, 1, 100, Instant.now()));
            progress.notice("the disk is almost full");
        }
        return text.toString();
    }

    @Test
    void withoutATerminalThereIsALineNowAndThen() {
        assertThat(shown(10, null, false).lines()).satisfiesExactly(
                first -> assertThat(first)
                        .matches("step 1 of 10: loss 2\\.000, 2\\.885 bits per byte, 12\\.3 KB/s, 0:0\\d left"),
                last -> assertThat(last)
                        .isEqualTo("step 10 of 10: loss 2.000, 2.885 bits per byte, 12.3 KB/s, 0:00 left"),
                validation -> assertThat(validation)
                        .isEqualTo("step 10: validation loss 1.0000, 1.4427 bits per byte"),
                notice -> assertThat(notice).isEqualTo("Note: the disk is almost full."));
    }

    @Test
    void aLongStepTellsHowFarItIs() {
        for (boolean onTerminal : new boolean[] {false, true}) {
            StringWriter text = new StringWriter();
            RunOptions options = new RunOptions(3, null, BOOKKEEPING);
            try (var progress = new TrainingProgress(new PrintWriter(text, true), options, 0, onTerminal,
                    Duration.ZERO)) {
                progress.progress(1, 0.125);
                progress.progress(1, 0.75);
                progress.progress(1, 1);
                progress.progress(2, 0.125);
            }
            assertThat(text.toString().lines().map(line -> line.replaceAll("0:0\\d", "0:00"))).containsExactly(
                    onTerminal ? new String[0] : new String[] {"13 % of step 1", "75 % of step 1, about 0:00 left of it",
                        "100 % of step 1, about 0:00 left of it", "13 % of step 2"});
        }
    }

    @Test
    void aShortStepDoesNot() {
        StringWriter text = new StringWriter();
        RunOptions options = new RunOptions(3, null, BOOKKEEPING);
        try (var progress = new TrainingProgress(new PrintWriter(text, true), options, 0, false,
                Duration.ofMinutes(1))) {
            progress.progress(1, 0.5);
            progress.progress(1, 1);
        }
        assertThat(text.toString()).isEmpty();
    }

    @Test
    void theTimeLeftIsThatOfWhateverEndsFirst() {
        assertThat(shown(Long.MAX_VALUE, Duration.ofSeconds(3700), false)).startsWith("step 1: ").contains("1:01:3");
        assertThat(shown(1000, Duration.ofHours(1), false)).startsWith("step 1 of 1,000: ");
        assertThat(shown(Long.MAX_VALUE, null, false)).startsWith("step 1: ").doesNotContain("left");
    }

    /** A resumed run may know neither its last step nor its last second. */
    @ParameterizedTest
    @ValueSource(longs = {10, Long.MAX_VALUE})
    void aBarCanBeDrawnWhateverIsKnownOfTheEnd(long steps) {
        assertThat(shown(steps, null, true)).isEqualToNormalizingNewlines("\nNote: the disk is almost full.\n");
        assertThat(shown(steps, Duration.ofMinutes(1), true)).contains("Note: ");
    }

    @ParameterizedTest
    @CsvSource({"90, 90", "90s, 90", "2m, 120", "1h30m, 5400", "1d, 86400", "1h2m3s, 3723", "0s, 0"})
    void timesAreUnderstood(String text, long seconds) {
        assertThat(new Durations().convert(text)).isEqualTo(Duration.ofSeconds(seconds));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "soon", "-1", "1.5h", "5m1h", "99999999s", "1 h"})
    void whatIsNoTimeIsRefused(String text) {
        assertThatThrownBy(() -> new Durations().convert(text)).isInstanceOf(TypeConversionException.class)
                .hasMessage("\"" + text + "\" is no time; use something like 90s, 2m or 8h");
    }

    @Test
    void clocksAreReadable() {
        assertThat(TrainingProgress.clock(Duration.ofSeconds(5))).isEqualTo("0:05");
        assertThat(TrainingProgress.clock(Duration.ofSeconds(3599))).isEqualTo("59:59");
        assertThat(TrainingProgress.clock(Duration.ofSeconds(3600 * 25 + 61))).isEqualTo("25:01:01");
    }
}

package org.megabyte4j.cli;

import java.io.Console;
import java.io.PrintWriter;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;
import org.megabyte4j.train.Metric;
import org.megabyte4j.train.RunOptions;
import org.megabyte4j.train.TrainingListener;

/** Shows how training goes on: a bar on a terminal, a line every few seconds elsewhere. */
final class TrainingProgress implements TrainingListener, AutoCloseable {
    private static final Duration BETWEEN_LINES = Duration.ofSeconds(10);

    private final PrintWriter err;
    private final Duration betweenLines;
    private final RunOptions options;
    private final long firstStep;
    private final long start = System.nanoTime();
    private final boolean counted;   // the end is known in steps
    private final boolean timed;     // it is only known in seconds
    private final ProgressBar bar;   // null without a terminal
    private String figures = "";
    private String validated = "";
    private long lastLine = Long.MIN_VALUE;
    private long lastSign = start;   // of a step that is done, or on its way
    private long stepBegun;          // the one on its way, when it was first heard of, and how far it was then
    private long beginning;
    private double doneAtBegin;

    /** @param firstStep steps done before this process */
    TrainingProgress(PrintWriter err, RunOptions options, long firstStep, boolean onTerminal, Duration betweenLines) {
        this.err = err;
        this.betweenLines = betweenLines;
        this.options = options;
        this.firstStep = firstStep;
        counted = options.steps() != Long.MAX_VALUE;
        timed = !counted && options.maxTime() != null;
        bar = onTerminal ? bar() : null;
    }

    /** @param firstStep steps done before this process */
    static TrainingProgress start(PrintWriter err, RunOptions options, long firstStep) {
        Console console = System.console();
        return new TrainingProgress(err, options, firstStep, console != null && console.isTerminal(),
                BETWEEN_LINES);
    }

    private ProgressBar bar() {
        return new ProgressBarBuilder().setTaskName("train").setStyle(ProgressBarStyle.ASCII)
                .setUpdateIntervalMillis(500)
                .setInitialMax(timed ? options.maxTime().toSeconds() : counted ? options.steps() : -1)
                .startsFrom(timed ? 0 : firstStep, Duration.ZERO)
                .setUnit(timed ? " s" : " steps", 1)
                .setEtaFunction(state -> left())
                .build();
    }

    /** The time until the last step or the limit, whichever comes first. */
    private Optional<Duration> left() {
        Duration elapsed = Duration.ofNanos(System.nanoTime() - start);
        Duration left = options.maxTime() == null ? null : options.maxTime().minus(elapsed);
        if (counted && step > firstStep) {
            Duration steps = Duration.ofNanos((long) ((double) elapsed.toNanos() / (step - firstStep)
                    * (options.steps() - step)));
            left = left == null || steps.compareTo(left) < 0 ? steps : left;
        }
        return Optional.ofNullable(left).map(time -> time.isNegative() ? Duration.ZERO : time);
    }

    private volatile long step;

    @Override
    public void metric(Metric metric) {
        step = metric.step();
        switch (metric) {
            case Metric.Step taken -> show(taken);
            case Metric.Validation validation -> {
                validated = String.format(Locale.ROOT, ", validation %.3f", validation.bitsPerByte());
                if (bar == null) {
                    err.printf(Locale.ROOT, "step %,d: validation loss %.4f, %.4f bits per byte%n", metric.step(),
                            validation.loss(), validation.bitsPerByte());
                }
            }
        }
    }

    private void show(Metric.Step taken) {
        lastSign = System.nanoTime();
        figures = String.format(Locale.ROOT, "loss %.3f, %.3f bits per byte, %.1f KB/s", taken.loss(),
                taken.bitsPerByte(), taken.bytesPerSecond() / 1e3);
        if (bar != null) {
            bar.stepTo(timed ? Duration.ofNanos(System.nanoTime() - start).toSeconds() : taken.step());
            bar.setExtraMessage(" " + figures + validated);
            return;
        }
        long now = System.nanoTime();
        if (lastLine == Long.MIN_VALUE || now - lastLine >= betweenLines.toNanos() || taken.step() == options.steps()) {
            lastLine = now;
            err.printf(Locale.ROOT, "step %,d%s: %s%s%n", taken.step(),
                    counted ? String.format(Locale.ROOT, " of %,d", options.steps()) : "", figures,
                    left().map(time -> ", " + clock(time) + " left").orElse(""));
        }
    }

    /** A sign of steps that take so long that one would wonder. */
    @Override
    public void progress(long step, double done) {
        long now = System.nanoTime();
        if (step != stepBegun) {
            stepBegun = step;
            beginning = now;
            doneAtBegin = done;
        }
        if (now - lastSign < betweenLines.toNanos()) {
            return;
        }
        lastSign = now;
        Duration left = Duration.ofNanos((long) ((now - beginning) / (done - doneAtBegin) * (1 - done)));
        String share = String.format(Locale.ROOT, "%.0f %% of step %,d%s", 100 * done, step,
                done > doneAtBegin ? ", about " + clock(left) + " left of it" : "");
        if (bar != null) {
            bar.setExtraMessage(" " + share + (figures.isEmpty() ? "" : ", " + figures) + validated);
        } else {
            err.println(share);
        }
    }

    @Override
    public void notice(String sentence) {
        err.println((bar == null ? "" : System.lineSeparator()) + "Note: " + sentence + ".");
    }

    /** {@code 3:20}, {@code 1:03:20}. */
    static String clock(Duration time) {
        return time.toHours() > 0
                ? String.format(Locale.ROOT, "%d:%02d:%02d", time.toHours(), time.toMinutesPart(), time.toSecondsPart())
                : String.format(Locale.ROOT, "%d:%02d", time.toMinutes(), time.toSecondsPart());
    }

    @Override
    public void close() {
        if (bar != null) {
            bar.close();
        }
    }
}

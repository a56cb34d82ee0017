package org.megabyte4j.train;

import java.awt.AWTError;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Instant;
import java.util.function.Consumer;

/** The figures of a run in its folder: {@code metrics.jsonl}, TensorBoard's events, {@code loss.png}. */
final class RunMetrics implements AutoCloseable {
    private final MetricsFile lines;
    private final EventFile events;
    private final LossPlot plot = new LossPlot();
    private final Path picture;
    private final Consumer<String> notice;
    private long lastValidated = -1;
    private boolean drawn;
    private boolean pictureFailed;

    /**
     * Goes on after a step; what the files hold of later steps is forgotten.
     *
     * @param notice gets a sentence if the picture cannot be drawn, which is no reason to stop training
     */
    RunMetrics(Path folder, long step, Consumer<String> notice) {
        this.notice = notice;
        picture = folder.resolve("loss.png");
        lines = MetricsFile.continueAfter(folder.resolve("metrics.jsonl"), step, this::remember);
        try {
            events = new EventFile(folder.resolve("tensorboard"), step, Instant.now());
        } catch (RuntimeException | Error e) {
            lines.close();
            throw e;
        }
    }

    private void remember(Metric metric) {
        plot.add(metric);
        if (metric instanceof Metric.Validation) {
            lastValidated = metric.step();
        }
    }

    /** The first is drawn at once: AWT cannot be loaded any more when an interrupted process ends. */
    void add(Metric metric) {
        remember(metric);
        lines.append(metric);
        events.append(metric);
        if (!drawn) {
            draw();
        }
    }

    /** The step of the last validation, -1 if there was none. */
    long lastValidated() {
        return lastValidated;
    }

    /** Makes the lines durable that were added so far. */
    void force() {
        lines.force();
    }

    /** Draws the picture anew. */
    void draw() {
        if (pictureFailed) {
            return;
        }
        try {
            drawn = true;
            plot.write(picture);
        } catch (IOException | RuntimeException | LinkageError | AWTError | InternalError e) {
            pictureFailed = true;
            notice.accept(picture + " cannot be drawn: " + e.getMessage() + "; metrics.jsonl holds the same figures");
        }
    }

    @Override
    public void close() {
        try (lines; events) {
            draw();
        }
    }
}

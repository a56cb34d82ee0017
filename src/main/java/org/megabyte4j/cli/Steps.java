package org.megabyte4j.cli;

import java.io.Console;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/** A bar that goes away when its work is done; nothing where there is no terminal. */
final class Steps implements AutoCloseable {
    private final ProgressBar bar;   // null without a terminal

    private Steps(ProgressBar bar) {
        this.bar = bar;
    }

    static Steps start(String name, long steps) {
        Console console = System.console();
        return new Steps(console == null || !console.isTerminal() ? null : new ProgressBarBuilder().setTaskName(name)
                .setStyle(ProgressBarStyle.ASCII).setInitialMax(steps).clearDisplayOnFinish().build());
    }

    /** Shows how many steps are done; true, for loops that ask whether to go on. */
    boolean done(long steps) {
        if (bar != null) {
            bar.stepTo(steps);
        }
        return true;
    }

    @Override
    public void close() {
        if (bar != null) {
            bar.close();
        }
    }
}

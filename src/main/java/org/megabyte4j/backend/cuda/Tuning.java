package org.megabyte4j.backend.cuda;

import java.util.List;
import java.util.Locale;

/** Whether choices that only the GPU itself can make are measured there. */
public enum Tuning {
    /** Each once per GPU, driver and version of the kernels; results are kept in a file of the user. */
    ON,
    /** Not at all: the ways that are right for most, and the same bits on equal GPUs. */
    OFF,
    /** Anew, and what the file said before is replaced. */
    AGAIN;

    /** The names as they are given to {@code --tune}. */
    public static final List<String> NAMES = List.of("on", "off", "again");

    /** @param name one of {@link #NAMES}, in whatever case */
    public static Tuning of(String name) {
        return valueOf(name.toUpperCase(Locale.ROOT));
    }
}

package org.megabyte4j.backend;

import java.util.List;

/**
 * Whether something can be done, and why not.
 *
 * @param obstacles sentences without a full stop; none if it can
 */
public record Support(List<String> obstacles) {
    /** It can. */
    public static final Support YES = new Support(List.of());

    public Support {
        obstacles = List.copyOf(obstacles);
    }

    public static Support no(String obstacle) {
        return new Support(List.of(obstacle));
    }

    public boolean isThere() {
        return obstacles.isEmpty();
    }
}

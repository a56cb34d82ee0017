package org.megabyte4j.backend.cuda;

import java.util.EnumMap;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/**
 * Who works on a row in {@code kernels/common/row_team.cuh}: a warp or a block, with the row in registers, so many
 * elements per thread; or, for rows that are longer or cannot be read 16 bytes at a time, reading it again.
 */
enum RowTeam {
    WARP8(32, 8), WARP16(32, 16), WARP32(32, 32), BLOCK8(256, 8), BLOCK16(256, 16), BLOCK32(256, 32),
    WARP_ANY(32, 0), BLOCK_ANY(256, 0);

    private static final int WARPS_PER_BLOCK = 4;
    /** From here on a block is worth its barriers. */
    private static final long LONG_ROW = 1024;

    private final int threads;
    private final int values;

    RowTeam(int threads, int values) {
        this.threads = threads;
        this.values = values;
    }

    /** @param vectors whether all rows can be read 16 bytes at a time */
    static RowTeam of(long columns, boolean vectors) {
        if (vectors && columns <= (long) BLOCK32.threads * BLOCK32.values) {
            RowTeam team = WARP8;
            while ((long) team.threads * team.values < columns) {
                team = ALL[team.ordinal() + 1];
            }
            return team;
        }
        return columns <= LONG_ROW ? WARP_ANY : BLOCK_ANY;
    }

    private static final RowTeam[] ALL = values();

    /** One kernel for each, by the suffix of its name. */
    static Map<RowTeam, Kernel> kernels(Function<String, Kernel> named) {
        Map<RowTeam, Kernel> kernels = new EnumMap<>(RowTeam.class);
        for (RowTeam team : ALL) {
            kernels.put(team, named.apply(team.name().toLowerCase(Locale.ROOT)));
        }
        return kernels;
    }

    boolean inRegisters() {
        return values > 0;
    }

    int threadsPerBlock() {
        return threads * teamsPerBlock();
    }

    int teamsPerBlock() {
        return threads == 32 ? WARPS_PER_BLOCK : 1;
    }

    /** Blocks of a grid with a team for each row. */
    long blocks(long rows) {
        return Math.ceilDiv(rows, teamsPerBlock());
    }

    /**
     * Blocks of a grid whose teams walk over the rows with sums in registers: as many as a GPU of 132 multiprocessors
     * runs at once, given what registers such a kernel needs. The same on every GPU, since the order of sums is.
     */
    long walkingBlocks(long rows) {
        long perMultiprocessor = switch (this) {
            case WARP8 -> 8;
            case WARP16 -> 5;
            case WARP32 -> 3;
            case BLOCK8 -> 4;
            case BLOCK16 -> 2;
            case BLOCK32 -> 1;
            default -> throw new IllegalStateException(this + " has no sums in registers");
        };
        return Math.min(132 * perMultiprocessor, blocks(rows));
    }
}

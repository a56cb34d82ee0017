package org.megabyte4j.backend;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class ByteShiftProperties {
    /** Against the shift done by hand: each block loses its last bytes and starts with padding. */
    @Property(tries = 200)
    void aBlockMovesBackAndStartsWithPadding(@ForAll @IntRange(max = 9) int distance,
            @ForAll @IntRange(min = 1, max = 9) int period, @ForAll @IntRange(min = 1, max = 5) int blocks) {
        ByteShift shift = new ByteShift(distance, period);
        for (int block = 0; block < blocks; block++) {
            for (int i = 0; i < period; i++) {
                long expected = i < distance ? -1 : (long) block * period + i - distance;
                assertThat(shift.source((long) block * period + i)).isEqualTo(expected);
            }
        }
    }

    @Test
    void impossibleShiftsAreRefused() {
        assertThatThrownBy(() -> new ByteShift(-1, 4)).isInstanceOf(IllegalArgumentException.class)
                .hasMessage("a shift by -1 in blocks of 4 is not possible");
        assertThatThrownBy(() -> new ByteShift(1, 0)).isInstanceOf(IllegalArgumentException.class);
    }
}

package org.megabyte4j.backend;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

class PhiloxTest {
    /** The known answers that the authors publish with Random123 (kat_vectors, philox4x32, 10 rounds). */
    @Test
    void meetsThePublishedVectors() {
        assertThat(Philox.block(0, 0, 0, 0, 0, 0))
                .containsExactly(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
        assertThat(Philox.block(-1, -1, -1, -1, -1, -1))
                .containsExactly(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd);
        assertThat(Philox.block(0xa4093822, 0x299f31d0, 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344))
                .containsExactly(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1);
    }

    @Test
    void everyArgumentOfADrawMatters() {
        Set<Double> draws = new HashSet<>();
        for (long high : new long[] {0, 1L << 32}) {
            for (long low : new long[] {0, 1}) {
                draws.add(Philox.uniform(high + low, 5, 9));
                draws.add(Philox.uniform(7, high + low, 9));
                draws.add(Philox.uniform(7, 5, high + low));
            }
        }
        assertThat(draws).hasSize(12);
    }

    @Test
    void drawsAreUniform() {
        int draws = 100_000;
        double sum = 0;
        double squares = 0;
        for (int i = 0; i < draws; i++) {
            double u = Philox.uniform(1, 2, i);
            assertThat(u).isBetween(0.0, Math.nextDown(1.0));
            sum += u;
            squares += u * u;
        }
        // Five standard deviations of the two means: sqrt(1/12/n) and sqrt(4/45/n).
        assertThat(sum / draws).isCloseTo(1 / 2.0, within(0.0046));
        assertThat(squares / draws).isCloseTo(1 / 3.0, within(0.0048));
    }
}

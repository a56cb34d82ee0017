package org.megabyte4j.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class ScheduleTest {
    private static final double PEAK = 3e-4;

    @ParameterizedTest
    @EnumSource
    void theRateRisesInEqualStepsToThePeakAndStaysThereOneStep(Schedule.Kind kind) {
        for (int warmup : new int[] {1, 7, 1000}) {
            Schedule schedule = new Schedule(kind, PEAK, warmup, 5000);
            double rate = 0;
            for (int step = 1; step <= warmup; step++) {
                rate += PEAK / warmup;
                assertThat(schedule.at(step)).isCloseTo(rate, within(1e-15));
            }
            assertThat(schedule.at(warmup)).isEqualTo(PEAK);
            assertThat(schedule.at(warmup + 1)).isEqualTo(PEAK);
        }
    }

    @ParameterizedTest
    @EnumSource
    void withoutWarmupTheFirstStepHasThePeak(Schedule.Kind kind) {
        for (long steps : new long[] {1, 2, 100, Long.MAX_VALUE}) {
            assertThat(new Schedule(kind, PEAK, 0, steps).at(1)).isEqualTo(PEAK);
        }
    }

    @Test
    void constantStaysAtThePeakForEver() {
        Schedule schedule = new Schedule(Schedule.Kind.CONSTANT, PEAK, 10, 20);
        for (long step : new long[] {10, 11, 20, 21, 1000, Long.MAX_VALUE}) {
            assertThat(schedule.at(step)).isEqualTo(PEAK);
        }
        assertThat(Schedule.constant(PEAK).at(1)).isEqualTo(PEAK);
    }

    @Test
    void linearFallsInEqualStepsToZeroBehindTheLast() {
        int warmup = 13;
        int steps = 200;
        Schedule schedule = new Schedule(Schedule.Kind.LINEAR, PEAK, warmup, steps);
        double rate = PEAK;
        for (int step = warmup + 1; step <= steps; step++) {
            assertThat(schedule.at(step)).isCloseTo(rate, within(1e-15)).isPositive();
            rate -= PEAK / (steps - warmup);
        }
        assertThat(schedule.at(steps + 1)).isZero();
        assertThat(schedule.at(steps + 100)).isZero();
    }

    /** cos(k a) by the recurrence of Chebyshev rather than by the library's cosine. */
    @Test
    void cosineFollowsHalfAWaveToZeroBehindTheLast() {
        int warmup = 13;
        int steps = 213;
        Schedule schedule = new Schedule(Schedule.Kind.COSINE, PEAK, warmup, steps);
        double cosine = Math.cos(Math.PI / (steps - warmup));
        double before = cosine;
        double now = 1;
        for (int step = warmup + 1; step <= steps; step++) {
            assertThat(schedule.at(step)).isCloseTo(PEAK * (1 + now) / 2, within(1e-14)).isPositive();
            double next = 2 * cosine * now - before;
            before = now;
            now = next;
        }
        assertThat(schedule.at(warmup + 1 + (steps - warmup) / 2)).isCloseTo(PEAK / 2, within(1e-18));
        assertThat(schedule.at(steps + 1)).isCloseTo(0, within(1e-18));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            COSINE   | 0        | 0   | 10 | --lr 0.0 is not a positive number; 0.001 is a good start
            COSINE   | -1       | 0   | 10 | --lr -1.0 is not a positive number; 0.001 is a good start
            CONSTANT | NaN      | 0   | 10 | --lr NaN is not a positive number; 0.001 is a good start
            CONSTANT | Infinity | 0   | 10 | --lr Infinity is not a positive number; 0.001 is a good start
            LINEAR   | 1        | -1  | 10 | --warmup -1 is negative; use 0 or more steps
            LINEAR   | 1        | 0   | 0  | --steps 0 is not possible; use at least 1
            LINEAR   | 1        | 10  | 10 | --warmup 10 leaves nothing of --steps 10; use fewer steps of warm-up
            """)
    void impossibleSchedulesGetASentence(Schedule.Kind kind, double peak, long warmup, long steps, String sentence) {
        assertThatThrownBy(() -> new Schedule(kind, peak, warmup, steps)).isInstanceOf(TrainException.class)
                .hasMessage(sentence);
    }
}

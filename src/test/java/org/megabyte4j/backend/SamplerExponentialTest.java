package org.megabyte4j.backend;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;

/** The sampler's own exponential, and its settings on their way through a tensor. */
class SamplerExponentialTest {
    @Test
    void isWithinTwoUnitsInTheLastPlace() {
        Random random = new Random(4);
        for (double range : new double[] {1e-9, 0.7, 20, 707}) {
            for (int i = 0; i < 100_000; i++) {
                double x = -range * random.nextDouble();
                double exact = StrictMath.exp(x);    // itself within one unit
                assertThat(Math.abs(Sampler.exponential(x) - exact)).as("e^%s", x)
                        .isLessThanOrEqualTo(3 * Math.ulp(exact));
            }
        }
    }

    @Test
    void theEndsAreExact() {
        assertThat(Sampler.exponential(0)).isEqualTo(1);
        assertThat(Sampler.exponential(-0.0)).isEqualTo(1);
        assertThat(Sampler.exponential(-708)).isZero();
        assertThat(Sampler.exponential(Double.NEGATIVE_INFINITY)).isZero();
        assertThat(Sampler.exponential(-707)).isPositive();
    }

    @Property
    void settingsSurviveTheTensor(@ForAll double temperature, @ForAll int topK, @ForAll double topP,
            @ForAll double penalty, @ForAll long seed) {
        SamplingSettings settings = new SamplingSettings(temperature, topK, topP, penalty, seed);
        assertThat(settings.toInts()).hasSize(SamplingSettings.COUNT);
        assertThat(SamplingSettings.of(settings.toInts())).isEqualTo(settings);
    }
}

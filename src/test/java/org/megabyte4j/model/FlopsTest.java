package org.megabyte4j.model;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class FlopsTest {
    private static final int BATCH = 3;
    private static final int LENGTH = 24;

    /** Counted the long way: every weight matrix of the layout by the rows it meets, every visible pair one by one. */
    private static long counted(MegabyteConfig config) {
        long rows = (long) BATCH * LENGTH;
        long patches = rows / config.patchSize();
        long sum = 0;
        for (var entry : ModelLayout.of(config).entries()) {
            boolean embedding = entry.name().matches("(g_|l_|to_|g_pos_)embed(der)?\\.weight");
            if (entry.shape().length == 2 && !embedding) {
                sum += 2 * entry.elements() * (entry.name().startsWith("g_transformer") ? patches : rows);
            }
        }
        return sum + config.globalLayers() * pairs(BATCH, LENGTH / config.patchSize()) * 4 * config.globalSize()
                + config.localLayers() * pairs(patches, config.patchSize()) * 4 * config.localSize();
    }

    private static long pairs(long sequences, int length) {
        long pairs = 0;
        for (int query = 0; query < length; query++) {
            for (int key = 0; key <= query; key++) {
                pairs++;
            }
        }
        return sequences * pairs;
    }

    @ParameterizedTest
    @EnumSource
    void countsEachWeightOncePerRowAndEachVisiblePair(Variant variant) {
        MegabyteConfig config = new MegabyteConfig(variant, 300, 4, 6, 10, 48, 3, 4, 2, 5, 0.02, 257, 258);
        assertThat(Flops.ofForward(config, BATCH, LENGTH)).isEqualTo(counted(config));
        assertThat(Flops.ofTrainingStep(config, BATCH, LENGTH)).isEqualTo(3 * counted(config));
    }
}

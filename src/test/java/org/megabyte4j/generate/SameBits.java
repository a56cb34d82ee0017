package org.megabyte4j.generate;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;

/** Whether generations are equal in every bit: ids, ends, and scores, which show the logits. */
public final class SameBits {
    private SameBits() {
    }

    public static void check(String what, List<Generated> actual, List<Generated> expected) {
        assertThat(actual).as(what).hasSameSizeAs(expected);
        for (int i = 0; i < actual.size(); i++) {
            assertThat(actual.get(i).ids()).as("%s, ids of %d", what, i).containsExactly(expected.get(i).ids());
            assertThat(actual.get(i).scores()).as("%s, scores of %d", what, i).isEqualTo(expected.get(i).scores());
            assertThat(actual.get(i).end()).as("%s, end of %d", what, i).isEqualTo(expected.get(i).end());
        }
    }
}

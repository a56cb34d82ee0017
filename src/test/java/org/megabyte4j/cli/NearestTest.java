package org.megabyte4j.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

class NearestTest {
    @Test
    void countsLettersAddedLeftOutWrongAndSwapped() {
        assertThat(Nearest.mistakes("train", "train")).isZero();
        assertThat(Nearest.mistakes("trainn", "train")).isEqualTo(1);
        assertThat(Nearest.mistakes("trin", "train")).isEqualTo(1);
        assertThat(Nearest.mistakes("drain", "train")).isEqualTo(1);
        assertThat(Nearest.mistakes("trian", "train")).isEqualTo(1);
        assertThat(Nearest.mistakes("", "train")).isEqualTo(5);
    }

    @Test
    void suggestsTheClosestWordAndNothingFarFetched() {
        List<String> valid = List.of("--batch", "--seed", "--seq-len", "--top-k", "--top-p");
        assertThat(Nearest.to("--bach", valid)).contains("--batch");
        assertThat(Nearest.to("--seqlen", valid)).contains("--seq-len");
        assertThat(Nearest.to("--topk", valid)).contains("--top-k");
        assertThat(Nearest.to("--temperature", valid)).isEmpty();
        assertThat(Nearest.to("train", List.of())).isEmpty();
    }
}

package org.megabyte4j.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;

class PlanReportTest {
    @Test
    void addsUpPlansByCategory() {
        MemoryPlan first = new MemoryPlan();
        first.tensor(MemoryPlan.Category.PARAMETERS, "weights", DType.F32, 1 << 20);
        first.tensor(MemoryPlan.Category.INPUTS, "ids", DType.I32, 1);
        MemoryPlan second = new MemoryPlan();
        second.tensor(MemoryPlan.Category.PARAMETERS, "more weights", DType.F32, 1 << 19);
        StringWriter out = new StringWriter();
        PlanReport.print(new PrintWriter(out, true), DType.BF16, first, second);
        assertThat(out.toString().lines()).containsExactly(
                "dtype                        bf16",
                "parameters              6,291,456 bytes     6.0 MiB",
                "inputs                        256 bytes   256 bytes",
                "total                   6,291,712 bytes     6.0 MiB");
    }

    @Test
    void sizesForPeopleHaveTheUnitThatFits() {
        assertThat(PlanReport.rounded(0)).isEqualTo("0 bytes");
        assertThat(PlanReport.rounded(1023)).isEqualTo("1023 bytes");
        assertThat(PlanReport.rounded(1536)).isEqualTo("1.5 KiB");
        assertThat(PlanReport.rounded(5L << 30)).isEqualTo("5.0 GiB");
        assertThat(PlanReport.rounded(Long.MAX_VALUE)).isEqualTo("8388608.0 TiB");
    }
}

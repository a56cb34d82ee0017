package org.megabyte4j.jmh;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Locale;
import java.util.Map;
import org.megabyte4j.backend.Cost;
import org.megabyte4j.backend.Rates;
import org.megabyte4j.tensor.DType;

/** What {@link KernelTimes} measured, as JSON and from there as a Markdown table. */
final class KernelReport {
    private final Map<DType, Rates> rates;
    private final ObjectNode report;
    private final ArrayNode rows;

    /**
     * @param device    in words
     * @param simulated whether times mean nothing
     * @param rates     that were measured in each type
     */
    KernelReport(String device, boolean simulated, Map<DType, Rates> rates) {
        this.rates = rates;
        report = JsonNodeFactory.instance.objectNode().put("device", device).put("simulated", simulated)
                .put("copy_gb_per_s", rates.get(DType.BF16).bytesPerSecond() / 1e9)
                .put("product_float32_tflop_per_s", rates.get(DType.F32).flopsPerSecond() / 1e12)
                .put("product_bf16_tflop_per_s", rates.get(DType.BF16).flopsPerSecond() / 1e12);
        rows = report.putArray("operations");
    }

    void add(KernelCase work, KernelTimer.Timing timing) {
        Cost cost = work.cost();
        Rates reached = rates.get(work.dtype());
        double floor = 1e6 * reached.floor(cost);
        double seconds = timing.median() * 1e-6;
        row(work).put("launches", timing.launches()).put("sets", timing.sets())
                .put("median_us", timing.median()).put("least_us", timing.least()).put("most_us", timing.most())
                .put("bytes", cost.bytes()).put("flops", cost.flops())
                .put("gb_per_s", cost.bytes() / seconds / 1e9).put("tflop_per_s", cost.flops() / seconds / 1e12)
                .put("floor_us", floor)
                .put("bound", reached.isMemoryBound(cost) ? "memory" : "arithmetic")
                .put("percent_of_roofline", 100 * floor / timing.median());
    }

    void addFailure(KernelCase work, String reason) {
        row(work).put("failure", reason);
    }

    private ObjectNode row(KernelCase work) {
        return rows.addObject().put("operation", work.operation()).put("shape", work.shape())
                .put("dtype", work.dtype().label());
    }

    ObjectNode json() {
        return report;
    }

    /** A table of a report, with the device and its roofline above. */
    static String markdown(JsonNode report) {
        StringBuilder text = new StringBuilder();
        if (report.path("simulated").asBoolean()) {
            text.append("**From the simulated device: these are not times of hardware.**\n\n");
        }
        text.append(report.path("device").asText()).append("\n\nRoofline, measured in the same run: copy ")
                .append(number(report.path("copy_gb_per_s"))).append(" GB/s (read and written), product in float32 ")
                .append(number(report.path("product_float32_tflop_per_s"))).append(" TFLOP/s, in bf16 ")
                .append(number(report.path("product_bf16_tflop_per_s"))).append(" TFLOP/s.\n\n")
                .append("| operation | shape | dtype | launches | median µs | least to most | GB/s | TFLOP/s |"
                        + " roofline µs | bound by | % of roofline |\n|---|---|---|--:|--:|---|--:|--:|--:|---|--:|\n");
        for (JsonNode row : report.path("operations")) {
            text.append("| ").append(row.path("operation").asText()).append(" | ").append(row.path("shape").asText())
                    .append(" | ").append(row.path("dtype").asText());
            if (row.has("failure")) {
                text.append(" | | **failed**: ").append(row.path("failure").asText().replace('|', '/'))
                        .append(" | | | | | | |\n");
                continue;
            }
            text.append(" | ").append(row.path("launches").asLong())
                    .append(" | ").append(number(row.path("median_us")))
                    .append(" | ").append(number(row.path("least_us")))
                    .append(" to ").append(number(row.path("most_us")))
                    .append(" | ").append(number(row.path("gb_per_s")))
                    .append(" | ").append(number(row.path("tflop_per_s")))
                    .append(" | ").append(number(row.path("floor_us")))
                    .append(" | ").append(row.path("bound").asText())
                    .append(" | ")
                    .append(String.format(Locale.ROOT, "%.0f", row.path("percent_of_roofline").asDouble()))
                    .append(" |\n");
        }
        return text.toString();
    }

    /** Three digits that count; nothing for nothing. */
    private static String number(JsonNode value) {
        return value.asDouble() == 0 ? "" : Report.number(value.asDouble());
    }
}

package org.megabyte4j.jmh;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Locale;

/** What {@code megabyte4j bench --roofline --json} says, as a Markdown table. */
final class RooflineTable {
    private RooflineTable() {
    }

    static String markdown(JsonNode report) {
        JsonNode total = report.path("total");
        StringBuilder text = new StringBuilder(String.format(Locale.ROOT, "%s, %s, batch %d, T = %d, %s: %.3f TFLOP,"
                + " %.1f MFLOP a byte. At %.0f TFLOP/s of products and %,.0f GB/s of copies the floor is %.2f ms",
                report.path("model").asText(), report.path("variant").asText(), report.path("batch").asInt(),
                report.path("seq_len").asInt(), report.path("dtype").asText(),
                report.path("model_flops").asDouble() / 1e12, report.path("model_flops_per_byte").asDouble() / 1e6,
                report.path("matrix_tflop_per_s").asDouble(), report.path("copy_gb_per_s").asDouble(),
                total.path("floor_us").asDouble() / 1e3));
        if (report.has("median_ms")) {
            text.append(String.format(Locale.ROOT, "; on %s the operations take %.2f ms one after the other, and a"
                    + " step %.2f ms", report.path("device_description").asText(), total.path("measured_us").asDouble() / 1e3,
                    report.path("median_ms").asDouble()));
        }
        text.append(".\n\n| part | operation | calls | GFLOP | MB | floor µs | bound by | measured µs"
                + " | floor, % of it |\n|---|---|--:|--:|--:|--:|---|--:|--:|\n");
        report.path("operations").forEach(row -> text.append(row(row, "")));
        report.path("parts").forEach(row -> text.append(row(row, "**")));
        return text.append(row(total, "**")).toString();
    }

    private static String row(JsonNode row, String mark) {
        boolean measured = row.has("measured_us");
        return String.format(Locale.ROOT, "| %s%s%s | %s | %d | %,.1f | %,.1f | %,.0f | %s | %s | %s |%n", mark,
                row.path("part").asText(), mark, row.path("operation").asText(), row.path("calls").asLong(),
                row.path("flops").asDouble() / 1e9, row.path("bytes").asDouble() / 1e6, row.path("floor_us").asDouble(),
                row.path("bound").asText(),
                measured ? String.format(Locale.ROOT, "%,.0f", row.path("measured_us").asDouble())
                        : "waits for hardware",
                measured ? String.format(Locale.ROOT, "%.0f", 100 * row.path("share").asDouble()) : "");
    }
}

package org.megabyte4j.jmh;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.StringJoiner;

/** A Markdown table of JMH's JSON results. */
final class Report {
    private Report() {
    }

    /**
     * @param json   what JMH wrote
     * @param device what the benchmarks ran on, in words
     */
    static String markdown(Path json, String device) throws IOException {
        JsonNode results = new ObjectMapper().readTree(json.toFile());
        StringBuilder text = new StringBuilder();
        if (!results.isEmpty()) {
            text.append("Java ").append(results.get(0).path("vmVersion").asText()).append("; ").append(device)
                    .append("\n\n");
        }
        return text.append(table(results)).toString();
    }

    /** The table alone. */
    static String table(JsonNode results) {
        StringBuilder text = new StringBuilder();
        text.append("| benchmark | parameters | mean | ± 99.9 % | unit |\n|---|---|--:|--:|---|\n");
        for (JsonNode result : results) {
            JsonNode metric = result.path("primaryMetric");
            text.append("| ").append(name(result.path("benchmark").asText()))
                    .append(" | ").append(parameters(result.path("params")))
                    .append(" | ").append(number(metric.path("score").asDouble()))
                    .append(" | ").append(number(metric.path("scoreError").asDouble()))
                    .append(" | ").append(metric.path("scoreUnit").asText()).append(" |\n");
        }
        return text.toString();
    }

    /** {@code org.megabyte4j.jmh.LinearBenchmark.forward} as {@code Linear.forward}. */
    private static String name(String qualified) {
        int method = qualified.lastIndexOf('.');
        int type = qualified.lastIndexOf('.', method - 1);
        return qualified.substring(type + 1).replace("Benchmark.", ".");
    }

    private static String parameters(JsonNode params) {
        StringJoiner words = new StringJoiner(", ");
        params.fields().forEachRemaining(p -> words.add(p.getKey() + " " + p.getValue().asText()));
        return words.toString();
    }

    /** Three digits that count; JMH writes the text NaN for the error of a single measurement. */
    static String number(double value) {
        if (Double.isNaN(value)) {
            return "";
        }
        int decimals = Math.clamp(2 - (long) Math.floor(Math.log10(Math.max(Math.abs(value), 1e-3))), 0, 5);
        return String.format(Locale.ROOT, "%,." + decimals + "f", value);
    }
}

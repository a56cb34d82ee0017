package org.megabyte4j.jmh;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.megabyte4j.model.ModelLayout;
import org.megabyte4j.model.Presets;
import org.megabyte4j.model.Variant;

/**
 * What megabyte4j and its peers reached on the same work, over the rounds of one run: the lines of
 * {@code jmh/compare.py}, which {@code run-checks.sh} leaves for a GPU too. The first line of such a file has facts of
 * the run, the others a round of one case each, with the reports of both sides.
 */
final class SpeedCase {
    private static final String OURS = "megabyte4j";

    private final JsonNode work;
    private final Map<String, Side> sides = new LinkedHashMap<>();

    private SpeedCase(JsonNode work) {
        this.work = work;
        sides.put(OURS, new Side(OURS));
    }

    /** The reports of one program, and for a peer how much faster megabyte4j was in the same rounds. */
    static final class Side {
        private final String name;
        private final List<JsonNode> reports = new ArrayList<>();
        private final List<Double> ratios = new ArrayList<>();

        Side(String name) {
            this.name = name;
        }

        String name() {
            return name;
        }

        /** KB/s: median, least, most. */
        double[] rates() {
            return spread(reports.stream().map(SpeedCase::rate).toList());
        }

        /** megabyte4j's rate over this one's: median, least, most. */
        double[] ratios() {
            return spread(ratios);
        }

        boolean isPeer() {
            return !ratios.isEmpty();
        }

        /** The median of a figure; NaN where the side does not report it. */
        double median(String field) {
            List<Double> values = reports.stream().map(report -> report.path(field)).filter(JsonNode::isNumber)
                    .map(JsonNode::asDouble).toList();
            return values.isEmpty() ? Double.NaN : spread(values)[0];
        }
    }

    /** Cases in the order of a file. */
    static List<SpeedCase> read(Path file) throws IOException {
        Map<String, SpeedCase> cases = new LinkedHashMap<>();
        for (JsonNode line : lines(file)) {
            JsonNode ours = line.path("ours");
            if (ours.isObject()) {
                SpeedCase of = cases.computeIfAbsent(title(ours), title -> new SpeedCase(ours));
                of.sides.get(OURS).reports.add(ours);
                JsonNode peer = line.path("peer");
                if (peer.isObject()) {
                    Side side = of.sides.computeIfAbsent(name(peer), Side::new);
                    side.reports.add(peer);
                    side.ratios.add(rate(ours) / rate(peer));
                }
            }
        }
        return List.copyOf(cases.values());
    }

    /** The reports of a file by the names of the phases of {@code run-checks.sh}; missing where there is none. */
    static Function<String, JsonNode> reports(Path file) throws IOException {
        Map<String, JsonNode> found = new HashMap<>();
        for (JsonNode line : lines(file)) {
            String phase = line.path("case").asText();
            found.put(phase, line.path("ours"));
            found.put("peer-" + phase + (line.path("peer").path("compiled").asBoolean() ? "-compiled" : ""),
                    line.path("peer"));
        }
        return phase -> found.getOrDefault(phase, MissingNode.getInstance());
    }

    /** The facts of a file: date, machine, versions. */
    static JsonNode facts(Path file) throws IOException {
        return lines(file).getFirst();
    }

    private static List<JsonNode> lines(Path file) throws IOException {
        ObjectMapper json = new ObjectMapper();
        List<JsonNode> lines = new ArrayList<>();
        for (String line : Files.readAllLines(file)) {
            lines.add(json.readTree(line));
        }
        return lines;
    }

    String title() {
        return title(work);
    }

    private static String title(JsonNode report) {
        String batch = ", batch " + report.path("batch").asText();
        String dtype = report.path("dtype").asText();
        String weights = report.path("weights").asText(dtype);
        String what = report.path("mode").asText().equals("train")
                ? "training" + batch + ", T = " + report.path("seq_len").asText()
                : "generation" + (report.path("batch").asInt(1) == 1 ? "" : batch) + ", context "
                        + report.path("context").asText();
        return report.path("model").asText() + special(report) + ", " + what + ", " + dtype
                + (weights.equals(dtype) ? "" : ", weights in " + weights);
    }

    /** What of the model or the step is not as usual. */
    private static String special(JsonNode report) {
        StringBuilder text = new StringBuilder();
        if (report.path("variant").asText().equals(Variant.MEGABYTE.id())) {
            text.append(", variant ").append(Variant.MEGABYTE.id());
        }
        String model = report.path("model").asText();
        int patch = report.path("patch_size").asInt();
        if (patch > 0 && Presets.all().containsKey(model) && Presets.named(model).patchSize() != patch) {
            text.append(", P = ").append(patch);
        }
        if (!report.path("optimizer").asText("adamw").equals("adamw")) {
            text.append(", ").append(report.path("optimizer").asText());
        }
        return text.toString();
    }

    private static String name(JsonNode peer) {
        return "PyTorch, " + (peer.path("compiled").asBoolean() ? "compiled" : "eager")
                + (!peer.has("cache") ? "" : peer.path("cache").asBoolean() ? ", with caches" : ", without caches");
    }

    private static double rate(JsonNode report) {
        return report.has("kb_per_s") ? report.path("kb_per_s").asDouble()
                : report.path("bytes_per_s").asDouble() / 1e3;
    }

    private static double[] spread(List<Double> values) {
        double[] sorted = values.stream().mapToDouble(Double::doubleValue).sorted().toArray();
        int middle = sorted.length / 2;
        double median = sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
        return new double[] {median, sorted[0], sorted[sorted.length - 1]};
    }

    /** megabyte4j first, then its peers, the fastest first. */
    List<Side> sides() {
        return sides.values().stream().sorted((a, b) -> a.isPeer() != b.isPeer()
                ? Boolean.compare(a.isPeer(), b.isPeer()) : Double.compare(b.rates()[0], a.rates()[0])).toList();
    }

    /** Parameters of the model; 0 where the report does not tell and it is no preset. */
    long parameters() {
        String model = work.path("model").asText();
        return work.has("parameters") ? work.path("parameters").asLong()
                : Presets.all().containsKey(model) ? ModelLayout.of(Presets.named(model)).parameterCount() : 0;
    }

    /** Peak of the card in TFLOP/s; NaN where it is not known. */
    double peak() {
        return sides.get(OURS).median("peak_tflop_per_s");
    }
}

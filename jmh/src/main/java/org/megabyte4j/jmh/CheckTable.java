package org.megabyte4j.jmh;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.MissingNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/**
 * One page about a run of {@code native-build/run-checks.sh}, from what its phases left in the folder of results:
 * {@code phases.tsv}, {@code PHASE.json} of both sides' benchmarks, {@code kernels.json}, {@code jmh.json}. The same
 * figures of both sides go into {@code gpu.jsonl}, for {@link BenchReport}.
 */
public final class CheckTable {
    /** Phases of other ways to do the same: for the page, not for the report. */
    private static final String EXPERIMENTS = ".*-(untuned|fused|unfused)";

    private final Path folder;
    private final StringBuilder text = new StringBuilder();

    private CheckTable(Path folder) {
        this.folder = folder;
    }

    /** @param args the folder; {@code table.md} is written there */
    public static void main(String[] args) throws IOException {
        Path folder = Path.of(args[0]);
        Files.writeString(folder.resolve("table.md"), of(folder));
        Files.writeString(folder.resolve("gpu.jsonl"), new CheckTable(folder).lines());
    }

    /** A line of facts, then one for each pair of reports on the same work, as {@code compare.py} writes them. */
    String lines() throws IOException {
        List<ObjectNode> lines = new ArrayList<>();
        for (String work : cases("train-", "generate-")) {
            if (!work.matches(EXPERIMENTS)) {
                List<String> peers = new ArrayList<>(List.of("peer-" + work, "peer-" + work + "-compiled"));
                peers.removeIf(peer -> !report(peer).isObject());
                (peers.isEmpty() ? List.of("") : peers).forEach(peer -> lines.add(line(work, peer)));
            }
        }
        ObjectNode facts = JsonNodeFactory.instance.objectNode().put("date", LocalDate.now().toString());
        if (!lines.isEmpty()) {
            JsonNode ours = lines.getFirst().path("ours");
            facts.put("machine", ours.path("device_description").asText()).put("java", ours.path("java").asText());
        }
        lines.addFirst(facts);
        return lines.stream().map(line -> line + "\n").collect(Collectors.joining());
    }

    private ObjectNode line(String work, String peer) {
        ObjectNode line = JsonNodeFactory.instance.objectNode().put("case", work);
        line.set("ours", report(work));
        if (!peer.isEmpty()) {
            line.set("peer", report(peer));
        }
        return line;
    }

    /** The phases that left a report and whose names begin so, in the order in which they ran. */
    private List<String> cases(String... beginnings) throws IOException {
        return Files.readAllLines(folder.resolve("phases.tsv")).stream().map(line -> line.split("\t", -1)[0]).distinct()
                .filter(phase -> Arrays.stream(beginnings).anyMatch(phase::startsWith))
                .filter(phase -> report(phase).isObject()).toList();
    }

    /** The page. */
    static String of(Path folder) throws IOException {
        CheckTable table = new CheckTable(folder);
        table.phases();
        table.targets();
        table.training();
        table.generation();
        table.launches();
        table.roofline();
        table.kernels();
        return table.text.toString();
    }

    private void phases() throws IOException {
        text.append("# Checks\n\n");
        List<String> lines = Files.readAllLines(folder.resolve("phases.tsv"));
        JsonNode device = device();
        if (simulated()) {
            text.append("**From the simulated device: no time here is one of hardware.**\n\n");
        }
        if (device != null) {
            text.append(device.path("device_description").asText()).append("; Java ")
                    .append(device.path("java").asText()).append("\n\n");
        }
        text.append("| phase | status | seconds | |\n|---|---|--:|---|\n");
        for (String line : lines) {
            String[] cells = line.split("\t", -1);
            String status = cells[1].equals("ok") || cells[1].equals("skipped") ? cells[1] : "**" + cells[1] + "**";
            text.append("| ").append(cells[0]).append(" | ").append(status).append(" | ").append(cells[2]).append(" | ")
                    .append(cells[3]).append(" |\n");
        }
    }

    /** A report that names the device, if there is one. */
    private JsonNode device() throws IOException {
        return cases("").stream().map(this::report).filter(r -> r.has("device_description"))
                .findFirst().orElse(null);
    }

    private boolean simulated() throws IOException {
        JsonNode device = device();
        return device != null && device.path("device").asText().equals("simulated");
    }

    private void targets() throws IOException {
        String rows = simulated() ? "" : Targets.markdown(this::report);
        if (!rows.isEmpty()) {
            text.append("\n## Targets\n\nOf an H200; ratios are megabyte4j's rate over PyTorch's.\n\n").append(rows);
        }
    }

    private void training() throws IOException {
        text.append("\n## Training\n\nA step: forward, loss, backward, the optimiser. The ratio is that of rates,"
                + " megabyte4j's over PyTorch's.\n\n"
                + "| case | side | batch x bytes | median ms | least to most | KB/s | TFLOP/s | MFU | device memory, MiB"
                + " | ratio |\n|---|---|---|--:|---|--:|--:|--:|--:|--:|\n");
        for (String work : cases("train-")) {
            JsonNode ours = report(work);
            trainingRow(work, "megabyte4j", ours, ours);
            trainingRow(work, "PyTorch, eager", report("peer-" + work), ours);
            trainingRow(work, "PyTorch, compiled", report("peer-" + work + "-compiled"), ours);
            trainingRow(work, "PyTorch, compiled, float32 weights", report("peer-" + work + "-autocast"), ours);
        }
    }

    private void trainingRow(String work, String side, JsonNode report, JsonNode ours) {
        if (report.isMissingNode()) {
            return;
        }
        List<Double> steps = sorted(report.path("step_ms"));
        double rate = report.path("gflop_per_s").asDouble() / 1e3;
        double peak = ours.path("peak_tflop_per_s").asDouble();
        row(work.substring("train-".length()), side + way(report),
                report.path("batch").asText() + " x " + report.path("seq_len").asText(), number(report, "median_ms"),
                Report.number(steps.getFirst()) + " to " + Report.number(steps.getLast()), number(report, "kb_per_s"),
                Report.number(rate), peak > 0 ? String.format(Locale.ROOT, "%.1f %%", 100 * rate / peak) : "",
                report.has("device_memory_mib") ? number(report, "device_memory_mib") : "",
                ratio(ours, report, "kb_per_s"));
    }

    private void generation() throws IOException {
        text.append("\n## Generation\n\nGreedy, with caches on both sides; the rate of all sequences together.\n\n"
                + "| case | side | sequences | context | bytes/s | median ms of a byte | first byte ms | ratio |\n"
                + "|---|---|--:|--:|--:|--:|--:|--:|\n");
        for (String work : cases("generate-")) {
            JsonNode ours = report(work);
            generationRow(work, "megabyte4j", ours, ours);
            generationRow(work, "PyTorch, eager", report("peer-" + work), ours);
            generationRow(work, "PyTorch, compiled", report("peer-" + work + "-compiled"), ours);
        }
    }

    private void generationRow(String work, String side, JsonNode report, JsonNode ours) {
        if (report.isMissingNode()) {
            return;
        }
        List<Double> bytes = sorted(report.path("byte_ms"));
        row(work.substring("generate-".length()), side + way(report), report.path("batch").asText(),
                report.path("context").asText(), number(report, "bytes_per_s"),
                Report.number(bytes.get(bytes.size() / 2)), number(report, "first_byte_ms"),
                ratio(ours, report, "bytes_per_s"));
    }

    /** Which of several ways was the fastest. */
    private static String way(JsonNode report) {
        return report.path("compiled").asBoolean() && report.has("way") ? " (" + report.path("way").asText() + ")" : "";
    }

    private void launches() throws IOException {
        Path json = folder.resolve("jmh.json");
        if (Files.exists(json)) {
            text.append("\n## Launches\n\nOf one kernel that ends at once, in batches of 100.\n\n")
                    .append(Report.table(new ObjectMapper().readTree(json.toFile())));
        }
    }

    private void roofline() throws IOException {
        for (String phase : cases("roofline-")) {
            text.append("\n## A training step, operation by operation\n\n")
                    .append(RooflineTable.markdown(report(phase)));
        }
    }

    private void kernels() {
        JsonNode report = report("kernels");
        if (!report.isMissingNode()) {
            text.append("\n## Operations\n\n").append(KernelReport.markdown(report));
        }
    }

    private void row(String... cells) {
        text.append("| ").append(String.join(" | ", cells)).append(" |\n");
    }

    /** What a phase left; missing where it left nothing that can be read. */
    private JsonNode report(String phase) {
        ObjectMapper mapper = new ObjectMapper();
        Path file = folder.resolve(phase + ".json");
        try {
            return Files.exists(file) ? mapper.readTree(file.toFile()) : MissingNode.getInstance();
        } catch (IOException e) {
            return MissingNode.getInstance();
        }
    }

    private static String number(JsonNode report, String field) {
        return Report.number(report.path(field).asDouble());
    }

    private static String ratio(JsonNode ours, JsonNode other, String field) {
        return ours == other || ours.isMissingNode() ? ""
                : String.format(Locale.ROOT, "%.2f", ours.path(field).asDouble() / other.path(field).asDouble());
    }

    private static List<Double> sorted(JsonNode times) {
        List<Double> values = new ArrayList<>();
        times.forEach(time -> values.add(time.asDouble()));
        Collections.sort(values);
        return values.isEmpty() ? List.of(Double.NaN) : values;
    }
}

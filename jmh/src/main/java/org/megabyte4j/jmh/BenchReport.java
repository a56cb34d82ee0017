package org.megabyte4j.jmh;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.megabyte4j.cli.Main;

/**
 * {@code make bench-report}: the table and the picture of {@code docs/benchmarks.md}, and the budget of
 * {@code docs/performance.md}, from the figures in {@code docs/benchmarks}: {@code compare.jsonl} of the CPU, and what
 * {@code run-checks.sh} leaves on a GPU, {@code gpu.jsonl}, of several sets under names such as
 * {@code gpu-training.jsonl}, and {@code roofline-bf16.json}.
 */
public final class BenchReport {
    private static final String[] PLANNED = {"bench", "--roofline", "--preset", "benchmark", "--batch", "32",
        "--seq-len", "2048", "--dtype", "bf16", "--card", "h200", "--json"};

    private static final String CPU = "compare.jsonl";

    private BenchReport() {
    }

    /** @param args the folder of the documents */
    public static void main(String[] args) throws IOException {
        Path docs = Path.of(args[0]);
        Path figures = docs.resolve("benchmarks");
        StringBuilder text = new StringBuilder();
        for (Path lines : runs(figures)) {
            section(text, lines, figures.resolve(lines.getFileName().toString().replace(".jsonl", ".png")));
            if (!lines.getFileName().toString().equals(CPU)) {
                String targets = Targets.markdown(SpeedCase.reports(lines));
                text.append(targets).append(targets.isEmpty() ? "" : "\n");
            }
        }
        put(docs.resolve("benchmarks.md"), text.toString());
        put(docs.resolve("performance.md"), RooflineTable.markdown(roofline(figures.resolve("roofline-bf16.json"))));
    }

    /** What was measured on GPUs, in the order of the files' names, then on the CPU. */
    private static List<Path> runs(Path figures) throws IOException {
        try (Stream<Path> files = Files.list(figures)) {
            return files.filter(file -> file.getFileName().toString().matches("gpu.*\\.jsonl|" + CPU))
                    .sorted(Comparator.comparing((Path file) -> file.endsWith(CPU)).thenComparing(Path::getFileName))
                    .toList();
        }
    }

    private static void section(StringBuilder text, Path lines, Path picture) throws IOException {
        List<SpeedCase> cases = SpeedCase.read(lines);
        JsonNode facts = SpeedCase.facts(lines);
        String machine = facts.path("machine").asText() + ", " + facts.path("date").asText();
        SpeedBars.write(picture, cases, machine.replaceFirst(",.*(?=, \\d{4}-)", ""));
        text.append("![Bars of speed against PyTorch](benchmarks/").append(picture.getFileName()).append(")\n\n")
                .append(machine).append(".\n\n").append(table(cases)).append('\n');
    }

    /** A row for each side of each case. */
    static String table(List<SpeedCase> cases) {
        StringBuilder text = new StringBuilder("| case | parameters | | KB/s (range) | memory | MFU"
                + " | megabyte4j's speed over it |\n|---|--:|---|--:|--:|--:|---|\n");
        for (SpeedCase work : cases) {
            for (SpeedCase.Side side : work.sides()) {
                List<String> cells = new ArrayList<>();
                cells.add(side.isPeer() ? "" : work.title());
                cells.add(side.isPeer() || work.parameters() == 0 ? ""
                        : String.format(Locale.ROOT, "%,.1f M", work.parameters() / 1e6));
                cells.add(side.name());
                cells.add(spread(side.rates()));
                cells.add(memory(side));
                cells.add(utilisation(work, side));
                cells.add(side.isPeer() ? "**" + spread(side.ratios()).replaceFirst(" ", "** ") : "");
                text.append("| ").append(String.join(" | ", cells)).append(" |\n");
            }
        }
        return text.toString();
    }

    private static String spread(double[] values) {
        return Report.number(values[0]) + " (" + Report.number(values[1]) + " to " + Report.number(values[2]) + ")";
    }

    /** Of the device where it has its own, or else of the process. */
    private static String memory(SpeedCase.Side side) {
        double share = side.median("device_memory_share");
        double resident = side.median("peak_rss_mib");
        return !Double.isNaN(share) ? String.format(Locale.ROOT, "%.1f %% of the device", 100 * share)
                : !Double.isNaN(resident) ? String.format(Locale.ROOT, "%,.0f MiB", resident) : "";
    }

    /** Both sides' FLOPs are those of the model, so that equal work is equal utilisation. */
    private static String utilisation(SpeedCase work, SpeedCase.Side side) {
        double share = side.median("gflop_per_s") / 1e3 / work.peak();
        return Double.isNaN(share) ? "" : String.format(Locale.ROOT, "%.1f %%", 100 * share);
    }

    /** What was measured on hardware, or else the plan. */
    private static JsonNode roofline(Path measured) throws IOException {
        if (Files.exists(measured)) {
            return new ObjectMapper().readTree(measured.toFile());
        }
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        if (Main.run(PLANNED, new PrintWriter(out, true), new PrintWriter(err, true)) != 0) {
            throw new IllegalStateException(err.toString());
        }
        return new ObjectMapper().readTree(out.toString());
    }

    /** Replaces what a document has between the markers. */
    static void put(Path document, String text) throws IOException {
        String begin = "<!-- make bench-report writes from here -->";
        String end = "<!-- make bench-report writes to here -->";
        String all = Files.readString(document);
        int from = all.indexOf(begin);
        int to = all.indexOf(end);
        if (from < 0 || to < from || all.indexOf(begin, from + 1) >= 0 || all.indexOf(end, to + 1) >= 0) {
            throw new IOException(document + " must have the line " + begin + " and below it the line " + end
                    + ", each once; the table goes between them");
        }
        Files.writeString(document, all.substring(0, from + begin.length()) + "\n" + text + all.substring(to));
    }
}

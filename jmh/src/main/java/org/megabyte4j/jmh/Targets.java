package org.megabyte4j.jmh;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * What a GPU, an H200 first of all, is to reach, and whether it did: from the reports that the phases of
 * {@code run-checks.sh} leave. Ratios are those of rates, megabyte4j's over a peer's, from one run.
 */
final class Targets {
    private final Function<String, JsonNode> reports;
    private final List<Target> targets = new ArrayList<>();

    /**
     * @param reached what was measured; empty where a phase that it needs left nothing
     * @param most    whether it is to be at most, not at least, as much as needed
     */
    private record Target(String what, double needed, boolean most, OptionalDouble reached) {
        boolean isMet() {
            return most ? reached.getAsDouble() <= needed : reached.getAsDouble() >= needed;
        }

        String row() {
            return "| %s | %s %s | %s | %s |\n".formatted(what, most ? "at most" : "at least", Report.number(needed),
                    Report.number(reached.getAsDouble()), isMet() ? "met" : "**missed**");
        }
    }

    private Targets(Function<String, JsonNode> reports) {
        this.reports = reports;
        training();
        attention();
        generation();
    }

    /**
     * A row for each target that something was measured for, and the names of the rest.
     *
     * @param reports what a phase left, by its name; missing where it left nothing
     */
    static String markdown(Function<String, JsonNode> reports) {
        List<Target> all = new Targets(reports).targets;
        String rows = all.stream().filter(target -> target.reached.isPresent()).map(Target::row)
                .collect(Collectors.joining());
        if (rows.isEmpty()) {
            return "";
        }
        String rest = all.stream().filter(target -> target.reached.isEmpty()).map(Target::what)
                .collect(Collectors.joining("; "));
        return "| target | needed | measured | |\n|---|---|--:|---|\n" + rows
                + (rest.isEmpty() ? "" : "\nNot measured: " + rest + ".\n");
    }

    private void training() {
        atLeast("training, benchmark, MB/s: first milestone", 3, scaled("train-bf16", "kb_per_s", 1e-3));
        atLeast("training, benchmark, MB/s: aim", 4, scaled("train-bf16", "kb_per_s", 1e-3));
        for (String variant : new String[] {"bf16", "megabyte"}) {
            String what = variant.equals("bf16") ? "training, benchmark, " : "training, variant megabyte, ";
            atLeast(what + "over eager PyTorch", 3, over("train-" + variant, "kb_per_s", ""));
            atLeast(what + "over compiled PyTorch", 1.25, over("train-" + variant, "kb_per_s", "-compiled"));
        }
        atMost("training, benchmark, device memory over compiled PyTorch's", 0.6,
                over("train-bf16", "device_memory_mib", "-compiled"));
        atMost("training, Adafactor's step time over AdamW's", 1.1,
                quotient(figure("train-adafactor", "median_ms"), figure("train-bf16", "median_ms")));
        for (String shape : new String[] {"p4", "p16", "130m", "t8192"}) {
            atLeast("training, " + shape + ", over compiled PyTorch", 1.15,
                    over("train-" + shape, "kb_per_s", "-compiled"));
        }
        atLeast("training, paper, share of the peak (MFU)", 0.45, figure("train-paper", "mfu"));
        JsonNode roofline = reports.apply("roofline-bf16");
        atMost("training, benchmark, gaps' share of a step", 0.03, gaps(roofline));
        for (JsonNode row : roofline.path("operations")) {
            if (row.path("operation").asText().equals("adamW")) {
                atLeast("training, AdamW, share of the copy's bandwidth", 0.85, number(row, "share"));
            }
        }
        for (String length : new String[] {"1m", "8m"}) {
            JsonNode report = reports.apply("train-" + length);
            OptionalDouble taken = scaled("train-" + length, "device_memory_mib", 0x1p20);
            atMost("training, " + length + ", device memory over the plan's", 1.03,
                    quotient(taken, number(report, "planned_bytes")));
        }
    }

    /** Forward over long contexts, heads of 64, against what was published of an H100; Shah et al. 2024. */
    private void attention() {
        attention("1 x 4096, ", 284, 363, 420);
        attention("1 x 16384, ", 299, 388, 473);
    }

    private void attention(String shape, double flash2, double cudnn, double flash3) {
        for (JsonNode row : reports.apply("kernels").path("operations")) {
            if (row.path("operation").asText().equals("causalAttention") && row.path("dtype").asText().equals("bf16")
                    && row.path("shape").asText().startsWith(shape)) {
                String what = "attention, " + row.path("shape").asText() + ", TFLOP/s: ";
                OptionalDouble reached = number(row, "tflop_per_s");
                atLeast(what + "FlashAttention-2", flash2, reached);
                atLeast(what + "cuDNN", cudnn, reached);
                atLeast(what + "FlashAttention-3", flash3, reached);
            }
        }
    }

    private void generation() {
        double[][] rates = {{1e4, 2e4}, {3e5, 1e6}};
        String[] cases = {"generate-bf16", "generate-64-bf16"};
        for (int i = 0; i < cases.length; i++) {
            String what = "generation, benchmark, " + (i == 0 ? "batch 1" : "batch 64");
            atLeast(what + ", bytes/s: first milestone", rates[i][0], figure(cases[i], "bytes_per_s"));
            atLeast(what + ", bytes/s: aim", rates[i][1], figure(cases[i], "bytes_per_s"));
            atLeast(what + ", over PyTorch's best", 2, over(cases[i], "bytes_per_s", "-compiled"));
        }
        atLeast("generation, paper-large, batch 1, bytes/s", 2000, figure("generate-paper-large", "bytes_per_s"));
    }

    private void atLeast(String what, double needed, OptionalDouble reached) {
        targets.add(new Target(what, needed, false, reached));
    }

    private void atMost(String what, double needed, OptionalDouble reached) {
        targets.add(new Target(what, needed, true, reached));
    }

    private OptionalDouble figure(String phase, String field) {
        return number(reports.apply(phase), field);
    }

    private OptionalDouble scaled(String phase, String field, double factor) {
        OptionalDouble value = figure(phase, field);
        return value.isPresent() ? OptionalDouble.of(factor * value.getAsDouble()) : value;
    }

    /** Ours over the peer's. */
    private OptionalDouble over(String phase, String field, String peer) {
        return quotient(figure(phase, field), figure("peer-" + phase + peer, field));
    }

    /** The part of a step, as it runs in training, in which no operation does. */
    private static OptionalDouble gaps(JsonNode roofline) {
        OptionalDouble share = quotient(number(roofline.path("total"), "measured_us"), number(roofline, "median_ms"));
        return share.isPresent() ? OptionalDouble.of(Math.max(0, 1 - share.getAsDouble() / 1e3)) : share;
    }

    private static OptionalDouble quotient(OptionalDouble a, OptionalDouble b) {
        return a.isPresent() && b.isPresent() ? OptionalDouble.of(a.getAsDouble() / b.getAsDouble())
                : OptionalDouble.empty();
    }

    private static OptionalDouble number(JsonNode report, String field) {
        JsonNode value = report.path(field);
        return value.isNumber() ? OptionalDouble.of(value.asDouble()) : OptionalDouble.empty();
    }
}

package org.megabyte4j.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.megabyte4j.backend.Cost;
import org.megabyte4j.backend.Rates;
import org.megabyte4j.train.StepAccount;

/**
 * A training step, operation by operation: what it has to do, the least time for that, and where it ran, the time that
 * it took. A call's floor is the longer of moving its bytes and doing its FLOPs; floors add up.
 */
final class RooflineReport {
    /** Less of a floor than this is not worth a word about what bounds it. */
    private static final double MOSTLY = 0.9;

    private final Rates rates;
    private final long modelFlops;
    private final long bytesPerStep;
    private final Map<StepAccount.Part, Row> parts = new LinkedHashMap<>();
    private final List<Row> rows = new ArrayList<>();
    private final Row total = new Row("total", "");

    /**
     * @param calls        of a step
     * @param modelFlops   what the model needs by its mathematics, without what is computed again
     * @param bytesPerStep of text
     */
    RooflineReport(List<StepAccount.Call> calls, Rates rates, long modelFlops, long bytesPerStep) {
        this.rates = rates;
        this.modelFlops = modelFlops;
        this.bytesPerStep = bytesPerStep;
        for (StepAccount.Part part : StepAccount.Part.values()) {
            Map<String, Row> operations = new LinkedHashMap<>();
            Row sum = new Row(name(part), "");
            for (StepAccount.Call call : calls) {
                if (call.part() == part) {
                    operations.computeIfAbsent(call.operation(), name -> new Row(name(part), name)).add(call);
                    sum.add(call);
                    total.add(call);
                }
            }
            rows.addAll(operations.values());
            parts.put(part, sum);
        }
    }

    private static String name(StepAccount.Part part) {
        return part.name().toLowerCase(Locale.ROOT);
    }

    /** Calls of one operation in one part of the model, or of several. */
    private final class Row {
        private final String part;
        private final String operation;
        private long calls;
        private Cost cost = Cost.NONE;
        private double floor;
        private double memoryFloor;
        private double seconds;

        Row(String part, String operation) {
            this.part = part;
            this.operation = operation;
        }

        void add(StepAccount.Call call) {
            calls++;
            cost = cost.plus(call.cost());
            floor += rates.floor(call.cost());
            memoryFloor += rates.isMemoryBound(call.cost()) ? rates.floor(call.cost()) : 0;
            seconds += call.seconds();
        }

        boolean isMeasured() {
            return !Double.isNaN(seconds);
        }

        String bound() {
            return memoryFloor >= MOSTLY * floor ? "memory" : memoryFloor <= (1 - MOSTLY) * floor ? "products" : "both";
        }

        void into(ObjectNode node) {
            node.put("part", part).put("operation", operation).put("calls", calls).put("flops", cost.flops())
                    .put("bytes", cost.bytes()).put("floor_us", 1e6 * floor).put("bound", bound());
            if (isMeasured()) {
                node.put("measured_us", 1e6 * seconds).put("share", floor / seconds);
            }
        }

        void print(PrintWriter out) {
            out.printf(Locale.ROOT, "%-10s %-24s %6d %,11.1f %,11.1f %,12.1f  %-8s", part, operation, calls,
                    cost.flops() / 1e9, cost.bytes() / 1e6, 1e6 * floor, bound());
            if (isMeasured()) {
                out.printf(Locale.ROOT, " %,12.1f %6.1f", 1e6 * seconds, 100 * floor / seconds);
            }
            out.println();
        }
    }

    void into(ObjectNode report) {
        report.put("matrix_tflop_per_s", rates.flopsPerSecond() / 1e12)
                .put("copy_gb_per_s", rates.bytesPerSecond() / 1e9)
                .put("model_flops", modelFlops).put("model_flops_per_byte", (double) modelFlops / bytesPerStep);
        ArrayNode operations = report.putArray("operations");
        rows.forEach(row -> row.into(operations.addObject()));
        ArrayNode sums = report.putArray("parts");
        parts.values().forEach(row -> row.into(sums.addObject()));
        total.into(report.putObject("total"));
    }

    void print(PrintWriter out) {
        out.printf(Locale.ROOT, "rates       %.1f TFLOP/s of products, %,.0f GB/s of copies%n",
                rates.flopsPerSecond() / 1e12, rates.bytesPerSecond() / 1e9);
        out.printf("%n%-10s %-24s %6s %11s %11s %12s  %-8s%s%n", "part", "operation", "calls", "GFLOP", "MB",
                "floor us", "bound by", total.isMeasured() ? String.format(" %12s %6s", "measured us", "%") : "");
        rows.forEach(row -> row.print(out));
        out.println();
        parts.values().forEach(row -> row.print(out));
        total.print(out);
        out.println();
        out.printf(Locale.ROOT, "model       %.3f TFLOP a step, %.1f MFLOP a byte; the operations have %.3f, with what"
                + " is computed again%n", modelFlops / 1e12, modelFlops / 1e6 / bytesPerStep,
                total.cost.flops() / 1e12);
        out.printf(Locale.ROOT, "floor       %.3f ms a step, %,.1f KB/s; of products alone %.3f ms%n",
                1e3 * total.floor, bytesPerStep / total.floor / 1e3, 1e3 * modelFlops / rates.flopsPerSecond());
        if (total.isMeasured()) {
            out.printf(Locale.ROOT, "measured    %.3f ms, the operations one after the other%n", 1e3 * total.seconds);
        }
    }
}

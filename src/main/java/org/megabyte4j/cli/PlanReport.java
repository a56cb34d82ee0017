package org.megabyte4j.cli;

import java.io.PrintWriter;
import java.util.Locale;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;

/** What {@code --plan} prints: the exact bytes that a command takes on its device, by category. */
final class PlanReport {
    private PlanReport() {
    }

    /**
     * The sum of several plans as a table.
     *
     * @param dtype in which the model computes
     */
    static void print(PrintWriter out, DType dtype, MemoryPlan... plans) {
        out.printf("%-12s %20s%n", "dtype", dtype.label());
        long total = 0;
        for (var size : MemoryPlan.bytesByCategory(plans).entrySet()) {
            row(out, size.getKey().name().toLowerCase(Locale.ROOT), size.getValue());
            total = Math.addExact(total, size.getValue());
        }
        row(out, "total", total);
    }

    private static void row(PrintWriter out, String name, long bytes) {
        out.printf(Locale.ROOT, "%-12s %,20d bytes  %10s%n", name, bytes, rounded(bytes));
    }

    /** A size for people: {@code 640 bytes}, {@code 1.5 MiB}. */
    static String rounded(long bytes) {
        String[] units = {"KiB", "MiB", "GiB", "TiB"};
        if (bytes < 1024) {
            return bytes + " bytes";
        }
        double size = bytes / 1024.0;
        int unit = 0;
        while (size >= 1024 && unit < units.length - 1) {
            size /= 1024;
            unit++;
        }
        return String.format(Locale.ROOT, "%.1f %s", size, units[unit]);
    }
}

package org.megabyte4j.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.tensor.DType;

/** What the measurements of {@code megabyte4j bench} have in common: their input, and figures of a report. */
final class BenchFigures {
    /** Of weights and input. */
    static final long SEED = 1;

    private BenchFigures() {
    }

    /** Bytes. */
    static int[] randomIds(SplittableRandom random, int count, MegabyteConfig config) {
        return random.ints(count, 0, Math.min(256, config.vocabularySize())).toArray();
    }

    /** Of the device: its memory, and what only its GPU could choose. */
    static void putDevice(Backend backend, ObjectNode report) {
        Backend.MemoryUse use = backend.memoryUse();
        if (use != null) {
            report.put("device_memory_mib", rounded(use.taken() / 0x1p20))
                    .put("device_memory_share", rounded((double) use.taken() / use.total()));
        }
        if (!backend.choices().isEmpty()) {
            ObjectNode choices = report.putObject("choices");
            backend.choices().forEach(choices::put);
        }
    }

    /** The model's FLOPs as a share of the peak of dense products; nothing for a card whose peak is not known. */
    static void putUtilisation(Backend backend, DType dtype, double flopsPerSecond, ObjectNode report) {
        Card card = Card.of(backend.description());
        if (card != null) {
            report.put("peak_tflop_per_s", card.peak(dtype) / 1e12)
                    .put("mfu", rounded(flopsPerSecond / card.peak(dtype)));
        }
    }

    /** The largest resident memory of this process so far, in MiB; null where the system does not tell. */
    static Double peakMemory() throws IOException {
        Path status = Path.of("/proc/self/status");
        if (!Files.isReadable(status)) {
            return null;
        }
        try (Stream<String> lines = Files.lines(status)) {
            return lines.filter(line -> line.startsWith("VmHWM:")).findFirst()
                    .map(line -> rounded(Long.parseLong(line.replaceAll("\\D", "")) / 1024.0)).orElse(null);
        }
    }

    /** Each figure in a line, without the single times. */
    static void print(PrintWriter out, ObjectNode report) {
        report.properties().forEach(field -> {
            if (field.getValue().isObject()) {
                field.getValue().properties().forEach(choice ->
                        out.printf("chosen             %s: %s%n", choice.getKey(), choice.getValue().asText()));
            } else if (!field.getValue().isArray()) {
                out.printf("%-18s %s%n", field.getKey(), field.getValue().asText());
            }
        });
    }

    static double median(double[] times) {
        double[] sorted = times.clone();
        Arrays.sort(sorted);
        int middle = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    static ArrayNode array(double[] times) {
        ArrayNode array = JsonNodeFactory.instance.arrayNode();
        Arrays.stream(times).forEach(array::add);
        return array;
    }

    static double milliseconds(long nanoseconds) {
        return nanoseconds / 1e6;
    }

    static double rounded(double value) {
        return Math.round(value * 1000) / 1000.0;
    }
}

package org.megabyte4j.backend.cuda;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Consumer;
import org.slf4j.LoggerFactory;

/**
 * The algorithms that were measured to be the fastest, in a JSON file of the user: by GPU, driver and version of
 * cuBLASLt, then by the looks of the product. A file that cannot be read or written costs measuring again, and one
 * warning; never a failure.
 *
 * <pre>{@code
 * {"format": 1, "machines": {"NVIDIA H200, driver 13.0, cuBLASLt 13.1.1": {
 *    "64x256x128 NT bf16 to f32, aligned 256 16 0 256 0":
 *        {"microseconds": 12.5, "algorithm": ["0000000000000042", ...]}}}}
 * }</pre>
 */
final class AlgorithmCache {
    private static final int FORMAT = 1;
    private static final int WORDS = 8;

    private final ObjectMapper json = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);
    private final Path file;
    private final String machine;
    private final Consumer<String> warning;
    private final Map<String, long[]> known = new HashMap<>();
    private boolean warned;

    /** @param machine GPU, driver and library, for which alone the entries hold */
    AlgorithmCache(Path file, String machine) {
        this(file, machine, LoggerFactory.getLogger(AlgorithmCache.class)::warn);
    }

    /** For tests: with another place for the warning. */
    AlgorithmCache(Path file, String machine, Consumer<String> warning) {
        this.file = file;
        this.machine = machine;
        this.warning = warning;
        read().path("machines").path(machine).properties().forEach(entry -> {
            long[] words = words(entry.getValue().path("algorithm"));
            if (words != null) {
                known.put(entry.getKey(), words);
            }
        });
    }

    /**
     * The user's file: {@code megabyte4j/gemm-algorithms.json} below {@code XDG_CACHE_HOME} or {@code ~/.cache}. The
     * property {@code megabyte4j.gemmAlgorithms} or the variable {@code MEGABYTE4J_GEMM_ALGORITHMS} name another.
     */
    static Path usualFile() {
        String asked = System.getProperty("megabyte4j.gemmAlgorithms", System.getenv("MEGABYTE4J_GEMM_ALGORITHMS"));
        if (asked != null) {
            return Path.of(asked);
        }
        String caches = System.getenv("XDG_CACHE_HOME");
        Path folder = caches == null || caches.isEmpty() ? Path.of(System.getProperty("user.home"), ".cache")
                : Path.of(caches);
        return folder.resolve("megabyte4j").resolve("gemm-algorithms.json");
    }

    /** The words of the algorithm that was noted for a product; null for none. */
    long[] find(GemmShape shape) {
        return known.get(shape.toString());
    }

    /** Notes a result, beside what other processes have noted meanwhile. */
    void note(GemmShape shape, long[] words, double seconds) {
        known.put(shape.toString(), words.clone());
        ObjectNode root = read();
        root.put("format", FORMAT);
        ObjectNode entry = json.createObjectNode();
        entry.put("microseconds", Math.round(seconds * 1e9) / 1e3);
        ArrayNode algorithm = entry.putArray("algorithm");
        for (long word : words) {
            algorithm.add(String.format("%016x", word));
        }
        root.withObjectProperty("machines").withObjectProperty(machine).set(shape.toString(), entry);
        try {
            write(root);
        } catch (IOException | RuntimeException e) {
            warn("cannot be written", e);
        }
    }

    /** A whole file or none, whatever happens. */
    private void write(ObjectNode root) throws IOException {
        Path folder = file.toAbsolutePath().getParent();
        Files.createDirectories(folder);
        Path part = Files.createTempFile(folder, file.getFileName().toString(), ".part");
        try {
            json.writeValue(part.toFile(), root);
            Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(part);
        }
    }

    /** What the file holds; an empty object if there is none that can be read. */
    private ObjectNode read() {
        try {
            JsonNode root = json.readTree(Files.readAllBytes(file));
            JsonNode machines = root.path("machines");
            if (root instanceof ObjectNode object && root.path("format").asInt() == FORMAT && machines.isObject()
                    && (machines.path(machine).isObject() || machines.path(machine).isMissingNode())) {
                return object;
            }
            warn("is not a list of algorithms", null);
        } catch (NoSuchFileException e) {
            // Nothing was measured yet.
        } catch (IOException | RuntimeException e) {
            warn("cannot be read", e);
        }
        return json.createObjectNode();
    }

    private static long[] words(JsonNode algorithm) {
        if (algorithm.size() != WORDS) {
            return null;
        }
        long[] words = new long[WORDS];
        try {
            for (int i = 0; i < WORDS; i++) {
                words[i] = Long.parseUnsignedLong(algorithm.get(i).asText(), 16);
            }
        } catch (NumberFormatException e) {
            return null;
        }
        return words;
    }

    private void warn(String what, Exception reason) {
        if (!warned) {
            warned = true;
            warning.accept("the file of measured matrix product algorithms, " + file + ", " + what
                    + (reason == null ? "" : ": " + reason) + "; they are measured again, and results may differ in"
                    + " their last bits from those of another process");
        }
    }
}

package org.megabyte4j.backend.cuda;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
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
 * What was measured to be the fastest, in a JSON file of the user: by machine (GPU, driver, library), then by what
 * there was to choose. A file that cannot be read or written costs measuring again, and one warning; never a failure.
 *
 * <pre>{@code
 * {"format": 2, "machines": {"NVIDIA H200, driver 13.0, cuBLASLt 13.1.1": {
 *    "64x256x128 NT bf16 to f32, aligned 256 16 0 256 0":
 *        {"microseconds": 12.5, "chosen": "0000000000000042 ..."}}}}
 * }</pre>
 */
final class TuningCache {
    private static final int FORMAT = 2;

    private final ObjectMapper json = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);
    private final Path file;
    private final String machine;
    private final Consumer<String> warning;
    private final Map<String, String> known = new HashMap<>();
    private boolean warned;

    /**
     * @param machine what alone the entries hold for
     * @param again   whether to begin anew, without what was noted before
     */
    TuningCache(Path file, String machine, boolean again) {
        this(file, machine, again, LoggerFactory.getLogger(TuningCache.class)::warn);
    }

    /** For tests: with another place for the warning. */
    TuningCache(Path file, String machine, boolean again, Consumer<String> warning) {
        this.file = file;
        this.machine = machine;
        this.warning = warning;
        if (!again) {
            read().path("machines").path(machine).properties().forEach(entry -> {
                if (entry.getValue().path("chosen").isTextual()) {
                    known.put(entry.getKey(), entry.getValue().path("chosen").asText());
                }
            });
        }
    }

    /**
     * The user's file: {@code megabyte4j/tuning.json} below {@code XDG_CACHE_HOME} or {@code ~/.cache}. The property
     * {@code megabyte4j.tuningCache} or the variable {@code MEGABYTE4J_TUNING_CACHE} name another.
     */
    static Path usualFile() {
        String asked = System.getProperty("megabyte4j.tuningCache", System.getenv("MEGABYTE4J_TUNING_CACHE"));
        if (asked != null) {
            return Path.of(asked);
        }
        String caches = System.getenv("XDG_CACHE_HOME");
        Path folder = caches == null || caches.isEmpty() ? Path.of(System.getProperty("user.home"), ".cache")
                : Path.of(caches);
        return folder.resolve("megabyte4j").resolve("tuning.json");
    }

    /** What was chosen; null for nothing. */
    String find(Object what) {
        return known.get(what.toString());
    }

    /** Notes a result, beside what other processes have noted meanwhile. */
    void note(Object what, String chosen, double seconds) {
        known.put(what.toString(), chosen);
        ObjectNode root = read();
        root.put("format", FORMAT);
        ObjectNode entry = json.createObjectNode();
        entry.put("microseconds", Math.round(seconds * 1e9) / 1e3).put("chosen", chosen);
        root.withObjectProperty("machines").withObjectProperty(machine).set(what.toString(), entry);
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
            warn("is not a list of choices", null);
        } catch (NoSuchFileException e) {
            // Nothing was measured yet.
        } catch (IOException | RuntimeException e) {
            warn("cannot be read", e);
        }
        return json.createObjectNode();
    }

    private void warn(String what, Exception reason) {
        if (!warned) {
            warned = true;
            warning.accept("the file of measured choices, " + file + ", " + what
                    + (reason == null ? "" : ": " + reason) + "; they are measured again, and results may differ in"
                    + " their last bits from those of another process");
        }
    }
}

package org.megabyte4j.verify;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.megabyte4j.checkpoint.CheckpointException;

/** Recorded results in JSON. */
final class GoldenJson {
    private static final JsonMapper MAPPER = new JsonMapper();

    private GoldenJson() {
    }

    /** @throws CheckpointException if the file cannot be read or holds no JSON object */
    static JsonNode read(Path file) {
        try {
            JsonNode tree = MAPPER.readTree(Files.readAllBytes(file));
            if (tree == null || !tree.isObject()) {
                throw new CheckpointException(file + " holds no JSON object");
            }
            return tree;
        } catch (JsonProcessingException e) {
            throw new CheckpointException(file + " is not valid JSON: " + e.getOriginalMessage(), e);
        } catch (IOException e) {
            throw new CheckpointException(file + " cannot be read: " + e.getMessage(), e);
        }
    }

    /** @throws CheckpointException if the field is not there, or is no number above 0 */
    static double number(JsonNode tree, String field, Path file) {
        JsonNode value = tree.path(field);
        if (!value.isNumber() || !(value.doubleValue() > 0)) {
            throw new CheckpointException(file + " has no number above 0 in the field \"" + field + "\"");
        }
        return value.doubleValue();
    }

    /** @throws CheckpointException if the field is not there, or is no whole number from 1 to 2^31 - 1 */
    static int count(JsonNode tree, String field, Path file) {
        JsonNode value = tree.path(field);
        if (!value.isIntegralNumber() || !value.canConvertToInt() || value.intValue() < 1) {
            throw new CheckpointException(file + " has no whole number above 0 in the field \"" + field + "\"");
        }
        return value.intValue();
    }
}

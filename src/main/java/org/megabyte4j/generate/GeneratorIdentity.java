package org.megabyte4j.generate;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.nio.file.Path;
import org.megabyte4j.model.ConfigJson;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.tensor.DType;

/**
 * What a generator computes with, as far as its results depend on it.
 *
 * @param config     of the model, as in its {@code config.json}
 * @param parameters CRC-32C of the model's weights, in hexadecimal digits
 * @param dtype      in which it computes, F32 or BF16
 * @param weights    in which it reads the matrices
 * @param alignment  where patches begin
 */
record GeneratorIdentity(JsonNode config, String parameters, DType dtype, DType weights, Alignment alignment) {
    private static final JsonMapper MAPPER = new JsonMapper();

    static JsonNode json(MegabyteConfig config) {
        try {
            return MAPPER.readTree(ConfigJson.write(config));
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a configuration must have a JSON form", e);
        }
    }

    /** @throws GenerationException if something differs; the message names it, both values, and the way out */
    void require(Path file, GeneratorIdentity actual) {
        config.properties().forEach(field -> require(file, "a model with " + field.getKey() + " "
                + field.getValue().asText(), field.getValue(), actual.config.get(field.getKey()), "the same model"));
        require(file, "the dtype " + dtype.label(), dtype.label(), actual.dtype.label(), "--dtype " + dtype.label());
        require(file, "weights in " + weights.label(), weights.label(), actual.weights.label(),
                "--weights " + weights.label());
        require(file, "the alignment " + alignment, alignment, actual.alignment, "the alignment " + alignment);
        require(file, "a model whose weights have the checksum " + parameters, parameters, actual.parameters,
                "the same model");
    }

    private static void require(Path file, String what, Object saved, Object actual, String wayOut) {
        if (!saved.equals(actual)) {
            throw new GenerationException(file + " was generated with " + what + ", but here it is "
                    + (actual instanceof JsonNode node ? node.asText() : actual) + "; use " + wayOut);
        }
    }
}

package org.megabyte4j.model;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.exc.UnrecognizedPropertyException;
import com.fasterxml.jackson.databind.exc.ValueInstantiationException;
import com.fasterxml.jackson.databind.json.JsonMapper;

/** {@link MegabyteConfig} as JSON with the reference's field names, every one of them required. */
public final class ConfigJson {
    private static final JsonMapper MAPPER = JsonMapper.builder()
            .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
            .disable(MapperFeature.ALLOW_COERCION_OF_SCALARS)
            .enable(JsonParser.Feature.STRICT_DUPLICATE_DETECTION)
            .build();

    private ConfigJson() {
    }

    /** JSON text, indented. */
    public static String write(MegabyteConfig config) {
        try {
            return MAPPER.writerWithDefaultPrettyPrinter().writeValueAsString(config) + "\n";
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a configuration must have a JSON form", e);
        }
    }

    /**
     * @param json   the text
     * @param source where it comes from, for messages
     * @throws ConfigException if it is no JSON, has an unknown field or lacks one, or describes no possible model
     */
    public static MegabyteConfig read(String json, String source) {
        try {
            MegabyteConfig config = MAPPER.readValue(json, MegabyteConfig.class);
            if (config == null) {
                throw new ConfigException(source + " holds null instead of a configuration");
            }
            return config;
        } catch (UnrecognizedPropertyException e) {
            throw new ConfigException(source + " has the unknown field \"" + e.getPropertyName()
                    + "\"; the fields are " + e.getKnownPropertyIds(), e);
        } catch (ValueInstantiationException e) {
            String reason = e.getCause() instanceof ConfigException cause ? cause.getMessage() : e.getOriginalMessage();
            throw new ConfigException(source + ": " + reason, e);
        } catch (JsonMappingException e) {
            throw new ConfigException(source + " is not a model configuration: " + e.getOriginalMessage(), e);
        } catch (JsonProcessingException e) {
            throw new ConfigException(source + " is not valid JSON: " + e.getOriginalMessage(), e);
        }
    }
}

package org.megabyte4j.model;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.exc.ValueInstantiationException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.lang.reflect.RecordComponent;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/** {@link MegabyteConfig} as JSON with the reference's field names, all required but {@code l_dim_head}. */
public final class ConfigJson {
    private static final JsonMapper MAPPER = JsonMapper.builder()
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
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
            JsonNode tree = MAPPER.readTree(json);
            checkFields(tree, source);
            return MAPPER.treeToValue(tree, MegabyteConfig.class);
        } catch (ValueInstantiationException e) {
            throw new ConfigException(source + ": " + e.getCause().getMessage(), e);
        } catch (JsonProcessingException e) {
            throw new ConfigException(source + " is not valid JSON: " + e.getOriginalMessage(), e);
        }
    }

    private static void checkFields(JsonNode tree, String source) {
        if (!tree.isObject()) {
            throw new ConfigException(source + " holds no JSON object; a model configuration is one");
        }
        Map<String, Class<?>> fields = new LinkedHashMap<>();
        Set<String> optional = new HashSet<>();
        for (RecordComponent component : MegabyteConfig.class.getRecordComponents()) {
            String name = component.getAccessor().getAnnotation(JsonProperty.class).value();
            fields.put(name, component.getType());
            if (component.getAccessor().isAnnotationPresent(JsonInclude.class)) {
                optional.add(name);
            }
        }
        tree.fieldNames().forEachRemaining(name -> {
            if (!fields.containsKey(name)) {
                throw new ConfigException(source + " has the unknown field \"" + name + "\"; the fields are "
                        + String.join(", ", fields.keySet()));
            }
        });
        fields.forEach((name, type) -> {
            JsonNode value = tree.get(name);
            if (value == null && optional.contains(name)) {
                return;
            }
            if (value == null) {
                throw new ConfigException(source + " lacks the field \"" + name + "\"");
            }
            String wanted = wanted(type, value);
            if (wanted != null) {
                throw new ConfigException(source + " has " + value + " in the field \"" + name + "\"; use " + wanted);
            }
        });
    }

    /** What a field of this type takes, or null if the value is that. */
    private static String wanted(Class<?> type, JsonNode value) {
        if (type == Variant.class) {
            boolean known = Arrays.stream(Variant.values()).anyMatch(v -> v.id().equals(value.textValue()));
            return known ? null : "\"megabyte\" or \"megabyte_in_action\"";
        }
        if (type == double.class) {
            return value.isNumber() ? null : "a number";
        }
        boolean fits = value.isIntegralNumber() && value.canConvertToInt();
        return fits || type == Integer.class && value.isNull() ? null : "a whole number";
    }
}

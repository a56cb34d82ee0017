package org.megabyte4j.model;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/** Ready-made configurations, in the {@code megabyte_in_action} variant unless changed. */
public final class Presets {
    private static final Map<String, MegabyteConfig> ALL = new LinkedHashMap<>();

    static {
        put("tiny", 4, 16, 64, 1024, 2, 4, 2, 4);
        put("small", 8, 32, 128, 2048, 4, 4, 2, 4);
        put("megabyte-130m", 8, 96, 512, 2048, 12, 12, 6, 8);
        put("benchmark", 8, 128, 256, 2048, 12, 16, 6, 4);
        put("paper", 8, 256, 1024, 8192, 14, 16, 18, 16);
        put("paper-large", 8, 256, 1024, 8192, 24, 32, 15, 16);
    }

    private Presets() {
    }

    private static void put(String name, int patch, int globalEmbedding, int local, int length,
            int globalLayers, int globalHeads, int localLayers, int localHeads) {
        ALL.put(name, new MegabyteConfig(Variant.IN_ACTION, 512, patch, globalEmbedding, local, length,
                globalLayers, globalHeads, localLayers, localHeads, 0.02, 257, 258));
    }

    /** Name to configuration, smallest model first. */
    public static Map<String, MegabyteConfig> all() {
        return Collections.unmodifiableMap(ALL);
    }

    /** @throws ConfigException if there is no such preset */
    public static MegabyteConfig named(String name) {
        MegabyteConfig config = ALL.get(name);
        if (config == null) {
            throw new ConfigException("there is no preset \"" + name + "\"; the presets are "
                    + String.join(", ", ALL.keySet()));
        }
        return config;
    }
}

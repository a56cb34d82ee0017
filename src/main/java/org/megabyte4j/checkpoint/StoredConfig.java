package org.megabyte4j.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.megabyte4j.model.ConfigException;
import org.megabyte4j.model.ConfigJson;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Variant;

/**
 * A {@code config.json} as it is found: native, or written by the reference's Hugging Face wrapper, which has
 * {@code eos_token_id} for {@code eos_id}, may have {@code pad_token_id} for {@code pad_id}, and has many fields that
 * do not concern the model.
 */
final class StoredConfig {
    private static final List<String> SIZES = List.of("V", "P", "D_G", "D_L", "T_MAX", "g_nlayers", "g_nheads",
            "l_nlayers", "l_nheads", "initializer_range", "pad_id", "eos_id", "variant");
    private static final long LARGEST = 1 << 20;

    private final Path source;
    private final ObjectNode tree;
    private final boolean wrapped;

    private StoredConfig(Path source, ObjectNode tree, boolean wrapped) {
        this.source = source;
        this.tree = tree;
        this.wrapped = wrapped;
    }

    /** @param guess the variant where the file names none; null if there is no guess */
    static StoredConfig read(Path file, Variant guess) {
        try {
            long size = Files.size(file);
            if (size > LARGEST) {
                throw new CheckpointException(file + " has " + size + " bytes, too many for a model configuration");
            }
            return parse(Files.readAllBytes(file), file, guess);
        } catch (IOException e) {
            throw DurableFiles.unreadable(file, e);
        }
    }

    static StoredConfig parse(byte[] text, Path source, Variant guess) {
        JsonNode json = Json.parse(text, source.toString());
        if (!(json instanceof ObjectNode tree)) {
            throw new ConfigException(source + " is not a model configuration: it is not a JSON object");
        }
        boolean wrapped = tree.has("eos_token_id") || tree.has("model_type") || tree.has("transformers_version");
        return new StoredConfig(source, wrapped ? unwrapped(tree, guess) : withVariant(tree, guess), wrapped);
    }

    private static ObjectNode unwrapped(ObjectNode tree, Variant guess) {
        ObjectNode own = JsonNodeFactory.instance.objectNode();
        for (String field : SIZES) {
            String alias = field.replace("_id", "_token_id");
            JsonNode value = tree.has(field) ? tree.get(field) : tree.get(alias);
            if (value != null) {
                own.set(field, value);
            }
        }
        return withVariant(own, guess);
    }

    private static ObjectNode withVariant(ObjectNode tree, Variant guess) {
        if (!tree.has("variant") && guess != null) {
            tree.put("variant", guess.id());
        }
        return tree;
    }

    /**
     * The configuration with the number of local heads that was asked for.
     *
     * @param keyValue the weights of a local attention's keys and values, {@code [2 * head size, D_L]}; may be null
     */
    MegabyteConfig resolve(LocalHeads choice, StoredTensor keyValue, Consumer<String> notice) {
        int byFile = tree.path("l_nheads").asInt();
        int byLayers = tree.path("l_nlayers").asInt();
        if (!wrapped || byFile == byLayers || byLayers < 1) {
            return ConfigJson.read(tree.toString(), source.toString());
        }
        boolean layersFit = fits(byLayers, keyValue);
        boolean fileFits = fits(byFile, keyValue);
        String found = keyValue == null ? "" : ", and the weights " + keyValue + " are those of "
                + (layersFit ? byLayers : fileFits ? byFile : "neither") + " heads";
        String explanation = source + " was written by the Hugging Face wrapper, which builds as many local heads as"
                + " local layers: l_nheads is " + byFile + ", l_nlayers " + byLayers + found;
        if (choice == LocalHeads.LAYERS && fileFits && !layersFit) {
            throw new CheckpointException(explanation + "; use --hf-local-heads file");
        }
        if (choice == LocalHeads.FILE && layersFit && !fileFits) {
            throw new CheckpointException(explanation + "; use --hf-local-heads layers");
        }
        if (choice == LocalHeads.LAYERS || choice == LocalHeads.AUTO && layersFit) {
            if (choice == LocalHeads.AUTO) {
                notice.accept(explanation + "; it is read with " + byLayers);
            }
            tree.put("l_nheads", byLayers);
            int width = tree.path("D_L").asInt();
            if (width % byLayers != 0) {
                tree.put("l_dim_head", width / byLayers);
            }
        }
        return ConfigJson.read(tree.toString(), source.toString());
    }

    private boolean fits(int heads, StoredTensor keyValue) {
        return keyValue != null && keyValue.shape().length == 2 && heads > 0
                && keyValue.shape()[0] == 2 * (keyValue.shape()[1] / heads);
    }
}

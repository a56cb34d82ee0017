package org.megabyte4j.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.function.Consumer;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.checkpoint.LocalHeads;
import org.megabyte4j.checkpoint.ModelFile;
import org.megabyte4j.model.ConfigJson;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Presets;
import org.megabyte4j.model.Variant;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Option;

/** Which model is trained, and from which weights. */
final class ModelArguments {
    private static final String DEFAULT_PRESET = "small";

    /** Completions for {@code --preset}. */
    static final class PresetNames implements Iterable<String> {
        @Override
        public Iterator<String> iterator() {
            return Presets.all().keySet().iterator();
        }
    }

    /** Where the sizes come from. */
    static final class Origin {
        @Option(names = "--preset", paramLabel = "NAME", completionCandidates = PresetNames.class,
                description = "A ready-made model: ${COMPLETION-CANDIDATES}; default " + DEFAULT_PRESET + ".")
        private String preset;

        @Option(names = "--config", paramLabel = "FILE", description = "A model described by a config.json.")
        private Path config;

        @Option(names = "--init-from", paramLabel = "MODEL",
                description = "A run folder, or a folder or file of a model, whose weights to start from.")
        private Path model;
    }

    @ArgGroup
    private Origin origin = new Origin();

    @Option(names = "--variant", paramLabel = "VARIANT", description = "megabyte (learned positions) or"
            + " megabyte_in_action (ALiBi, takes any length); default is the model's own.")
    private String variant;

    boolean isGiven() {
        return variant != null || origin.preset != null || origin.config != null || origin.model != null;
    }

    /** The model whose weights to start from; null for fresh ones. */
    Path initialModel() {
        return origin.model;
    }

    /** @param notice gets a sentence about what is unusual in {@code --init-from}'s model */
    MegabyteConfig config(Consumer<String> notice) {
        if (origin.model != null) {
            if (variant != null) {
                throw new MegabyteException("--variant " + variant + " cannot be chosen for the trained model "
                        + origin.model + "; leave it out");
            }
            try (ModelFile file = ModelFile.open(origin.model, LocalHeads.AUTO, notice)) {
                return file.config();
            }
        }
        MegabyteConfig config = origin.config != null ? read(origin.config)
                : preset(origin.preset == null ? DEFAULT_PRESET : origin.preset);
        return variant == null ? config : config.withVariant(named(variant));
    }

    private static MegabyteConfig preset(String name) {
        if (!Presets.all().containsKey(name)) {
            Nearest.to(name, Presets.all().keySet()).ifPresent(preset -> {
                throw new MegabyteException("there is no preset \"" + name + "\"; did you mean " + preset + "?");
            });
        }
        return Presets.named(name);
    }

    private static MegabyteConfig read(Path file) {
        try {
            return ConfigJson.read(Files.readString(file), file.toString());
        } catch (NoSuchFileException e) {
            throw new MegabyteException("there is no configuration " + file, e);
        } catch (IOException e) {
            throw new MegabyteException("the configuration " + file + " cannot be read: "
                    + (Files.isDirectory(file) ? "it is a folder" : e.getMessage()), e);
        }
    }

    private static Variant named(String id) {
        for (Variant variant : Variant.values()) {
            if (variant.id().equalsIgnoreCase(id) || variant.name().equalsIgnoreCase(id)) {
                return variant;
            }
        }
        throw new MegabyteException("there is no variant " + id + "; use megabyte or megabyte_in_action");
    }
}

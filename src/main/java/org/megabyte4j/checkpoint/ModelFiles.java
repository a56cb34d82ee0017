package org.megabyte4j.checkpoint;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.model.ConfigJson;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.tensor.DType;

/** Models to and from folders with {@code config.json} and {@code model.safetensors}. */
public final class ModelFiles {
    private ModelFiles() {
    }

    /**
     * Loads a model.
     *
     * @param path   a folder with {@code config.json} and {@code model.safetensors} or {@code pytorch_model.bin}, such
     *               as a run folder, or a file of weights with {@code config.json} beside it
     * @param notice gets a sentence about what was found to be unusual, but could be resolved
     * @return the caller closes it
     * @throws CheckpointException if a file is missing or damaged, the two do not fit, or a weight is not finite
     */
    public static Parameters load(Path path, Backend backend, Consumer<String> notice) {
        return load(path, DType.F32, backend, notice);
    }

    /** As {@link #load(Path, Backend, Consumer)} for a model that computes in {@code dtype}, F32 or BF16. */
    public static Parameters load(Path path, DType dtype, Backend backend, Consumer<String> notice) {
        try (ModelFile file = ModelFile.open(path, LocalHeads.AUTO, notice)) {
            return file.load(dtype, backend);
        }
    }

    /** Only the configuration of a model, and whether its weights fit it. */
    public static MegabyteConfig config(Path path, Consumer<String> notice) {
        try (ModelFile file = ModelFile.open(path, LocalHeads.AUTO, notice)) {
            return file.config();
        }
    }

    /**
     * Writes a model into a folder, which is made if it is not there. Each file is replaced as a whole.
     *
     * @throws CheckpointException if it cannot be written
     */
    public static void save(Path folder, Parameters parameters, Backend backend) {
        new SafeTensorsWriter(TensorSource.of(parameters, backend), Map.of("format", "pt"))
                .write(folder.resolve(ModelFile.SAFETENSORS));
        saveConfig(folder, parameters.config());
    }

    /**
     * Writes an opened model into a folder, which is made if it is not there.
     *
     * @param dtype     of the weights; null for each tensor's own
     * @param overwrite whether to replace a model that is there
     * @return the file of weights
     * @throws CheckpointException if the folder holds a model already, a weight is not finite or too large for the
     *                             dtype, or a file cannot be written
     */
    public static Path write(Path folder, ModelFile model, WeightFormat format, DType dtype, boolean overwrite) {
        if (Files.exists(folder) && !Files.isDirectory(folder)) {
            throw new CheckpointException(folder + " is a file; name a folder to write the model into");
        }
        for (String name : List.of(ModelFile.CONFIG, ModelFile.SAFETENSORS, ModelFile.PYTORCH)) {
            if (!overwrite && Files.exists(folder.resolve(name))) {
                throw new CheckpointException(folder + " already holds " + name
                        + "; add --force to replace it, or choose another folder");
            }
        }
        model.requireFinite();
        List<TensorSource> weights = dtype == null ? model.sources()
                : model.sources().stream().map(source -> source.as(dtype)).toList();
        Path file = folder.resolve(format.fileName());
        switch (format) {
            case SAFETENSORS -> new SafeTensorsWriter(weights, Map.of("format", "pt")).write(file);
            case PYTORCH -> new PyTorchWriter(weights).write(file);
        }
        saveConfig(folder, model.config());
        return file;
    }

    static void saveConfig(Path folder, MegabyteConfig config) {
        byte[] text = ConfigJson.write(config).getBytes(StandardCharsets.UTF_8);
        DurableFiles.replace(folder.resolve(ModelFile.CONFIG), text.length, DurableFiles.content(text));
    }
}

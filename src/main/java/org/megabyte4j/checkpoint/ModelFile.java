package org.megabyte4j.checkpoint;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.ModelLayout;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;

/**
 * A model on disk, opened: {@code config.json} with {@code model.safetensors} or {@code pytorch_model.bin} beside it,
 * which fit each other.
 */
public final class ModelFile implements AutoCloseable {
    static final String CONFIG = "config.json";
    static final String SAFETENSORS = "model.safetensors";
    static final String PYTORCH = "pytorch_model.bin";

    private static final String HEAD = "to_logits.weight";
    private static final String LOCAL_KEY_VALUE = "l_transformer.layers.0.0.to_kv.weight";
    private static final int CHUNK = 1 << 20;

    private final TensorFile file;
    private final MegabyteConfig config;
    private final ParameterLayout layout;
    private final Map<String, StoredTensor> tensors;

    private ModelFile(TensorFile file, MegabyteConfig config, Map<String, StoredTensor> tensors) {
        this.file = file;
        this.config = config;
        this.layout = ModelLayout.of(config);
        this.tensors = tensors;
    }

    /**
     * Opens a model and compares its weights with its configuration.
     *
     * @param path       a folder, or a file of weights with {@code config.json} beside it
     * @param localHeads whom to believe about the local heads
     * @param notice     gets a sentence about what was found to be unusual, but could be resolved
     * @throws CheckpointException if a file is missing or damaged, or the two do not fit
     * @throws org.megabyte4j.model.ConfigException if the configuration describes no model
     */
    public static ModelFile open(Path path, LocalHeads localHeads, Consumer<String> notice) {
        Path weights = weights(path);
        Path configFile = weights.resolveSibling(CONFIG);
        if (!Files.isRegularFile(configFile)) {
            throw new CheckpointException(weights + " has no " + CONFIG + " beside it, which tells the model's sizes");
        }
        TensorFile file = TensorFile.open(weights);
        try {
            Map<String, StoredTensor> tensors = withoutPrefix(file, notice);
            StoredConfig stored = StoredConfig.read(configFile, variant(tensors));
            MegabyteConfig config = stored.resolve(localHeads, tensors.get(LOCAL_KEY_VALUE), notice);
            compare(weights, configFile, config, tensors);
            return new ModelFile(file, config, tensors);
        } catch (RuntimeException | Error e) {
            file.close();
            throw e;
        }
    }

    private static Path weights(Path path) {
        if (!Files.exists(path)) {
            throw new CheckpointException(path + " does not exist");
        }
        if (!Files.isDirectory(path)) {
            return path.toAbsolutePath();
        }
        for (String name : List.of(SAFETENSORS, PYTORCH)) {
            if (Files.exists(path.resolve(name))) {
                return path.resolve(name);
            }
        }
        for (String name : List.of(SAFETENSORS, PYTORCH)) {
            if (Files.exists(path.resolve(name + ".index.json"))) {
                throw new CheckpointException(path + " holds a model in several files (" + name + ".index.json), which"
                        + " cannot be read; save it in one, in PyTorch with max_shard_size=\"1TB\"");
            }
        }
        throw new CheckpointException(path + " holds no model: there is neither " + SAFETENSORS + " nor " + PYTORCH);
    }

    /** The tensors by parameter name: wrappers put a prefix before all of them, such as {@code inner_model.}. */
    private static Map<String, StoredTensor> withoutPrefix(TensorFile file, Consumer<String> notice) {
        List<String> heads = file.names().stream().filter(n -> n.equals(HEAD) || n.endsWith("." + HEAD)).toList();
        String prefix = heads.size() != 1 ? ""
                : heads.getFirst().substring(0, heads.getFirst().length() - HEAD.length());
        Map<String, StoredTensor> tensors = new LinkedHashMap<>();
        List<String> others = new ArrayList<>();
        for (StoredTensor tensor : file.tensors().values()) {
            if (tensor.name().startsWith(prefix)) {
                tensors.put(tensor.name().substring(prefix.length()), tensor);
            } else {
                others.add(tensor.name());
            }
        }
        if (!others.isEmpty()) {
            notice.accept(file.path() + ": the model's tensors start with " + prefix + "; " + others.size()
                    + " others are left out, such as " + SafeTensorsHeader.brief(others.getFirst()));
        }
        return tensors;
    }

    /** The variant that has these parameters; null if they belong to neither. */
    private static Variant variant(Map<String, StoredTensor> tensors) {
        return tensors.containsKey("to_embed.weight") ? Variant.IN_ACTION
                : tensors.containsKey("g_embedder.weight") ? Variant.MEGABYTE : null;
    }

    private static void compare(Path weights, Path configFile, MegabyteConfig config,
            Map<String, StoredTensor> tensors) {
        // A layer has more than one tensor. Said before a layout of a billion layers is made.
        if (Math.max(config.globalLayers(), config.localLayers()) > tensors.size()) {
            throw new CheckpointException(weights + " does not match " + configFile + ": it has " + tensors.size()
                    + " tensors in all, too few for g_nlayers " + config.globalLayers() + " and l_nlayers "
                    + config.localLayers());
        }
        ParameterLayout layout = ModelLayout.of(config);
        List<String> missing = new ArrayList<>();
        List<String> shapes = new ArrayList<>();
        for (ParameterLayout.Entry entry : layout.entries()) {
            StoredTensor tensor = tensors.get(entry.name());
            if (tensor == null) {
                missing.add(entry.name());
            } else if (!Arrays.equals(tensor.shape(), entry.shape())) {
                shapes.add(entry.name() + " is " + Arrays.toString(tensor.shape()) + " instead of "
                        + Arrays.toString(entry.shape()));
            } else if (!tensor.dtype().isFloating()) {
                throw new CheckpointException(weights + ": the tensor " + tensor + " holds integers, not weights");
            }
        }
        List<String> unexpected = tensors.keySet().stream().filter(name -> !layout.contains(name))
                .map(SafeTensorsHeader::brief).toList();
        List<String> faults = new ArrayList<>();
        addFault(faults, "missing", missing);
        addFault(faults, "unexpected", unexpected);
        addFault(faults, "of another shape", shapes);
        if (!faults.isEmpty()) {
            throw new CheckpointException(weights + " does not match " + configFile + " (" + config.variant() + "): "
                    + String.join("; ", faults));
        }
    }

    private static void addFault(List<String> faults, String what, List<String> tensors) {
        if (!tensors.isEmpty()) {
            faults.add(tensors.size() + " " + what + " (" + String.join(", ", tensors.subList(0, Math.min(4,
                    tensors.size()))) + (tensors.size() > 4 ? ", ..." : "") + ")");
        }
    }

    public MegabyteConfig config() {
        return config;
    }

    /** Elements of all parameters. */
    public long parameterCount() {
        return layout.parameterCount();
    }

    /** The tensor of a parameter, under the parameter's name. */
    public StoredTensor tensor(String parameter) {
        return tensors.get(parameter).renamed(parameter);
    }

    /** All parameters in the order of the layout, to be written elsewhere. */
    public List<TensorSource> sources() {
        return layout.names().stream().map(name -> TensorSource.of(tensor(name))).toList();
    }

    /**
     * Copies the weights to a device.
     *
     * @return the caller closes it
     * @throws CheckpointException if a weight is not a finite number
     */
    public Parameters load(Backend backend) {
        return load(DType.F32, backend);
    }

    /**
     * As {@link #load(Backend)} for a model that computes in {@code dtype}.
     *
     * @throws MegabyteException if the device does not compute in it
     */
    public Parameters load(DType dtype, Backend backend) {
        Parameters parameters = new Parameters(config, dtype);
        try {
            parameters.allocate(backend);
            load(parameters, backend);
            return parameters;
        } catch (RuntimeException | Error e) {
            parameters.close();
            throw e;
        }
    }

    /**
     * Copies the weights into parameters of the same configuration, whose memory is taken.
     *
     * @throws CheckpointException if a weight is not a finite number
     */
    public void load(Parameters parameters, Backend backend) {
        forEachChunk((name, from, values, count) -> backend.write(parameters.get(name).part(from, count), values));
        parameters.refresh(backend);
    }

    /** @throws CheckpointException if a weight is not a finite number */
    public void requireFinite() {
        forEachChunk((name, from, values, count) -> { });
    }

    private interface ChunkUser {
        void accept(String name, long from, MemorySegment values, long count);
    }

    /** Hands out the weights in float32, piece by piece, having seen that they are finite. */
    private void forEachChunk(ChunkUser user) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment chunk = arena.allocate(4L * CHUNK, 64);
            for (String name : layout.names()) {
                StoredTensor tensor = tensors.get(name);
                for (long done = 0, now; done < tensor.elements(); done += now) {
                    now = Math.min(CHUNK, tensor.elements() - done);
                    MemorySegment values = chunk.asSlice(0, 4 * now);
                    tensor.readAs(DType.F32, done, now, values);
                    if (!ElementTypes.allFinite(DType.F32, values, now)) {
                        throw new CheckpointException(file.path() + ": the tensor " + tensor + " holds NaN or infinity;"
                                + " a model with such a weight cannot work");
                    }
                    user.accept(name, done, values, now);
                }
            }
        }
    }

    @Override
    public void close() {
        file.close();
    }
}

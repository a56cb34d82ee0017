package org.megabyte4j.verify;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.checkpoint.CheckpointException;
import org.megabyte4j.checkpoint.ModelFiles;
import org.megabyte4j.checkpoint.SafeTensorsFile;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.tensor.DType;

/**
 * Runs whatever a folder has recorded results of: {@code io.safetensors} (a forward and backward pass),
 * {@code generation.json}, {@code curve.json} (a training run), all three with {@code config.json} and
 * {@code model.safetensors} beside them, and {@code optimizer.json} with {@code steps.safetensors}.
 */
public final class Verifier {
    private static final String IO = "io.safetensors";
    private static final String GENERATION = "generation.json";
    private static final String CURVE = "curve.json";
    private static final String OPTIMIZER = "optimizer.json";
    private static final String STEPS = "steps.safetensors";

    private final Backend backend;
    private final DType dtype;
    private final Path data;
    private final Consumer<String> notice;

    /**
     * @param dtype  in which models compute, F32 or BF16; optimisers in the types that their files name
     * @param data   the folder of the text files that training runs read; null for {@code ../../data} beside each folder
     * @param notice gets a sentence about what is unusual in a model, but could be resolved
     */
    public Verifier(Backend backend, DType dtype, Path data, Consumer<String> notice) {
        this.backend = backend;
        this.dtype = dtype;
        this.data = data;
        this.notice = notice;
    }

    /**
     * @return one check for each recorded result, in the order of the files
     * @throws CheckpointException if the folder has nothing recorded, or what it has cannot be read or does not fit
     */
    public List<Check> verify(Path folder) {
        List<Check> checks = new ArrayList<>();
        if (has(folder, OPTIMIZER)) {
            try (SafeTensorsFile steps = SafeTensorsFile.open(folder.resolve(STEPS))) {
                checks.addAll(OptimizerCheck.run(folder.resolve(OPTIMIZER), steps, backend));
            }
        }
        if (has(folder, IO) || has(folder, GENERATION) || has(folder, CURVE)) {
            try (Parameters parameters = ModelFiles.load(folder, dtype, backend, notice)) {
                checks.addAll(verifyModel(folder, parameters));
            }
        }
        if (checks.isEmpty()) {
            throw new CheckpointException(folder + " holds no recorded results; there must be " + IO + ", " + GENERATION
                    + ", " + CURVE + " or " + OPTIMIZER);
        }
        return checks;
    }

    private List<Check> verifyModel(Path folder, Parameters parameters) {
        List<Check> checks = new ArrayList<>();
        if (has(folder, IO)) {
            try (SafeTensorsFile io = SafeTensorsFile.open(folder.resolve(IO))) {
                checks.addAll(ModelCheck.run(parameters, backend, io));
            }
        }
        if (has(folder, GENERATION)) {
            checks.addAll(GenerationCheck.run(parameters, backend, folder.resolve(GENERATION)));
        }
        if (has(folder, CURVE)) {
            // Last, since training changes the weights.
            Path texts = data != null ? data : folder.toAbsolutePath().normalize().resolve("../../data").normalize();
            checks.addAll(CurveCheck.run(parameters, backend, folder.resolve(CURVE), texts));
        }
        return checks;
    }

    private static boolean has(Path folder, String name) {
        return Files.isRegularFile(folder.resolve(name));
    }
}

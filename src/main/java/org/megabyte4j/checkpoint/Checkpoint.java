package org.megabyte4j.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import org.megabyte4j.model.MegabyteConfig;

/**
 * A checkpoint on disk whose files are complete and undamaged.
 *
 * @param step    the number of steps that were done when it was written
 * @param folder  its folder
 * @param config  the model
 * @param trainer the trainer's state, as it was given to {@link RunFolder#save}
 */
public record Checkpoint(long step, Path folder, MegabyteConfig config, JsonNode trainer) {
    static final String CONFIG = ModelFile.CONFIG;
    static final String MODEL = ModelFile.SAFETENSORS;
    static final String OPTIMIZER = "optimizer.safetensors";
    /** Where a checkpoint says how it was trained. */
    public static final String TRAINER = "trainer.json";

    /** The weights; the caller closes the file. */
    public SafeTensorsFile openModel() {
        return SafeTensorsFile.open(folder.resolve(MODEL));
    }

    /** The optimiser's state; the caller closes the file. */
    public SafeTensorsFile openOptimizer() {
        return SafeTensorsFile.open(folder.resolve(OPTIMIZER));
    }
}

package org.megabyte4j.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;
import org.megabyte4j.model.MegabyteConfig;

/**
 * Everything that a training run needs to continue as if it had never stopped.
 *
 * @param config    the model, for {@code config.json}
 * @param model     the weights, for {@code model.safetensors}; see {@link TensorSource}
 * @param optimizer the optimiser's state, for {@code optimizer.safetensors}; names are the optimiser's own
 * @param trainer   the trainer's state, for {@code trainer.json}: step, seed, options, corpus fingerprint
 */
public record CheckpointContents(MegabyteConfig config, List<TensorSource> model, List<TensorSource> optimizer,
        JsonNode trainer) {
}

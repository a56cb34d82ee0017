package org.megabyte4j.train;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.checkpoint.Checkpoint;
import org.megabyte4j.checkpoint.CheckpointContents;
import org.megabyte4j.checkpoint.TensorFile;
import org.megabyte4j.checkpoint.TensorSource;
import org.megabyte4j.tensor.Tensor;

/** A trainer's weights and optimiser state, to and from a checkpoint. */
final class Checkpoints {
    private Checkpoints() {
    }

    /** @param description what {@code trainer.json} shall hold */
    static CheckpointContents of(Trainer trainer, JsonNode description) {
        Backend backend = trainer.backend();
        List<TensorSource> state = new ArrayList<>();
        trainer.optimizer().state().forEach((name, tensor) -> state.add(TensorSource.of(name, tensor, backend)));
        return new CheckpointContents(trainer.config(), TensorSource.of(trainer.parameters(), backend), state,
                description);
    }

    /**
     * Puts a trainer where it was when the checkpoint was written.
     *
     * @throws TrainException if the checkpoint is of another model or optimiser
     */
    static void restore(Trainer trainer, Checkpoint checkpoint) {
        Map<String, Tensor> weights = new LinkedHashMap<>();
        for (String name : trainer.parameters().layout().names()) {
            weights.put(name, trainer.parameters().get(name));
        }
        try (TensorFile file = checkpoint.openModel()) {
            load(file, weights, trainer.backend());
            trainer.parameters().refresh(trainer.backend());
        }
        try (TensorFile file = checkpoint.openOptimizer()) {
            load(file, trainer.optimizer().state(), trainer.backend());
        }
        trainer.continueAfter(checkpoint.step());
    }

    private static void load(TensorFile file, Map<String, Tensor> tensors, Backend backend) {
        if (!file.names().equals(tensors.keySet())) {
            Set<String> odd = new TreeSet<>(file.names());
            Set<String> missing = new TreeSet<>(tensors.keySet());
            odd.removeAll(tensors.keySet());
            missing.removeAll(file.names());
            throw new TrainException(file.path() + " does not fit this training: it lacks " + missing.size()
                    + " tensors, and " + odd.size() + " of it belong to nothing, such as "
                    + (missing.isEmpty() ? odd : missing).iterator().next());
        }
        tensors.forEach((name, tensor) -> file.tensor(name).load(tensor, backend));
    }
}

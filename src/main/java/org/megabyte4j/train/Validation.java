package org.megabyte4j.train;

import java.util.Optional;
import java.util.function.BooleanSupplier;
import org.megabyte4j.data.EvaluationWindows;

/**
 * What a run validates on, and with what.
 *
 * @param evaluator its memory must be taken before the first validation
 * @param data      in the evaluator's batch and length
 * @param batches   of the data, as many at most; fewer are spread evenly
 */
public record Validation(Evaluator evaluator, EvaluationWindows data, long batches) {
    Optional<Evaluator.Result> evaluate(BooleanSupplier stop) {
        return evaluator.evaluate(data, batches, done -> !stop.getAsBoolean());
    }
}

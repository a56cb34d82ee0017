package org.megabyte4j.train;

import java.util.Optional;
import java.util.function.LongPredicate;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.data.EvaluationWindows;
import org.megabyte4j.model.Ids;
import org.megabyte4j.model.Megabyte;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.tensor.MemoryPlan;

/**
 * The mean loss over all targets of a data set, in constant memory. Each target counts the same, in whatever batch it
 * comes; padding does not count.
 */
public final class Evaluator {
    private final MegabyteConfig config;
    private final Backend backend;
    private final Megabyte graph;
    private final Ops ops;
    private final int batchIds;
    private int[] ids;       // taken with the first evaluation: a plan alone needs none
    private int[] targets;   // the same array where every id is one

    /**
     * Plans an evaluation; its memory is the plan's.
     *
     * @param batch  sequences at once; the result does not depend on it, but for rounding
     * @param length bytes in each, a multiple of the patch size
     * @throws org.megabyte4j.model.ConfigException if the length does not suit the model
     * @throws org.megabyte4j.MegabyteException if the device does not compute in the parameters' type
     */
    public Evaluator(Parameters parameters, int batch, int length, Backend backend, MemoryPlan plan) {
        this(parameters, batch, length, null, backend, plan);
    }

    /**
     * As above.
     *
     * @param chunk patches that go through the local model at once; null for the default. The result depends on it as
     *              little as on the batch
     */
    public Evaluator(Parameters parameters, int batch, int length, Integer chunk, Backend backend, MemoryPlan plan) {
        this(Megabyte.forLoss(parameters, batch, length, chunk, plan, backend.fusion()), parameters, backend, plan);
    }

    /**
     * As the constructor does, for windows that overlap by all but {@code stride} ids.
     *
     * @param stride a multiple of the patch size, at most the length
     * @throws org.megabyte4j.model.ConfigException if it is not a multiple of the patch size
     */
    public static Evaluator sliding(Parameters parameters, int batch, int length, int stride, Integer chunk,
            Backend backend, MemoryPlan plan) {
        parameters.config().checkMultiple("stride", stride);
        return stride == length ? new Evaluator(parameters, batch, length, chunk, backend, plan)
                : new Evaluator(Megabyte.forLossOfSome(parameters, batch, length, chunk, plan, backend.fusion()),
                        parameters, backend, plan);
    }

    private Evaluator(Megabyte graph, Parameters parameters, Backend backend, MemoryPlan plan) {
        this.config = parameters.config();
        this.backend = backend;
        backend.require(parameters.dtype());
        this.graph = graph;
        ops = backend.plan(plan, this::enqueue);
        if (graph.ids().elements() > Integer.MAX_VALUE) {
            throw new TrainException("--batch " + graph.ids().size(0) + " of " + graph.ids().size(1)
                    + " bytes each is more than the " + Integer.MAX_VALUE
                    + " bytes that an evaluation takes at once; use less");
        }
        batchIds = (int) graph.ids().elements();
    }

    private void enqueue(Ops on) {
        on.fill(graph.loss(), 0);
        graph.forward(on);
        graph.loss(on);
    }

    /**
     * What an evaluation has found.
     *
     * @param loss    mean, in nats per target; 0 if there is none
     * @param targets ids that were predicted: the bytes and the ids between documents, without padding
     */
    public record Result(double loss, long targets) {
        /** The loss in bits. */
        public double bitsPerByte() {
            return Metric.bits(loss);
        }
    }

    /** Evaluates on all of the data, which must be in the batch and length of this evaluator. */
    public Result evaluate(EvaluationWindows data) {
        return evaluate(data, Long.MAX_VALUE, done -> true).orElseThrow();
    }

    /**
     * Evaluates on some of the data, or until it is stopped.
     *
     * @param most batches to evaluate on; if there are more, as many spread evenly
     * @param goOn asked before each batch, with the number of batches done
     * @return empty if it was stopped
     */
    public Optional<Result> evaluate(EvaluationWindows data, long most, LongPredicate goOn) {
        long batches = Math.min(most, data.batches());
        if (ids == null) {
            ids = new int[batchIds];
            targets = graph.targets() == graph.ids() ? ids : new int[batchIds];
        }
        if (targets == ids && data.stride() < data.length()) {
            throw new IllegalArgumentException("windows that overlap need an evaluator made by Evaluator.sliding");
        }
        double sum = 0;
        long predicted = 0;
        for (long i = 0; i < batches; i++) {
            if (!goOn.test(i)) {
                return Optional.empty();
            }
            int count = data.fill(Math.multiplyExact(i, data.batches()) / batches, ids, targets);
            Ids.check(ids, config.vocabularySize());
            backend.write(graph.ids(), ids);
            if (targets != ids) {
                backend.write(graph.targets(), targets);
            }
            enqueue(ops);
            sum += (double) backend.readFloats(graph.loss())[0] * count;
            predicted += count;
        }
        return Optional.of(new Result(predicted == 0 ? 0 : sum / predicted, predicted));
    }
}

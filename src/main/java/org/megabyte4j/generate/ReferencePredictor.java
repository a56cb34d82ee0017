package org.megabyte4j.generate;

import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.model.Megabyte;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.SampleStep;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * {@link Alignment#REFERENCE}: the whole text once more for each byte. A text of t bytes is padded on the left until
 * the next byte is the last of a patch; that byte is predicted from everything before it.
 */
final class ReferencePredictor implements Predictor {
    private static final ByteShift NO_SHIFT = new ByteShift(0, 1);

    private final Backend backend;
    private final Parameters parameters;
    private final MegabyteConfig config;
    private final int batch;
    private final Pass longest;
    private Pass pass;
    private List<Sequence> rows;
    private SamplingOptions sampling;

    /** The model for one length of text, and the choice of one id. */
    private final class Pass implements AutoCloseable {
        private final int length;
        private final MemoryPlan plan = new MemoryPlan();
        private final Megabyte graph;
        private final Tensor places;    // I32 [B], rows of the graph's logits
        private final Tensor scores;    // [B, V], those rows
        private final Tensor logits;    // F32 [B, V]; the same tensor if that is what the graph gives
        private final SampleStep choice;
        private final Ops ops;
        private boolean fetched;

        Pass(int length) {
            this.length = length;
            graph = Megabyte.forEvaluation(parameters, batch, length, plan, backend.fusion());
            places = plan.tensor(MemoryPlan.Category.INPUTS, "places", DType.I32, batch);
            logits = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "lastLogits", DType.F32, batch,
                    config.vocabularySize());
            scores = parameters.dtype() == DType.F32 ? logits
                    : plan.tensor(MemoryPlan.Category.ACTIVATIONS, "lastScores", parameters.dtype(), batch,
                            config.vocabularySize());
            choice = new SampleStep(config, plan, batch, 1);
            ops = backend.plan(plan, this::enqueue);
        }

        private void enqueue(Ops on) {
            graph.forward(on);
            on.embed(places, NO_SHIFT, 0, graph.logits(), null, null, scores);
            if (scores != logits) {
                on.copy(scores, logits);
            }
            choice.forward(on, 0, logits);
        }

        /**
         * @param ids      {@code [B, length]}
         * @param wanted   of each row, the index of the id to choose
         * @param known    of each row, -1 if its id is to be chosen
         */
        void run(int[] ids, int[] wanted, int[] known) {
            backend.write(graph.ids(), ids);
            backend.write(places, IntStream.range(0, batch).map(b -> b * length + wanted[b]).toArray());
            choice.start(backend, sampling.settings(), sampling.bytesOnly(),
                    rows.stream().mapToInt(Sequence::number).toArray(), rows.stream().map(Sequence::seen).toList());
            choice.set(backend, new int[batch], known, IntStream.range(0, batch)
                    .map(b -> b < rows.size() ? rows.get(b).length() : 0).toArray());
            enqueue(ops);
            fetched = false;
        }

        /** The chosen id and what was wrong, if anything. */
        SampleStep choice() {
            if (!fetched) {
                choice.fetch(backend);
                fetched = true;
            }
            return choice;
        }

        @Override
        public void close() {
            plan.close();
        }
    }

    ReferencePredictor(Backend backend, Parameters parameters, int batch, int length) {
        this.backend = backend;
        this.parameters = parameters;
        this.batch = batch;
        config = parameters.config();
        longest = new Pass(Math.ceilDiv(length, config.patchSize()) * config.patchSize());
    }

    /** The memory for the longest text; a shorter one takes less. */
    @Override
    public MemoryPlan plan() {
        return longest.plan;
    }

    @Override
    public void start(List<Sequence> sequences, SamplingOptions options, boolean scored) {
        rows = sequences;
        sampling = options;
    }

    @Override
    public void step() {
        int length = rows.stream().filter(row -> !row.isFinished()).mapToInt(this::paddedLength).max().orElseThrow();
        if (pass == null || pass.length != length) {
            close();
            pass = new Pass(length);
            backend.allocate(pass.plan);
        }
        int[] ids = new int[batch * length];
        Arrays.fill(ids, config.padId());
        int[] wanted = new int[batch];
        int[] known = new int[batch];
        for (int b = 0; b < rows.size(); b++) {
            Sequence row = rows.get(b);
            if (!row.isFinished()) {
                wanted[b] = paddedLength(row) - 1;
                known[b] = -1;
            }
            for (int i = 0; !row.isFinished() && i < row.length(); i++) {
                ids[b * length + paddedLength(row) - 1 - row.length() + i] = row.id(i);
            }
        }
        pass.run(ids, wanted, known);
    }

    /** Padding on the left, the text, the byte that is wanted: a multiple of P. What follows changes nothing. */
    private int paddedLength(Sequence row) {
        return (row.length() / config.patchSize() + 1) * config.patchSize();
    }

    @Override
    public int position(int row) {
        return rows.get(row).length();
    }

    @Override
    public int id(int row) {
        int fault = pass.choice().fault(0, row);
        if (fault != 0) {
            throw GenerationException.of(fault, rows.get(row).number(), position(row));
        }
        return pass.choice().id(0, row);
    }

    @Override
    public float[] logits(int row) {
        return backend.readFloats(pass.logits.slice(row, 1));
    }

    @Override
    public void close() {
        if (pass != null) {
            pass.close();
            pass = null;
        }
    }
}

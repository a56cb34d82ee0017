package org.megabyte4j.generate;

import java.util.Arrays;
import java.util.List;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.model.Megabyte;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.tensor.MemoryPlan;

/**
 * {@link Alignment#REFERENCE}: the whole text once more for each byte. A text of t bytes is padded on the left until
 * the next byte is the last of a patch; that byte is predicted from everything before it.
 */
final class ReferencePredictor implements Predictor {
    private final Backend backend;
    private final Parameters parameters;
    private final MegabyteConfig config;
    private final int batch;
    private final Pass longest;
    private Pass pass;
    private List<Sequence> rows;

    /** The model for one length of text. */
    private final class Pass implements AutoCloseable {
        private final int length;
        private final MemoryPlan plan = new MemoryPlan();
        private final Megabyte graph;
        private final Ops ops;

        Pass(int length) {
            this.length = length;
            graph = Megabyte.forEvaluation(parameters, batch, length, plan);
            ops = backend.plan(plan, graph::forward);
        }

        void run(int[] ids) {
            backend.write(graph.ids(), ids);
            graph.forward(ops);
        }

        /** The logits of the id at one index of one row. */
        float[] logits(int row, int index) {
            return backend.readFloats(graph.logits().slice((long) row * length + index, 1));
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
    public void start(List<Sequence> sequences) {
        rows = sequences;
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
        for (int b = 0; b < rows.size(); b++) {
            Sequence row = rows.get(b);
            for (int i = 0; !row.isFinished() && i < row.length(); i++) {
                ids[b * length + paddedLength(row) - 1 - row.length() + i] = row.id(i);
            }
        }
        pass.run(ids);
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
    public float[] logits() {
        int size = config.vocabularySize();
        float[] logits = new float[batch * size];
        for (int b = 0; b < rows.size(); b++) {
            if (!rows.get(b).isFinished()) {
                System.arraycopy(pass.logits(b, paddedLength(rows.get(b)) - 1), 0, logits, b * size, size);
            }
        }
        return logits;
    }

    @Override
    public void close() {
        if (pass != null) {
            pass.close();
            pass = null;
        }
    }
}

package org.megabyte4j.generate;

import java.util.Arrays;
import java.util.List;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.Recording;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.MegabyteDecoder;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.PatchStep;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.MemoryPlan;

/**
 * {@link Alignment#ALIGNED}, with caches. Every row is at the same byte of its patch, each in a patch of its own: the
 * patch that a prompt ends in is gone through byte by byte like those that follow, only that its first bytes are known.
 * So all rows cross their patch borders together, and the global model runs once for each patch however long the
 * prompts are.
 */
final class AlignedPredictor implements Predictor {
    private final Backend backend;
    private final MegabyteConfig config;
    private final MemoryPlan plan = new MemoryPlan();
    private final MegabyteDecoder decoder;
    private final Ops ops;
    private final Recording patchStep;
    private final Recording byteStep;
    private final int[] patch;        // of each row, the index of the patch it is in
    private List<Sequence> rows;
    private boolean allocated;
    private int byteOfPatch;

    AlignedPredictor(Backend backend, Parameters parameters, int batch, int length) {
        this.backend = backend;
        config = parameters.config();
        decoder = new MegabyteDecoder(parameters, batch, length, plan);
        ops = backend.plan(plan, decoder::program);
        patchStep = backend.record(() -> decoder.patchStep().forward(ops));
        byteStep = backend.record(() -> decoder.byteStep().forward(ops));
        patch = new int[batch];
    }

    @Override
    public MemoryPlan plan() {
        return plan;
    }

    @Override
    public void start(List<Sequence> sequences) {
        if (!allocated) {
            backend.allocate(plan);
            allocated = true;
        }
        rows = sequences;
        decoder.prepare(ops);
        Arrays.fill(patch, 0);
        for (int b = 0; b < rows.size(); b++) {
            patch[b] = rows.get(b).length() / config.patchSize();
        }
        prefill();
        byteOfPatch = -1;
    }

    /** Fills the caches with the patches that lie before the one each row is in. */
    private void prefill() {
        int wanted = Arrays.stream(patch).max().orElse(0);
        int done = 0;
        while (done < wanted) {
            PatchStep step = prefillStep(wanted - done);
            int[] past = new int[patch.length];
            Arrays.fill(past, done);
            step.set(backend, idsBefore(past, step.patches()), past);
            step.forward(ops);
            done += step.patches();
        }
    }

    /** The largest step that is filled, else the smallest. */
    private PatchStep prefillStep(int patches) {
        List<PatchStep> steps = decoder.prefillSteps();
        return steps.stream().filter(step -> step.patches() <= patches).findFirst().orElse(steps.getLast());
    }

    /** What the global model sees at {@code patches} patches from {@code first[row]} on: the ids one patch back. */
    private int[] idsBefore(int[] first, int patches) {
        int patchSize = config.patchSize();
        int[] ids = new int[first.length * patches * patchSize];
        Arrays.fill(ids, config.padId());
        for (int b = 0; b < rows.size(); b++) {
            Sequence row = rows.get(b);
            for (int i = 0; i < patches * patchSize; i++) {
                int index = (first[b] - 1) * patchSize + i;
                if (index >= 0 && index < row.length()) {
                    ids[b * patches * patchSize + i] = row.id(index);
                }
            }
        }
        return ids;
    }

    @Override
    public void step() {
        byteOfPatch++;
        if (byteOfPatch == config.patchSize()) {
            byteOfPatch = 0;
            for (int b = 0; b < rows.size(); b++) {
                // A finished row stays where it is; it may have no room for another patch.
                patch[b] += rows.get(b).isFinished() ? 0 : 1;
            }
        }
        if (byteOfPatch == 0) {
            decoder.patchStep().set(backend, idsBefore(patch, 1), patch);
            patchStep.run();
        }
        decoder.byteStep().set(backend, previousIds(), byteOfPatch);
        byteStep.run();
    }

    /** What the local model sees: the byte before, within the patch in the paper's variant. */
    private int[] previousIds() {
        int[] previous = new int[patch.length];
        Arrays.fill(previous, config.padId());
        boolean crossesBorders = config.variant() == Variant.IN_ACTION;
        for (int b = 0; b < rows.size(); b++) {
            int index = position(b) - 1;
            if (index >= 0 && index < rows.get(b).length() && (byteOfPatch > 0 || crossesBorders)) {
                previous[b] = rows.get(b).id(index);
            }
        }
        return previous;
    }

    @Override
    public int position(int row) {
        return patch[row] * config.patchSize() + byteOfPatch;
    }

    @Override
    public float[] logits() {
        return backend.readFloats(decoder.byteStep().logits());
    }

    @Override
    public void close() {
        patchStep.close();
        byteStep.close();
        plan.close();
    }
}

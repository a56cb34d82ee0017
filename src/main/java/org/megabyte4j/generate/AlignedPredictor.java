package org.megabyte4j.generate;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.Recording;
import org.megabyte4j.checkpoint.TensorFile;
import org.megabyte4j.checkpoint.TensorSource;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.MegabyteDecoder;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.PatchStep;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * {@link Alignment#ALIGNED}, with caches. Every row is at the same byte of its patch, each in a patch of its own: the
 * patch that a prompt ends in is gone through byte by byte like those that follow, only that its first bytes are known.
 * So all rows cross their patch borders together, and the global model runs once for each patch however long the
 * prompts are.
 *
 * <p>A device that works on its own gets a whole patch to do at once; another one a byte at a time, so that each byte
 * is there as soon as it can be. It is the same program, in one piece or in P.
 */
final class AlignedPredictor implements Predictor {
    private final Backend backend;
    private final MegabyteConfig config;
    private final MemoryPlan plan = new MemoryPlan();
    private final MegabyteDecoder decoder;
    private final Ops ops;
    private final int atOnce;         // bytes of a piece of the patch's program
    private final Recording[] pieces;
    private final int[] patch;        // of each row, the index of the patch it is in
    private List<Sequence> rows;
    private boolean allocated;
    private int prefilled;            // patches of the longest sequence that lie in the caches
    private int toPrefill;
    private boolean restored;
    private int byteOfPatch;          // -1 before the first
    private boolean fetched;          // whether the current piece's ids are on the host
    private float[] logits;           // of the current piece, [atOnce, batch, V]; null until asked for

    /** @param weights the type in which the matrices are read */
    AlignedPredictor(Backend backend, Parameters parameters, int batch, int length, DType weights) {
        this.backend = backend;
        config = parameters.config();
        decoder = new MegabyteDecoder(parameters, weights, batch, length, plan);
        ops = backend.plan(plan, decoder::program);
        atOnce = backend.isAsynchronous() ? config.patchSize() : 1;
        pieces = new Recording[config.patchSize() / atOnce];
        for (int i = 0; i < pieces.length; i++) {
            int from = i * atOnce;
            pieces[i] = backend.record(() -> decoder.forward(ops, from, from + atOnce));
        }
        patch = new int[batch];
    }

    @Override
    public MemoryPlan plan() {
        return plan;
    }

    @Override
    public void start(List<Sequence> sequences, SamplingOptions sampling) {
        if (!allocated) {
            backend.allocate(plan);
            allocated = true;
        }
        rows = sequences;
        decoder.prepare(backend, ops);
        decoder.sampling().start(backend, sampling.settings(), sampling.bytesOnly(),
                rows.stream().mapToInt(Sequence::number).toArray(), rows.stream().map(Sequence::seen).toList());
        Arrays.fill(patch, 0);
        for (int b = 0; b < rows.size(); b++) {
            // A sequence may end with its last patch; it needs no further one.
            patch[b] = Math.min(rows.get(b).length() / config.patchSize(), decoder.capacity() - 1);
        }
        prefilled = 0;
        restored = false;
        toPrefill = Arrays.stream(patch).max().orElse(0);
        byteOfPatch = -1;
    }

    @Override
    public void step() {
        if (prefilled < toPrefill) {
            prefill();
        } else {
            stepByte();
        }
    }

    /** Puts some of the patches that lie before the one each row is in into the caches. */
    private void prefill() {
        PatchStep step = prefillStep(toPrefill - prefilled);
        int[] past = new int[patch.length];
        Arrays.fill(past, prefilled);
        step.set(backend, idsBefore(past, step.patches()), past);
        step.forward(ops);
        prefilled += step.patches();
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

    private void stepByte() {
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
            decoder.sampling().set(backend, previousIds(), knownIds(), firstPositions());
        }
        if (byteOfPatch % atOnce == 0) {
            pieces[byteOfPatch / atOnce].run();
            fetched = false;
            logits = null;
        }
    }

    private int[] firstPositions() {
        return Arrays.stream(patch).map(index -> index * config.patchSize()).toArray();
    }

    /** What the local model sees first: the byte before, unless it is padding, as always in the paper's variant. */
    private int[] previousIds() {
        int[] previous = new int[patch.length];
        Arrays.fill(previous, config.padId());
        for (int b = 0; config.variant() == Variant.IN_ACTION && b < rows.size(); b++) {
            int index = patch[b] * config.patchSize() - 1;
            if (index >= 0 && index < rows.get(b).length()) {
                previous[b] = rows.get(b).id(index);
            }
        }
        return previous;
    }

    /** The ids of the patch that prompts say, {@code [P, batch]}; padding for rows that need none any more. */
    private int[] knownIds() {
        int[] known = new int[config.patchSize() * patch.length];
        for (int i = 0; i < config.patchSize(); i++) {
            for (int b = 0; b < patch.length; b++) {
                int index = patch[b] * config.patchSize() + i;
                boolean over = b >= rows.size() || rows.get(b).isFinished();
                known[i * patch.length + b] = over ? config.padId()
                        : index < rows.get(b).length() ? rows.get(b).id(index) : -1;
            }
        }
        return known;
    }

    @Override
    public int position(int row) {
        return patch[row] * config.patchSize() + byteOfPatch;
    }

    @Override
    public int id(int row) {
        if (!fetched) {
            decoder.sampling().fetch(backend, byteOfPatch / atOnce * atOnce, atOnce);
            fetched = true;
        }
        int fault = decoder.sampling().fault(byteOfPatch, row);
        if (fault != 0) {
            throw GenerationException.of(fault, rows.get(row).number(), position(row));
        }
        return decoder.sampling().id(byteOfPatch, row);
    }

    @Override
    public float[] logits(int row) {
        if (logits == null) {
            logits = backend.readFloats(decoder.logits().slice(byteOfPatch / atOnce * atOnce, atOnce));
        }
        int from = (byteOfPatch % atOnce * patch.length + row) * config.vocabularySize();
        return Arrays.copyOfRange(logits, from, from + config.vocabularySize());
    }

    /** Of each row and global layer the complete patches. Those of the local model begin anew with each patch. */
    @Override
    public List<TensorSource> caches() {
        List<TensorSource> caches = new ArrayList<>();
        for (int b = 0; (restored || byteOfPatch >= 0) && b < rows.size(); b++) {
            List<Tensor> layers = decoder.globalCaches(b, rows.get(b).length() / config.patchSize());
            for (int i = 0; i < layers.size(); i++) {
                caches.add(TensorSource.of(cacheName(b, i), layers.get(i), backend));
            }
        }
        return caches;
    }

    private static String cacheName(int row, int layer) {
        return "cache." + row + "." + layer;
    }

    @Override
    public void restore(TensorFile saved) {
        for (int b = 0; b < rows.size(); b++) {
            List<Tensor> layers = decoder.globalCaches(b, rows.get(b).length() / config.patchSize());
            for (int i = 0; i < layers.size(); i++) {
                saved.tensor(cacheName(b, i)).load(layers.get(i), backend);
            }
        }
        prefilled = toPrefill;
        restored = true;
    }

    @Override
    public void close() {
        for (Recording piece : pieces) {
            piece.close();
        }
        plan.close();
    }
}

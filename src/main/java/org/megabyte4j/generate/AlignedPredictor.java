package org.megabyte4j.generate;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.IntReadback;
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
 * <p>A device that works on its own gets a whole patch to do at once, and the patches behind it too, so that it never
 * waits for the host to have seen an id; what it has done for a sequence that turns out to have ended is dropped.
 * Another device does a byte at a time, so that each byte is there as soon as it can be. It is the same program, in one
 * piece or in P.
 */
final class AlignedPredictor implements Predictor {
    /** Patches that are enqueued behind the one whose ids are wanted. */
    private static final int AHEAD = IntReadback.KEPT - 1;

    private final Backend backend;
    private final MegabyteConfig config;
    private final MemoryPlan plan = new MemoryPlan();
    private final MegabyteDecoder decoder;
    private final Ops ops;
    private final int atOnce;         // bytes of a piece of the patch's program
    private final Recording[] pieces;
    private final int[] patch;        // of each row, the index of the patch it is in; beyond its end if it is finished
    private List<Sequence> rows;
    private int prefilled;            // patches of the longest sequence that lie in the caches
    private int toPrefill;
    private boolean restored;
    private IntReadback ids;          // null until there is memory
    private int ahead;                // pieces to enqueue behind the current one
    private long needed;              // pieces until all rows are finished, if none ends early
    private long enqueued;            // pieces since the start
    private long piece;               // the current one
    private long firstCopy;           // of the ids of piece 0
    private long fetched;             // the piece whose ids are on the host, or -1
    private int byteOfPatch;          // -1 before the first
    private float[] logits;           // of the current piece, [atOnce, batch, V]; null until asked for

    /** @param weights the type in which the matrices are read */
    AlignedPredictor(Backend backend, Parameters parameters, int batch, int length, DType weights) {
        this.backend = backend;
        config = parameters.config();
        decoder = new MegabyteDecoder(backend, parameters, weights, batch, length, plan);
        ops = backend.plan(plan, decoder::program);
        atOnce = backend.isAsynchronous() || decoder.isWhole() ? config.patchSize() : 1;
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
    public void start(List<Sequence> sequences, SamplingOptions sampling, boolean scored) {
        if (ids == null) {
            backend.allocate(plan);
            ids = decoder.sampling().readback(backend);
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
        piece = -1;
        enqueued = 0;
        fetched = -1;
        ahead = backend.isAsynchronous() && !scored ? AHEAD : 0;
        needed = 0;
        for (int b = 0; b < rows.size(); b++) {
            int patches = Math.ceilDiv(rows.get(b).longest(), config.patchSize()) - patch[b];
            needed = Math.max(needed, (long) patches * pieces.length);
        }
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
            for (int b = 0; b < patch.length; b++) {
                patch[b]++;
            }
        }
        if (byteOfPatch % atOnce == 0) {
            piece++;
            logits = null;
            while (enqueued <= piece || enqueued <= piece + ahead && enqueued < needed) {
                enqueue();
            }
        }
    }

    /** The host says where the first patch begins; each leaves to the next one what that begins with. */
    private void enqueue() {
        if (enqueued == 0) {
            decoder.patchStep().set(backend, idsBefore(patch, 1), patch);
            decoder.sampling().set(backend, previousIds(), knownIds(), firstPositions());
        }
        pieces[(int) (enqueued % pieces.length)].run();
        long copy = ids.enqueue();
        firstCopy = enqueued == 0 ? copy : firstCopy;
        enqueued++;
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
        if (fetched != piece) {
            decoder.sampling().fetch(ids, firstCopy + piece);
            fetched = piece;
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
        if (ids != null) {
            ids.close();
        }
        for (Recording piece : pieces) {
            piece.close();
        }
        plan.close();
    }
}

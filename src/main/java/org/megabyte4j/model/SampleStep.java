package org.megabyte4j.model;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.IntReadback;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.PatchChoice;
import org.megabyte4j.backend.PatchInput;
import org.megabyte4j.backend.SamplingSettings;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * The choice of the next id of each sequence, at a few positions that follow each other. It stays on the device: what
 * one position chooses is what the next one sees, and the host asks for the ids when it likes to.
 *
 * <p>{@link #start} once for each generation, {@link #set} before the first of the positions, and again unless
 * {@link Ops#nextPatch} does it.
 */
public final class SampleStep {
    private static final int BYTES = 256;

    private final MegabyteConfig config;
    private final int batch;
    private final int count;
    private final int seenWords;          // of a sequence
    private final Tensor settings;        // I32 [SamplingSettings.COUNT]
    private final Tensor allowed;         // I32 [V]
    private final Tensor numbers;         // I32 [B]
    private final Tensor seen;            // I32 [B, ceil(V / 32)]
    private final Tensor input;           // I32: forced ids [n, B], positions [n, B], previous ids [B]
    private final Tensor forced;
    private final Tensor positions;
    private final Tensor previous;
    private final Tensor results;         // I32 [n, 2, B]: chosen ids, faults
    private final int[] fetched;          // the same on the host

    /**
     * @param batch sequences side by side
     * @param count positions that follow each other
     */
    public SampleStep(MegabyteConfig config, MemoryPlan plan, int batch, int count) {
        this.config = config;
        this.batch = batch;
        this.count = count;
        seenWords = Math.ceilDiv(config.vocabularySize(), Integer.SIZE);
        MemoryPlan.Category category = MemoryPlan.Category.INPUTS;
        settings = plan.tensor(category, "samplingSettings", DType.I32, SamplingSettings.COUNT);
        allowed = plan.tensor(category, "allowedIds", DType.I32, config.vocabularySize());
        numbers = plan.tensor(category, "sequenceNumbers", DType.I32, batch);
        seen = plan.tensor(category, "seenIds", DType.I32, batch, seenWords);
        long all = (long) count * batch;
        input = plan.tensor(category, "sampleInput", DType.I32, 2 * all + batch);
        forced = input.part(0, count, batch);
        positions = input.part(all, count, batch);
        previous = input.part(2 * all, batch);
        results = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "chosenIds", DType.I32, count, 2, batch);
        fetched = new int[Math.toIntExact(2 * all)];
    }

    /**
     * Begins with other sequences.
     *
     * @param how       the settings
     * @param bytesOnly whether only the 256 bytes and eos may be chosen
     * @param sequences the number of each in its request, no more than the batch
     * @param held      the ids that each of them holds already
     */
    public void start(Backend backend, SamplingSettings how, boolean bytesOnly, int[] sequences, List<BitSet> held) {
        backend.write(settings, how.toInts());
        int[] choice = new int[config.vocabularySize()];
        Arrays.fill(choice, 0, bytesOnly ? Math.min(BYTES, choice.length) : choice.length, 1);
        if (config.eosId() < choice.length) {
            choice[config.eosId()] = 1;
        }
        backend.write(allowed, choice);
        backend.write(numbers, Arrays.copyOf(sequences, batch));
        int[] words = new int[batch * seenWords];
        for (int b = 0; b < held.size(); b++) {
            int first = b * seenWords;
            held.get(b).stream().forEach(id -> words[first + id / Integer.SIZE] |= 1 << id);
        }
        backend.write(seen, words);
    }

    /**
     * Sets the input of the next positions.
     *
     * @param before {@code [B]}: the id that the first position sees
     * @param known  {@code [n, B]}: ids that need not be chosen, such as those of a prompt; -1 for the others
     * @param first  {@code [B]}: the index in its sequence of the first position's id
     */
    public void set(Backend backend, int[] before, int[] known, int[] first) {
        Ids.check(before, config.vocabularySize());
        int[] values = new int[Math.toIntExact(input.elements())];
        System.arraycopy(known, 0, values, 0, known.length);
        for (int i = 0; i < count; i++) {
            for (int b = 0; b < batch; b++) {
                values[(count + i) * batch + b] = first[b] + i;
            }
        }
        System.arraycopy(before, 0, values, 2 * count * batch, batch);
        backend.write(input, values);
    }

    /** I32 {@code [B]}: the ids before those that position {@code i} chooses. */
    Tensor seenBy(int i) {
        return i == 0 ? previous : results.part(2L * batch * (i - 1), batch);
    }

    /**
     * Chooses position {@code i}'s ids.
     *
     * @param logits F32 {@code [B, V]}
     */
    public void forward(Ops ops, int i, Tensor logits) {
        ops.sample(logits, settings, allowed, numbers, positions.part((long) batch * i, batch),
                forced.part((long) batch * i, batch), seen, results.part(2L * batch * i, batch),
                results.part(2L * batch * i + batch, batch));
    }

    /** What chooses all positions as {@link #forward} does one after the other. */
    PatchChoice all() {
        return new PatchChoice(previous, settings, allowed, numbers, positions, forced, seen, results);
    }

    /** {@code [n, 2, B]} */
    Tensor results() {
        return results;
    }

    /** What goes on to the next positions, with what the global model sees. */
    PatchInput patchInput(Tensor earlier, Tensor bytePositions, Tensor past) {
        return new PatchInput(earlier, bytePositions, past, forced, positions, previous);
    }

    /** Brings the ids to the host without waiting, for {@link #fetch(IntReadback, long)}. */
    public IntReadback readback(Backend backend) {
        return backend.intReadback(results);
    }

    /** Waits for the ids and fetches them. */
    public void fetch(Backend backend) {
        backend.read(results, MemorySegment.ofArray(fetched));
    }

    /** Fetches the ids of one copy. */
    public void fetch(IntReadback from, long copy) {
        from.read(copy, fetched);
    }

    /** The fetched id that position {@code i} chose for a sequence. */
    public int id(int i, int row) {
        return fetched[2 * batch * i + row];
    }

    /** What was wrong with the logits, as {@link Ops#sample} says it; 0 for nothing. */
    public int fault(int i, int row) {
        return fetched[2 * batch * i + batch + row];
    }
}
